"""What the README claims in numbers, measured again by anyone."""
