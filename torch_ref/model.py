"""The same networks in PyTorch, and how weights cross over from one side to the other.

    scratchnet   y = x @ W + b       W (I,O)
    PyTorch      y = x @ Aᵀ + b      A (O,I), which `nn.Linear` calls weight

Only this file knows that the one is the transpose of the other. Kernels of convolutions (O,C,k,k)
and biases are the same on both sides. TWINS is the table of the layers that have a twin in PyTorch;
a layer that is not in it is refused.

In the comments: I inputs, O outputs.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

import scratchnet
from scratchnet.checking.layer_bounds import known


class TorchMLP(nn.Sequential):
    """Linear, ReLU, Linear, ReLU, ..., Linear: logits out, the softmax is in the loss.

    The state_dict is that of a plain `nn.Sequential` of the same layers: "0.weight", "0.bias", ...
    """

    def __init__(self, sizes, *, dtype=torch.float32):
        """Build the layers from the widths `sizes`, for example (784, 128, 64, 10)."""
        layers = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out, dtype=dtype), nn.ReLU()]
        super().__init__(*layers[:-1])


class TorchCNN(nn.Sequential):
    """Conv2d, ReLU, MaxPool2d for each number of channels, Flatten, and what makes a TorchMLP."""

    def __init__(
        self, widths=(128, 10), image=(1, 28, 28), channels=(16, 32), size=5, *, dtype=torch.float32
    ):
        """The arguments are those of `scratchnet.CNN`."""
        n_in, height, width = self.image = image
        layers = []
        for n_out in channels:
            conv = nn.Conv2d(n_in, n_out, size, padding=size // 2, dtype=dtype)
            layers += [conv, nn.ReLU(), nn.MaxPool2d(2)]
            n_in, height, width = n_out, height // 2, width // 2
        dense = TorchMLP((n_in * height * width, *widths), dtype=dtype)
        super().__init__(*layers, nn.Flatten(), *dense)

    def forward(self, x):
        return super().forward(x.view(-1, *self.image))  # (B,CHW) -> (B,C,H,W)


class Twin(NamedTuple):
    """A layer in PyTorch."""

    build: object  # a function of our layer that returns PyTorch's, with weights of its own
    name: str = ""  # of the parameters, as in linear1.W
    parameters: tuple = ()  # (ours, theirs, a function that is its own inverse), ...


WEIGHT, BIAS = ("W", "weight", lambda array: array), ("b", "bias", lambda array: array)
# By the names of the classes, which are scratchnet's as well.
TWINS = {
    "Linear": Twin(
        lambda layer: nn.Linear(*layer.W.shape),
        "linear",
        (("W", "weight", np.transpose), BIAS),  # (I,O) <-> (O,I)
    ),
    "Conv2d": Twin(
        lambda layer: nn.Conv2d(
            *(layer.W.shape[1], *layer.W.shape[::3]), layer.stride, layer.padding
        ),
        "conv",
        (WEIGHT, BIAS),
    ),
    "MaxPool2d": Twin(lambda layer: nn.MaxPool2d(layer.size, layer.stride)),
    "Flatten": Twin(lambda layer: nn.Flatten()),
    "ReLU": Twin(lambda layer: nn.ReLU()),
    "LeakyReLU": Twin(lambda layer: nn.LeakyReLU(layer.slope)),
    "Tanh": Twin(lambda layer: nn.Tanh()),
    "Sigmoid": Twin(lambda layer: nn.Sigmoid()),
}


def to_torch(network):
    """Return the twin of a scratchnet network, with its weights, bit for bit, in its own memory.

    For an MLP or a CNN it is the one that a PyTorch user would write from the same widths, so that
    a layer too many or too few on our side cannot go unnoticed; any other network is translated
    layer by layer. TypeError if a layer is not in TWINS.
    """
    twins = [known(layer, TWINS) for layer in network.layers]
    shapes = [layer.W.shape for layer in network.parametric_layers]
    widths = [n_out for _, n_out in (shape for shape in shapes if len(shape) == 2)]
    kind = type(network).__name__
    if kind == "MLP":
        model = TorchMLP((shapes[0][0], *widths))
    elif kind == "CNN":
        kernels = [shape for shape in shapes if len(shape) == 4]
        channels = [n_out for n_out, *_ in kernels]
        model = TorchCNN(widths, network.image, channels, kernels[0][-1])
    else:
        pairs = zip(twins, network.layers, strict=True)
        model = nn.Sequential(*(twin.build(layer) for twin, layer in pairs))
    model.to(torch.from_numpy(network.parametric_layers[0].W).dtype)
    copy_weights(network, model)
    return model


def from_torch(model):
    """Return a scratchnet network with the weights of a TorchMLP, of an `nn.Sequential` like it, or
    of a TorchCNN; TypeError for one of other layers."""
    convs = [layer for layer in model if isinstance(layer, nn.Conv2d)]
    dense = [layer for layer in model if isinstance(layer, nn.Linear)]
    widths = [layer.out_features for layer in dense]
    # Every weight drawn here is overwritten below.
    layer_args = {"rng": np.random.default_rng(0), "dtype": dense[0].weight.detach().numpy().dtype}
    if convs:
        channels, size = [layer.out_channels for layer in convs], convs[0].kernel_size[0]
        cnn = {"image": model.image, "channels": channels, "size": size}
        network = scratchnet.CNN(widths, **cnn, **layer_args)
    else:
        network = scratchnet.MLP((dense[0].in_features, *widths), **layer_args)
    names, ours = ([type(layer).__name__ for layer in side] for side in (model, network.layers))
    if names != ours:
        raise TypeError(f"a network of {names} is neither an MLP nor a CNN of scratchnet: {ours}")
    for (_, ours), (_, theirs) in zip(network.parameters(), parameters(model), strict=True):
        ours[:] = theirs
    return network


@torch.no_grad()
def copy_weights(network, model):
    """Overwrite the parameters of the PyTorch model with those of the scratchnet network."""
    ours = network.parameters()
    for (_, array), (_, _, theirs, across) in zip(ours, each_parameter(model), strict=True):
        theirs.copy_(torch.from_numpy(across(array)))


def parameters(model):
    """Return [(name, array), ...] in the names, order and shapes of scratchnet's `parameters`.

    The arrays look into PyTorch's memory: they change when the model does.
    """
    each = each_parameter(model)
    return [(f"{layer}.{p}", across(t.detach().numpy())) for layer, p, t, across in each]


def gradients(model):
    """Return [(name, array), ...] of the last backward pass, as scratchnet's `gradients`."""
    each = each_parameter(model)
    return [(f"{layer}.d{p}", across(t.grad.numpy())) for layer, p, t, across in each]


def each_parameter(model):
    """Yield (layer, parameter, tensor, across), such as ("linear1", "W", ...), in our order.

    `across` is a function of an array as it is on one side that returns it as on the other.
    """
    number = 0
    for module in model:
        twin = known(module, TWINS)
        number += bool(twin.parameters)
        for ours, theirs, across in twin.parameters:
            yield f"{twin.name}{number}", ours, getattr(module, theirs), across
