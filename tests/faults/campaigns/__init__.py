"""What happens to real runs and files at random, and counts of what came of it."""
