"""Optimisers: stochastic gradient descent (SGD) with momentum and weight decay, and Adam.

    W ──> W - lr · dW        gradient descent: a small step against the gradient

The network knows its gradient, the optimiser how far to step; neither does the other's work.
"""

import math

import numpy as np


class SGD:
    """Stochastic gradient descent with momentum and weight decay, as `torch.optim.SGD` defines it.

    For each parameter p with gradient g and velocity v, which starts at 0:

        g ← g + weight_decay · p
        v ← momentum · v + g
        p ← p - lr · v

    The learning rate stands outside the velocity, unlike in Sutskever et al., "On the importance of
    initialization and momentum in deep learning" (2013), section 2: changing lr acts at once.
    """

    def __init__(self, network, lr, momentum=0.0, weight_decay=0.0):
        """Args are floats: lr over 0, momentum and weight_decay from 0; ValueError otherwise."""
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"lr must be a positive number, not {lr}")
        for name, value in (("momentum", momentum), ("weight_decay", weight_decay)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number from 0 on, not {value}")
        self.network = network
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.velocities = [(name, np.zeros_like(p)) for name, p in network.parameters()]

    def step(self):
        """Update every parameter of the network in place, by its gradient of the last backward."""
        parameters, gradients = self.network.parameters(), self.network.gradients()
        for (_, p), (_, g), (_, v) in zip(parameters, gradients, self.velocities, strict=True):
            if self.weight_decay:
                g = g + self.weight_decay * p  # a new array: dW stays what backward found
            if self.momentum:
                v *= self.momentum
                v += g
                g = v
            p -= self.lr * g

    def state(self):
        """Return the state kept between steps: {"v": [(name, array), ...]}, or {}."""
        return {"v": self.velocities} if self.momentum else {}


def adam_update(p, g, m, v, step_size, sqrt_correction2, betas, eps):
    """Adam's update of a parameter p and its moment estimates m and v, in place, by gradient g.

    Args:
        p, g, m, v: arrays of one shape and dtype.
        step_size, sqrt_correction2: lr / (1 - β1ᵗ) and √(1 - β2ᵗ): the bias correction of m and v,
            computed once for all elements.
        betas, eps: those of `Adam`.
    """
    beta1, beta2 = betas
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * (g * g)
    p -= step_size * m / (np.sqrt(v) / sqrt_correction2 + eps)


class Adam:
    """Adaptive moment estimation, as `torch.optim.Adam` defines it.

    From Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, Algorithm 1. For each
    parameter p with gradient g, in step t = 1, 2, ...; m and v start at 0:

        m ← β1 m + (1 - β1) g             first moment estimate: running mean of the gradient
        v ← β2 v + (1 - β2) g²            second moment estimate: running mean of its square
        m̂ = m / (1 - β1ᵗ)                 bias correction: the estimates start at 0, and without it
        v̂ = v / (1 - β2ᵗ)                 the first of them would be too small
        p ← p - lr · m̂ / (√v̂ + eps)

    So every parameter has a step size of its own, about lr, whatever the scale of its gradient.

    Attributes:
        first_moments, second_moments: [(name, m), ...] and [(name, v), ...], of the parameters.
        steps: the number of steps taken, t, as an array of no dimensions.
    """

    def __init__(self, network, lr, betas=(0.9, 0.999), eps=1e-8, update=adam_update):
        """Start with both moment estimates at 0.

        Args:
            network: the network whose parameters it updates.
            lr, betas, eps: floats: lr and eps over 0, betas from 0 and below 1; or ValueError.
            update: `adam_update`, or `scratchnet.kernels.adam.adam_update`, the same compiled.
        """
        for name, value in (("lr", lr), ("eps", eps)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, not {value}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must lie between 0 and 1, not {betas}")
        self.network = network
        self.lr, self.betas, self.eps, self.update = lr, betas, eps, update
        self.first_moments = [(name, np.zeros_like(p)) for name, p in network.parameters()]
        self.second_moments = [(name, np.zeros_like(p)) for name, p in network.parameters()]
        self.steps = np.zeros((), np.int64)

    def step(self):
        """Update every parameter of the network in place, by its gradient of the last backward."""
        self.steps += 1
        correction1, correction2 = (1 - beta ** int(self.steps) for beta in self.betas)
        step_size, sqrt_correction2 = self.lr / correction1, math.sqrt(correction2)
        parameters, gradients = self.network.parameters(), self.network.gradients()
        moments = self.first_moments, self.second_moments
        for (_, p), (_, g), (_, m), (_, v) in zip(parameters, gradients, *moments, strict=True):
            self.update(p, g, m, v, step_size, sqrt_correction2, self.betas, self.eps)

    def state(self):
        """Return the state kept between steps: {"m": [(name, m), ...], "v": ..., "t": steps}."""
        return {"m": self.first_moments, "v": self.second_moments, "t": self.steps}
