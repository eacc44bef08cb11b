"""Training: its options, its loop, its files, and how it resumes."""
