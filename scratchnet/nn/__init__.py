"""The mathematics: layers, losses, networks and optimisers, in NumPy alone."""
