"""Adam: every weight has a step of its own, about lr long, whatever the size of its gradient."""

import math

import numpy as np


def update(p, g, m, v, lr, root, betas, eps):
    """Change a parameter p and its running means m and v in place, by its gradient g.

    Args:
        p, g, m, v: arrays of one shape and dtype.
        lr, root: lr / (1 - β1ᵗ) and √(1 - β2ᵗ), which make up for the means' start at 0.
        betas, eps: those of `Adam`.
    """
    beta1, beta2 = betas
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * (g * g)
    p -= lr * m / (np.sqrt(v) / root + eps)


class Adam:
    """Adaptive moments, as `torch.optim.Adam` has them.

    From Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, Algorithm 1. For each
    parameter p with gradient g, in step t = 1, 2, ...; m and v start at 0:

        m ← β1 m + (1 - β1) g             running mean of the gradient
        v ← β2 v + (1 - β2) g²            and of its square
        p ← p - lr · m̂ / (√v̂ + eps)       m̂ = m / (1 - β1ᵗ),  v̂ = v / (1 - β2ᵗ)

    The divisions make up for the start at 0: without them, the first means would be too small.

    Attributes:
        means, squares: [(name, m), ...] and [(name, v), ...], of the parameters.
        steps: how many were taken, t, as an array of no dimensions.
    """

    def __init__(self, network, lr, betas=(0.9, 0.999), eps=1e-8, update=update):
        """Start with all means at 0.

        Args:
            network: whose parameters it changes.
            lr, betas, eps: floats: lr and eps over 0, betas from 0 and below 1; or ValueError.
            update: the function above, or `scratchnet.kernels.adam.update`, the same compiled.
        """
        for name, value in (("lr", lr), ("eps", eps)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, not {value}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must lie between 0 and 1, not {betas}")
        self.network = network
        self.lr, self.betas, self.eps, self.update = lr, betas, eps, update
        self.means = [(name, np.zeros_like(p)) for name, p in network.parameters()]
        self.squares = [(name, np.zeros_like(p)) for name, p in network.parameters()]
        self.steps = np.zeros((), np.int64)

    def step(self):
        """Change every parameter of the network in place, by its gradient of the last backward."""
        self.steps += 1
        first, second = (1 - beta ** int(self.steps) for beta in self.betas)
        lr, root = self.lr / first, math.sqrt(second)
        parameters, gradients = self.network.parameters(), self.network.gradients()
        for (_, p), (_, g), (_, m), (_, v) in zip(
            parameters, gradients, self.means, self.squares, strict=True
        ):
            self.update(p, g, m, v, lr, root, self.betas, self.eps)
