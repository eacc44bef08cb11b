"""One function, np.matmul, and what can stand in its place."""

import numpy as np

LADDER = {"numpy": np.matmul}


def get(name):
    """Return the kernel of that name; ValueError lists the known ones."""
    if name not in LADDER:
        raise ValueError(f"unknown kernel {name!r}; known are {', '.join(LADDER)}")
    return LADDER[name]
