"""Mutation testing: planted bugs, trained and detected: `python -m torch_ref.mutation`."""
