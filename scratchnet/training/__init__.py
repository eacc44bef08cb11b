"""A training under way: its options, its loop, its files, and how it goes on."""
