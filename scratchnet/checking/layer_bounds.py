"""Forward error bounds of each layer and each loss: how far two computations of it may be apart.

LAYERS is the one table of the layers that can be traced and compared: to each its letter, which
names its output in a trace, and its bounds. A layer that is not in it is refused.

The bounds of a layer are a function that returns {"y": bound, "dx": bound}, and "dW" and "db" if
the layer has parameters; a bound is a function of no arguments, as most are never asked for. The
sums are those of `error_bounds`. What a convolution sums up is what our own operations compute of
absolute values in float64.

In the comments: B images, C channels in, O channels out; H, W and H', W' pixels in and out.
"""

from typing import NamedTuple

import numpy as np

from scratchnet.checking import error_bounds
from scratchnet.checking.error_bounds import apart
from scratchnet.nn.conv import NUMPY_OPS


def linear(pair, layer, x, dy, W, b):
    """Args: `pair` gives (ours, theirs) of a name; names of input and gradient; weights, bias."""
    return {
        "y": lambda: error_bounds.product_bound(pair(x), (W, W), extra=_size(b), terms=1),  # (B,O)
        "dW": lambda: error_bounds.product_bound([x.T for x in pair(x)], pair(dy)),  # (I,O)
        "db": lambda: error_bounds.sum_bound(pair(dy)),  # (O,)
        "dx": lambda: error_bounds.product_bound(pair(dy), (W.T, W.T)),  # (B,I)
    }


def conv(pair, layer, x, dy, W, b):
    """A sum over a patch, C·k·k products, for y; over images and places for dW; over O·k·k for dx.

    The arguments are those of `linear`.
    """
    step = layer.stride, layer.padding

    def images():
        return tuple(side.reshape(layer.shape) for side in pair(x))  # (B,CHW) -> (B,C,H,W)

    def gradients():
        return tuple(side.transpose(1, 2, 3, 0) for side in pair(dy))  # (B,O,H',W') -> (O,H',W',B)

    def forward(x, W):
        y, _ = NUMPY_OPS.conv2d(W, x, *step, np.matmul)  # (O,H',W',B)
        return y.transpose(3, 0, 1, 2)  # (B,O,H',W')

    def to_weights(x, dy):
        _, patches = NUMPY_OPS.conv2d(W, x, *step, np.matmul)  # (C,k,k,H',W',B)
        return NUMPY_OPS.conv2d_weight(patches, dy, np.matmul)  # (O,C,k,k)

    def to_images(dy, W):
        return NUMPY_OPS.conv2d_input(W, dy, layer.shape, *step, np.matmul)  # (B,C,H,W)

    def rows(side):
        return side.reshape(len(W), -1).T  # (O,H',W',B) -> (H'W'B,O)

    bilinear, bias = error_bounds.bilinear_bound, _size(b)[:, None, None]  # (O,1,1)
    return {
        "y": lambda: bilinear(images(), (W, W), forward, W[0].size + 1, extra=bias),
        "dW": lambda: bilinear(images(), gradients(), to_weights, pair(dy)[1][:, 0].size),
        "db": lambda: error_bounds.sum_bound(tuple(map(rows, gradients()))),  # (O,)
        "dx": lambda: bilinear(gradients(), (W, W), to_images, W[:, 0].size),
    }


def max_pool(pair, layer, x, dy, W, b):
    """A maximum moves by no more than its window does; nothing is rounded.

    The gradient goes to the pixel that we took: the other side was told to take the same. As no two
    windows overlap, nothing is added up.
    """
    if layer.stride < layer.size:
        raise NotImplementedError("windows that overlap: their gradients would be added up")
    window = layer.size, layer.stride

    def back():
        images = pair(x)[0]  # (B,C,H,W)
        _, argmax = NUMPY_OPS.max_pool(images, *window)  # (B,C,H',W')
        return NUMPY_OPS.max_pool_backward(apart(pair(dy)), argmax, images, *window)  # (B,C,H,W)

    return {"y": lambda: NUMPY_OPS.max_pool(apart(pair(x)), *window)[0], "dx": back}


def relu(pair, layer, x, dy, W, b):
    """Nothing is rounded, and no slope is over 1."""
    return {"y": lambda: apart(pair(x)), "dx": lambda: apart(pair(dy))}


def leaky_relu(pair, layer, x, dy, W, b):
    """Nothing is rounded where the slope is 1; both sides take the same one of the two slopes."""

    def sloped(name):
        on, scaled = pair(x)[0] > 0, error_bounds.scaled_bound(pair(name), layer.slope)
        return np.where(on, apart(pair(name)), scaled)

    return {"y": lambda: sloped(x), "dx": lambda: sloped(dy)}


def tanh(pair, layer, x, dy, W, b):
    """Going back, the inputs are dy and y, as either side has computed it."""
    return _smooth(error_bounds.tanh_bound, False, pair, x, dy)


def sigmoid(pair, layer, x, dy, W, b):
    """As for `tanh`."""
    return _smooth(error_bounds.sigmoid_bound, True, pair, x, dy)


def _smooth(bound, linear, pair, x, dy):
    y = dy.removeprefix("d")
    return {
        "y": lambda: bound(pair(x)),
        "dx": lambda: error_bounds.slope_bound(pair(dy), pair(y), linear),
    }


def flatten(pair, layer, x, dy, W, b):
    """The same numbers in another shape."""
    return {
        "y": lambda: apart(pair(x)).reshape(pair(dy)[1].shape),  # (B,CHW)
        "dx": lambda: apart(pair(dy)).reshape(pair(x)[1].shape),  # (B,C,H,W)
    }


class LayerCheck(NamedTuple):
    """What checking has to know about a layer."""

    letter: str  # of its output in a trace; "z" if it has parameters
    bounds: object  # a function like `linear`


# By the names of the classes, which are PyTorch's as well. The twins are in torch_ref/model.py.
LAYERS = {
    "Linear": LayerCheck("z", linear),
    "Conv2d": LayerCheck("z", conv),
    "MaxPool2d": LayerCheck("p", max_pool),
    "Flatten": LayerCheck("f", flatten),
    "ReLU": LayerCheck("a", relu),
    "LeakyReLU": LayerCheck("a", leaky_relu),
    "Tanh": LayerCheck("a", tanh),
    "Sigmoid": LayerCheck("a", sigmoid),
}


# Of each loss (of the pair of logits, and labels) and gradient (of the pairs of logits, dlogits).
LOSSES = {
    "softmax_cross_entropy": (error_bounds.loss_bound, error_bounds.dlogits_bound),
    "binary_cross_entropy": (error_bounds.binary_loss_bound, error_bounds.binary_dlogits_bound),
}


def known(layer, table=LAYERS):
    """Return the row of a layer in a table by class names; TypeError if it has none."""
    name = type(layer).__name__
    if name not in table:
        raise TypeError(
            f"no check is known for the layer {name}: it needs a row in "
            "scratchnet.checking.layer_bounds.LAYERS and one in torch_ref.model.TWINS"
        )
    return table[name]


def layer_names(layers):
    """Name the outputs of the layers, ours or PyTorch's: z1, a1, z2, ..., logits.

    The number is that of the last layer with parameters. TypeError for a layer without a row.
    """
    letters = [known(layer).letter for layer in layers]
    numbers = np.cumsum([letter == "z" for letter in letters])
    return [f"{z}{i}" for z, i in zip(letters[:-1], numbers[:-1], strict=True)] + ["logits"]


def step_bounds(network, loss, optimiser, before, ours, theirs):
    """Return {name: function that gives the error bound, or None for the same bits} for a step.

    The names stand in the order of computation.

    Args:
        network: scratchnet's.
        loss: the two bounds of it, as in LOSSES.
        optimiser: a function of a name "W1", of `pair`, and of `before`, that returns
            {name: bound} of that parameter and of the optimiser's state for it.
        before: {"W1": array, "vW1": array, ...}, from which both sides started.
        ours, theirs: the two traces.
    """

    def pair(name):
        return ours[name], theirs[name]

    layers = list(network.layers)
    while known(layers[-1]).letter != "z":  # the logits are the last sums; more is a mistake
        layers.pop()
    outputs = layer_names(layers)
    inputs = ["x", *outputs[:-1]]
    numbers = np.cumsum([known(layer).letter == "z" for layer in layers]).tolist()
    per_layer = [
        known(layer).bounds(pair, layer, x, f"d{y}", before[f"W{i}"], before[f"b{i}"])
        for layer, x, y, i in zip(layers, inputs, outputs, numbers, strict=True)
    ]

    bounds = dict.fromkeys(name for name in ("x", "labels") if name in ours)
    bounds |= {y: of["y"] for y, of in zip(outputs, per_layer, strict=True)}
    loss_bound, dlogits_bound = loss
    bounds["loss"] = lambda: loss_bound(pair("logits"), theirs["labels"])
    bounds["dlogits"] = lambda: dlogits_bound(pair("logits"), pair("dlogits"))
    for x, i, of in reversed(list(zip(inputs, numbers, per_layer, strict=True))):
        bounds |= {f"{kind}{i}": of[kind] for kind in ("dW", "db") if kind in of}
        if x != "x":  # nobody needs the gradient of the images
            bounds[f"d{x}"] = of["dx"]
    if "t" in before:  # the number of steps
        bounds["t"] = None
    for p in (f"{kind}{i}" for i in range(1, numbers[-1] + 1) for kind in "Wb"):
        bounds |= optimiser(p, pair, before)
    return bounds


def _size(b):
    return np.abs(b.astype(np.float64))
