"""What every command does alike: how it ends, its options, and what it says first."""
