"""By what law each layer and each loss computes, and so how far two of their tensors may be apart.

Every function for a layer returns {"y": band, "dx": band}, and "dW" and "db" where there are
weights; a band is a function of no arguments, as most are never asked for. The sums are those of
`rounding`; what a convolution sums up is PyTorch's to say, in float64.

In the comments: B images, C channels in, O channels out; H, W and H', W' pixels in and out.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn import grad

from scratchnet.checking import error_bounds
from torch_ref.lockstep import trace


def linear(pair, layer, x, dy, W, b):
    """Args: `pair` gives (ours, theirs) of a name; names of input and gradient; weights, bias."""
    return {
        "y": lambda: error_bounds.product_band(pair(x), (W, W), extra=_size(b), terms=1),  # (B,O)
        "dW": lambda: error_bounds.product_band(
            tuple(side.T for side in pair(x)), pair(dy)
        ),  # (I,O)
        "db": lambda: error_bounds.sum_band(pair(dy)),  # (O,)
        "dx": lambda: error_bounds.product_band(pair(dy), (W.T, W.T)),  # (B,I)
    }


def conv(pair, layer, x, dy, W, b):
    """A sum over a patch, C·k·k products, for y; over images and places for dW; over O·k·k for dx.

    The arguments are those of `linear`.
    """
    where = {"stride": layer.stride, "padding": layer.padding}

    def images():
        return tuple(side.reshape(layer.shape) for side in pair(x))  # (B,CHW) -> (B,C,H,W)

    def rows(side):
        return side.transpose(0, 2, 3, 1).reshape(-1, len(W))  # (B,O,H',W') -> (BH'W',O)

    def forward(x, W):
        return F.conv2d(x, W, **where)

    def to_weights(x, dy):
        return grad.conv2d_weight(x, W.shape, dy, **where)

    def to_images(dy, W):
        return grad.conv2d_input(layer.shape, W, dy, **where)

    patch, places = W[0].size, pair("labels")[0].size * np.prod(layer.output_shape[2:])
    bias = _size(b)[:, None, None]
    return {
        "y": lambda: error_bounds.bilinear_band(
            images(), (W, W), _torch(forward), patch + 1, extra=bias
        ),
        "dW": lambda: error_bounds.bilinear_band(
            images(), pair(dy), _torch(to_weights), int(places)
        ),
        "db": lambda: error_bounds.sum_band(tuple(map(rows, pair(dy)))),
        "dx": lambda: error_bounds.bilinear_band(
            pair(dy), (W, W), _torch(to_images), W.size // W.shape[1]
        ),
    }


def max_pool(pair, layer, x, dy, W, b):
    """A maximum moves by no more than its window does; nothing is rounded.

    The gradient goes to the pixel that we took: the other side was told to take the same. As no two
    windows overlap, nothing is added up.
    """
    if layer.stride < layer.size:
        raise NotImplementedError("windows that overlap: their gradients would be added up")

    def back():
        taken = trace.largest(layer, pair(x)[0])  # (B,C,H',W')
        shape = pair(x)[0].shape
        moved = np.zeros((*shape[:2], shape[2] * shape[3]))  # (B,C,HW)
        flat = (*shape[:2], -1)
        np.put_along_axis(moved, taken.reshape(flat), _gap(pair(dy)).reshape(flat), axis=2)
        return moved.reshape(shape)  # (B,C,H,W)

    def forward():
        gap = torch.from_numpy(_gap(pair(x)))
        return F.max_pool2d(gap, layer.size, layer.stride).numpy()  # (B,C,H',W')

    return {"y": forward, "dx": back}


def relu(pair, layer, x, dy, W, b):
    """Nothing is rounded, and no slope is over 1."""
    return {"y": lambda: _gap(pair(x)), "dx": lambda: _gap(pair(dy))}


def leaky_relu(pair, layer, x, dy, W, b):
    """Nothing is rounded where the slope is 1; both sides take the same one of the two slopes."""

    def bent(name):
        on, scaled = pair(x)[0] > 0, error_bounds.scaled_band(pair(name), layer.slope)
        return np.where(on, _gap(pair(name)), scaled)

    return {"y": lambda: bent(x), "dx": lambda: bent(dy)}


def tanh(pair, layer, x, dy, W, b):
    """Going back, the inputs are dy and y, as either side has computed it."""
    y = dy.removeprefix("d")
    return {
        "y": lambda: error_bounds.tanh_band(pair(x)),
        "dx": lambda: error_bounds.tanh_slope_band(pair(dy), pair(y)),
    }


def sigmoid(pair, layer, x, dy, W, b):
    """As for `tanh`."""
    y = dy.removeprefix("d")
    return {
        "y": lambda: error_bounds.sigmoid_band(pair(x)),
        "dx": lambda: error_bounds.sigmoid_slope_band(pair(dy), pair(y)),
    }


def flatten(pair, layer, x, dy, W, b):
    """The same numbers in another shape."""
    return {
        "y": lambda: _gap(pair(x)).reshape(pair(dy)[1].shape),  # (B,CHW)
        "dx": lambda: _gap(pair(dy)).reshape(pair(x)[1].shape),  # (B,C,H,W)
    }


LAWS = {
    "Linear": linear,
    "Conv2d": conv,
    "MaxPool2d": max_pool,
    "ReLU": relu,
    "LeakyReLU": leaky_relu,
    "Tanh": tanh,
    "Sigmoid": sigmoid,
    "Flatten": flatten,
}


class Loss(NamedTuple):
    """A loss in PyTorch, and the bands around its value and its gradient."""

    criterion: object  # of logits and labels, as in torch.nn.functional
    value: object  # of the pair of logits, and labels
    gradient: object  # of the pairs of logits and gradients


LOSSES = {
    "softmax_cross_entropy": Loss(
        F.cross_entropy, error_bounds.loss_band, error_bounds.dlogits_band
    ),
    "binary_cross_entropy": Loss(
        F.binary_cross_entropy_with_logits,
        error_bounds.binary_loss_band,
        error_bounds.binary_dlogits_band,
    ),
}


def _size(b):
    return np.abs(b.astype(np.float64))


def _gap(pair):
    ours, theirs = pair
    return np.abs(ours.astype(np.float64) - theirs)


def _torch(function):
    return lambda *arrays: function(*map(torch.from_numpy, arrays)).numpy()
