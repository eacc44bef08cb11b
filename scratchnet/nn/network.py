"""Backpropagation: a network is its layers in order, and its gradient the same list backwards.

    forward:   x ──> layers[0] ──> layers[1] ──> ... ──> logits
    backward:       <── layers[0] <── layers[1] <── ... <── dlogits

That walk is the chain rule, and all there is to backpropagation (Rumelhart, Hinton, Williams,
"Learning representations by back-propagating errors", 1986). README.md beside this file derives it.
"""

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
            check_parameters(layer)
        self.layers = layers
        self._found, number = [], 0  # the name of each layer, and those of its parameters
        for layer in layers:
            names = parameter_names(layer)
            number += bool(names)
            kind = getattr(layer, "name", type(layer).__name__.lower())
            self._found.append((f"{kind}{number}", names))

    @property
    def parametric_layers(self):
        """The layers that have parameters, in order: `Linear`, `Conv2d`, and layers of your own."""
        layers = zip(self.layers, self._found, strict=True)
        return [layer for layer, (_, names) in layers if names]

    def forward(self, x):
        """Return the last layer's output for x (B, inputs): for images, the logits (B, classes)."""
        x = np.asarray(x)  # a list or a tensor, too
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
        return [
            (f"{title}.{prefix}{name}", getattr(layer, prefix + name))
            for layer, (title, names) in zip(self.layers, self._found, strict=True)
            for name in names
        ]

    def __repr__(self):
        return f"{type(self).__name__}({self})"

    def __str__(self):
        return ", ".join(map(repr, self.layers))


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
        layers = self.parametric_layers
        return "-".join(map(str, (len(layers[0].W), *(len(layer.b) for layer in layers))))


def parameter_names(layer):
    """Return the names of a layer's parameters, in the order of its attributes: ("W", "b")."""
    names = vars(layer)
    return tuple(name for name in names if "d" + name in names and name not in CACHED)


def check_parameters(layer):
    """ValueError if the layer holds what may be a parameter and has no gradient of its shape.

    No optimiser would ever find it. Names that begin with "_", such as those of constants, are
    not asked about.
    """
    held, parameters = vars(layer), parameter_names(layer)
    known = {*CACHED, *parameters, *(f"d{name}" for name in parameters)}
    for name, value in held.items():
        if name in parameters:  # a float, for example, cannot be changed in place
            shape = np.shape(held[f"d{name}"])
            overlooked = not isinstance(value, np.ndarray) or value.shape != shape
        else:
            overlooked = name not in known and name[0] != "_" and _may_be_parameter(value)
        if overlooked:
            raise ValueError(
                f"{type(layer).__name__}.{name} would never be trained: a parameter X is an array "
                f"with its gradient beside it, an array dX of its shape; name anything else _{name}"
            )


def _may_be_parameter(value):
    """Tell whether a value is an array of floats, a layer, or a list with one of these."""
    if isinstance(value, list | tuple):
        return any(map(_may_be_parameter, value))
    is_floats = isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size > 0
    return is_floats or hasattr(value, "backward")
