"""The same networks, as any PyTorch user would write them.

    scratchnet   y = x @ W + b       W (I,O)
    PyTorch      y = x @ Aᵀ + b      A (O,I), which `nn.Linear` calls weight

Only this file knows that the one is the transpose of the other. Kernels of convolutions (O,C,k,k)
and biases are the same on both sides.

In the comments: I inputs, O outputs.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn

import scratchnet


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


def to_torch(network):
    """Return the twin of a scratchnet network, with its weights, bit for bit, in its own memory."""
    shapes = [layer.W.shape for layer in network.parametric_layers]
    convs = [shape for shape in shapes if len(shape) == 4]
    dense = [shape for shape in shapes if len(shape) == 2]
    widths = [n_out for _, n_out in dense]
    dtype = torch.from_numpy(network.parametric_layers[0].W).dtype
    if convs:
        channels = [n_out for n_out, *_ in convs]
        model = TorchCNN(widths, network.image, channels, convs[0][-1], dtype=dtype)
    else:
        model = TorchMLP((dense[0][0], *widths), dtype=dtype)
    copy_weights(network, model)
    return model


def from_torch(model):
    """Return a scratchnet network with the weights of a TorchMLP, of an `nn.Sequential` like it, or
    of a TorchCNN."""
    convs = [layer for layer in model if isinstance(layer, nn.Conv2d)]
    dense = [layer for layer in model if isinstance(layer, nn.Linear)]
    widths = [layer.out_features for layer in dense]
    # Every weight drawn here is overwritten below.
    drawn = {"rng": np.random.default_rng(0), "dtype": dense[0].weight.detach().numpy().dtype}
    if convs:
        channels, size = [layer.out_channels for layer in convs], convs[0].kernel_size[0]
        cnn = {"image": model.image, "channels": channels, "size": size}
        network = scratchnet.CNN(widths, **cnn, **drawn)
    else:
        network = scratchnet.MLP((dense[0].in_features, *widths), **drawn)
    for (_, ours), (_, theirs) in zip(network.parameters(), parameters(model), strict=True):
        ours[:] = theirs
    return network


@torch.no_grad()
def copy_weights(network, model):
    """Overwrite the parameters of the PyTorch model with those of the scratchnet network."""
    for (_, ours), theirs in zip(network.parameters(), model.parameters(), strict=True):
        theirs.copy_(torch.from_numpy(across(ours)))


def parameters(model):
    """Return [(name, array), ...] in the names, order and shapes of scratchnet's `parameters`.

    The arrays look into PyTorch's memory: they change when the model does.
    """
    return named(model.parameters(), "W", "b")


def gradients(model):
    """Return [(name, array), ...] of the last backward pass, as scratchnet's `gradients`."""
    return named((p.grad for p in model.parameters()), "dW", "db")


def named(tensors, weight, bias):
    """Return [("linear1.W", array), ...] of PyTorch's tensors weight, bias, weight, bias, ..."""
    arrays = [tensor.detach().numpy() for tensor in tensors]
    pairs = []
    for i, (W, b) in enumerate(zip(arrays[::2], arrays[1::2], strict=True), start=1):
        layer = f"{'conv' if W.ndim == 4 else 'linear'}{i}"
        pairs += [(f"{layer}.{weight}", across(W)), (f"{layer}.{bias}", b)]
    return pairs


def across(array):
    """The array as the other side has it: the weights of a Linear are transposed."""
    return array.T if array.ndim == 2 else array
