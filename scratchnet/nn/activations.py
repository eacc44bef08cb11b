"""Activation functions: leaky ReLU, hyperbolic tangent and sigmoid. (ReLU is in layers.py.)

    LeakyReLU  __/    Tanh  from -1 __/‾‾ to 1    Sigmoid  from 0 __/‾‾ to 1

Each is a layer like those of layers.py, element by element, for arrays of any shape.

In the comments: B images in a batch, N numbers of each.
"""

import numpy as np

from scratchnet.nn.layers import check_shape


class LeakyReLU:
    """Leaky rectifier: y = x where x > 0, and slope · x elsewhere, so that no unit dies for good.

    Its derivative is 1 where x > 0 and `slope` where x < 0; at 0 we take `slope`, as PyTorch does.
    From Maas, Hannun, Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", 2013,
    section 2.
    """

    def __init__(self, slope=0.01):
        """Args: the slope for negative x, between 0 and 1; ValueError otherwise."""
        if not 0 < slope < 1:
            raise ValueError(f"LeakyReLU({slope}): the slope must lie between 0 and 1")
        self.slope = slope
        self.mask = np.empty(0, bool)  # no batch seen yet

    def forward(self, x):
        """Return y, of the shape and dtype of x."""
        self.mask = x > 0  # (B,N), and False for NaN
        return np.maximum(x, x.dtype.type(self.slope) * x)  # (B,N)

    def backward(self, dy):
        """Return dx: dy where x > 0, else slope dy; ValueError if dy has not the last x's shape."""
        check_shape(self, dy, self.mask.shape)
        return dy * np.maximum(self.mask, dy.dtype.type(self.slope))  # (B,N)

    def __repr__(self):
        return f"LeakyReLU({self.slope})"


class Tanh:
    """Hyperbolic tangent: y = tanh(x), from -1 to 1, with the derivative 1 - y²."""

    def __init__(self):
        self.y = np.empty(0)  # no batch seen yet

    def forward(self, x):
        """Return y, of the shape and dtype of x."""
        self.y = np.tanh(x)  # (B,N)
        return self.y

    def backward(self, dy):
        """Return dx = dy (1 - y²); ValueError if dy has not the shape of the last x."""
        check_shape(self, dy, self.y.shape)
        return dy * (1 - self.y * self.y)  # (B,N)

    def __repr__(self):
        return "Tanh()"


class Sigmoid:
    """Logistic sigmoid: y = 1 / (1 + exp(-x)), from 0 to 1, with the derivative y (1 - y)."""

    def __init__(self):
        self.y = np.empty(0)  # no batch seen yet

    def forward(self, x):
        """Return y, of the shape and dtype of x."""
        self.y = sigmoid(x)  # (B,N)
        return self.y

    def backward(self, dy):
        """Return dx = dy y (1 - y); ValueError if dy has not the shape of the last x."""
        check_shape(self, dy, self.y.shape)
        return dy * (1 - self.y) * self.y  # (B,N)

    def __repr__(self):
        return "Sigmoid()"


def sigmoid(x):
    """Return the logistic function 1 / (1 + exp(-x)), of the shape and dtype of x.

    Where x < 0 it is computed as exp(x) / (1 + exp(x)): no exponential overflows, and none is lost
    in the sum with 1.
    """
    exp = np.exp(-np.abs(x))  # in (0,1]
    return np.where(x < 0, exp, x.dtype.type(1)) / (1 + exp)
