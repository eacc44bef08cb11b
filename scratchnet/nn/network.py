"""Backpropagation: a network is its layers in order, and its gradient the same list backwards.

    forward:   x ──> layers[0] ──> layers[1] ──> ... ──> logits
    backward:       <── layers[0] <── layers[1] <── ... <── dlogits

That walk is the chain rule, and all there is to backpropagation (Rumelhart, Hinton, Williams,
"Learning representations by back-propagating errors", 1986). README.md beside this file derives it.
"""

from itertools import pairwise

import numpy as np

from scratchnet.nn.layers import Linear, ReLU
from scratchnet.nn.parameters import check_parameters, parameter_names


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
