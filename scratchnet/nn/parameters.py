"""The parameters of a layer: the arrays X that it holds beside their gradients dX, as W beside dW.

A layer of your own may call them what it likes. They are found, or the layer is refused: what the
optimiser overlooks would silently never be trained.
"""

from functools import cache

import numpy as np

CACHED = {"x", "y", "patches"}  # what forward keeps for backward, and is no parameter


def parameter_names(layer):
    """Return the names of a layer's parameters, in the order of its attributes: ("W", "b")."""
    return _with_gradients(tuple(vars(layer)))


@cache  # the optimiser asks at every step
def _with_gradients(names):
    return tuple(name for name in names if "d" + name in names and name not in CACHED)


def check_parameters(layer):
    """ValueError if the layer holds what may be a parameter and has no gradient of its shape.

    Not asked about are `CACHED` and names that begin with "_", such as those of constants.
    """
    held = {k: value for k, value in vars(layer).items() if k not in CACHED and k[0] != "_"}
    gradients = {"d" + name for name in held}
    for name, value in held.items():
        gradient = held.get("d" + name)
        if gradient is None:
            overlooked = name not in gradients and _may_be_parameter(value)
        else:  # a float, for example, cannot be changed in place
            overlooked = not (isinstance(value, np.ndarray) and value.shape == np.shape(gradient))
        if overlooked:
            raise ValueError(
                f"{type(layer).__name__}.{name} would never be trained: a parameter X is an array "
                f"with its gradient beside it, an array dX of its shape; name anything else _{name}"
            )


def _may_be_parameter(value):
    """Whether a value is an array of floats, a layer, or a list with one of these."""
    if isinstance(value, list | tuple):
        return any(map(_may_be_parameter, value))
    is_floats = isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size > 0
    return is_floats or hasattr(value, "backward")
