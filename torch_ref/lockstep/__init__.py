"""Both networks side by side, tensor by tensor: `python -m torch_ref.lockstep`."""
