"""Backpropagation: a network is its layers in order, and its gradient the same list backwards.

    forward:   x ──> layers[0] ──> layers[1] ──> ... ──> logits
    backward:       <── layers[0] <── layers[1] <── ... <── dlogits

That walk is the chain rule, and all there is to backpropagation (Rumelhart, Hinton, Williams,
"Learning representations by back-propagating errors", 1986). README.md beside this file derives it.
"""

from functools import cache
from itertools import pairwise

import numpy as np

from scratchnet.nn.layers import Linear, ReLU

CACHED = {"x", "y", "patches"}  # what forward keeps for backward, and is no parameter


class Network:
    """Layers in order, of which the first has parameters.

    A layer is any object with `forward(x)` and `backward(dy)`, the first also with `need_dx`. Its
    parameters are the arrays X that it holds beside their gradients dX, as W beside dW.
    """

    def __init__(self, layers):
        """ValueError if a layer holds what may be a parameter and would never be trained."""
        for layer in layers:
            _check_parameters(layer)
        self.layers = layers

    @property
    def parametric_layers(self):
        """The layers that have parameters, in order: `Linear`, `Conv2d`, and layers of your own."""
        return [layer for layer in self.layers if parameter_names(layer)]

    def forward(self, x):
        """Return what the last layer makes of x (B, inputs): of images, the logits (B, classes)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dlogits):
        """Backpropagate dlogits: leave dW and db in every layer, for the batch of `forward`."""
        dy = dlogits  # (B, classes)
        for layer in reversed(self.layers[1:]):
            dy = layer.backward(dy)
        self.layers[0].backward(dy, need_dx=False)

    def parameters(self):
        """Return [(name, array), ...]: the arrays themselves, not copies, in a fixed order."""
        return self._named("")

    def gradients(self):
        """Return [(name, array), ...] of the last backward pass, in the order of `parameters`."""
        return self._named("d")

    def _named(self, prefix):
        pairs = []
        for i, layer in enumerate(self.parametric_layers, start=1):
            kind = getattr(layer, "name", type(layer).__name__.lower())
            for name in parameter_names(layer):
                pairs.append((f"{kind}{i}.{prefix}{name}", getattr(layer, prefix + name)))
        return pairs

    def __repr__(self):
        return f"{type(self).__name__}({self})"

    def __str__(self):
        return ", ".join(map(repr, self.layers))


def parameter_names(layer):
    """Return the names of a layer's parameters: its attributes X that have a dX beside them."""
    return _with_gradients(tuple(vars(layer)))


@cache  # the optimiser asks at every step
def _with_gradients(names):
    return tuple(name for name in names if "d" + name in names and name not in CACHED)


def _check_parameters(layer):
    """ValueError for what may be a parameter of the layer, and would be overlooked.

    Free are what `forward` caches, and names that begin with "_", such as those of constants.
    """
    held = {k: value for k, value in vars(layer).items() if k not in CACHED and k[0] != "_"}
    gradients = {"d" + name for name in held}
    for name, value in held.items():
        gradient = held.get("d" + name)
        if gradient is None:
            overlooked = name not in gradients and _may_be_parameter(value)
        else:  # of a parameter that no optimiser can change in place, as a float
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


class MLP(Network):
    """A multilayer perceptron: Linear, ReLU, Linear, ReLU, ..., Linear.

    Nothing follows the logits: the softmax is in the loss.
    """

    def __init__(self, sizes, *, rng, dtype=np.float32, matmul=np.matmul):
        """Build the layers from the widths `sizes`, for example (784, 128, 64, 10).

        Args:
            sizes: inputs, hidden widths in order, classes; two numbers at least, each at least 1.
            rng, dtype, matmul: handed to every `Linear`; the layers draw from `rng` in order.
        """
        if len(sizes) < 2:
            raise ValueError(f"an MLP needs the numbers of inputs and classes, not sizes={sizes}")
        layers = []
        for n_in, n_out in pairwise(sizes):
            layers += [Linear(n_in, n_out, rng=rng, dtype=dtype, matmul=matmul), ReLU()]
        super().__init__(layers[:-1])  # no ReLU behind the logits

    def __str__(self):
        """Its widths: 784-128-64-10."""
        widths = [
            len(self.parametric_layers[0].W),
            *(len(layer.b) for layer in self.parametric_layers),
        ]
        return "-".join(map(str, widths))
