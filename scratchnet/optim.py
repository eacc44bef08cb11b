"""Downhill: every weight takes a small step against its gradient.

    W ──> W - lr · dW

The network knows its slope, the optimiser knows how far to go; neither does the other's work.
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
        """Change every parameter of the network in place, by its gradient of the last backward."""
        parameters, gradients = self.network.parameters(), self.network.gradients()
        for (_, p), (_, g), (_, v) in zip(parameters, gradients, self.velocities, strict=True):
            if self.weight_decay:
                g = g + self.weight_decay * p  # a new array: dW stays what backward found
            if self.momentum:
                v *= self.momentum
                v += g
                g = v
            p -= self.lr * g
