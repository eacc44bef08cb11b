"""A network is its layers in order; its gradient is the same list walked backwards.

    forward:   x ──> layers[0] ──> layers[1] ──> ... ──> logits
    backward:       <── layers[0] <── layers[1] <── ... <── dlogits

That walk is the chain rule, and all there is to backpropagation (Rumelhart, Hinton, Williams,
"Learning representations by back-propagating errors", 1986).
"""

from itertools import pairwise

import numpy as np

from scratchnet.layers import Linear, ReLU


class MLP:
    """A multilayer perceptron: Linear, ReLU, Linear, ReLU, ..., Linear.

    Nothing follows the last Linear: its outputs are the logits, and the softmax is in the loss.
    """

    def __init__(self, sizes, *, rng, dtype=np.float32, matmul=np.matmul):
        """Build the layers from the widths `sizes`, for example (784, 128, 64, 10).

        Args:
            sizes: inputs, hidden widths in order, classes; two numbers at least, each at least 1.
            rng, dtype, matmul: handed to every `Linear`; the layers draw from `rng` in order.
        """
        if len(sizes) < 2:
            raise ValueError(f"an MLP needs the numbers of inputs and classes, not sizes={sizes}")
        self.layers = []
        for n_in, n_out in pairwise(sizes):
            self.layers.append(Linear(n_in, n_out, rng=rng, dtype=dtype, matmul=matmul))
            self.layers.append(ReLU())
        self.layers.pop()

    @property
    def linears(self):
        """The layers that have weights, in order."""
        return self.layers[::2]

    def forward(self, x):
        """Return the logits (B, classes) for the images x (B, inputs)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dlogits):
        """Leave dW and db in every Linear, for the batch that `forward` saw last."""
        dy = dlogits  # (B, classes)
        for layer in reversed(self.layers[1:]):
            dy = layer.backward(dy)
        self.layers[0].backward(dy, need_dx=False)

    def parameters(self):
        """Return [(name, array), ...]: the weights themselves, not copies, in a fixed order."""
        return [
            pair
            for i, layer in enumerate(self.linears, start=1)
            for pair in ((f"linear{i}.W", layer.W), (f"linear{i}.b", layer.b))
        ]

    def gradients(self):
        """Return [(name, array), ...] of the last backward pass, in the order of `parameters`."""
        return [
            pair
            for i, layer in enumerate(self.linears, start=1)
            for pair in ((f"linear{i}.dW", layer.dW), (f"linear{i}.db", layer.db))
        ]
