"""The same network, as any PyTorch user would write it.

    scratchnet   y = x @ W + b       W (I,O)
    PyTorch      y = x @ Aᵀ + b      A (O,I), which `nn.Linear` calls weight

Only this file knows that the one is the transpose of the other. A bias is a vector, and the `.T` of
a vector is itself, so a single `.T` carries any parameter across.

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


def to_torch(mlp):
    """Return a TorchMLP with the weights of a scratchnet MLP, bit for bit, in memory of its own."""
    first = mlp.linears[0].W
    sizes = (len(first), *(layer.W.shape[1] for layer in mlp.linears))
    model = TorchMLP(sizes, dtype=torch.from_numpy(first).dtype)
    copy_weights(mlp, model)
    return model


def from_torch(model):
    """Return a scratchnet MLP with the weights of a TorchMLP, or of an `nn.Sequential` like it."""
    linears = [layer for layer in model if isinstance(layer, nn.Linear)]
    sizes = (linears[0].in_features, *(layer.out_features for layer in linears))
    dtype = linears[0].weight.detach().numpy().dtype
    # Every weight drawn here is overwritten below.
    mlp = scratchnet.MLP(sizes, rng=np.random.default_rng(0), dtype=dtype)
    for (_, ours), (_, theirs) in zip(mlp.parameters(), parameters(model), strict=True):
        ours[:] = theirs
    return mlp


@torch.no_grad()
def copy_weights(mlp, model):
    """Overwrite the parameters of the TorchMLP with those of the scratchnet MLP."""
    for (_, ours), theirs in zip(mlp.parameters(), model.parameters(), strict=True):
        theirs.copy_(torch.from_numpy(ours.T))


def copy_velocities(sgd, optimiser):
    """Overwrite the momentum buffers of a `torch.optim.SGD` with the velocities of our SGD."""
    (group,) = optimiser.param_groups
    for (_, ours), theirs in zip(sgd.velocities, group["params"], strict=True):
        optimiser.state[theirs]["momentum_buffer"] = torch.from_numpy(ours.T).clone()


def parameters(model):
    """Return [(name, array), ...] in the names, order and shapes of `scratchnet.MLP.parameters`.

    The arrays look into PyTorch's memory: they change when the model does.
    """
    return _named(model.parameters(), "W", "b")


def gradients(model):
    """Return [(name, array), ...] of the last backward pass, as `scratchnet.MLP.gradients`."""
    return _named((p.grad for p in model.parameters()), "dW", "db")


def velocities(optimiser):
    """Return [(name, array), ...] as `scratchnet.SGD.velocities`."""
    (group,) = optimiser.param_groups
    return _named((optimiser.state[p]["momentum_buffer"] for p in group["params"]), "W", "b")


def _named(tensors, weight, bias):
    return [
        (f"linear{1 + i // 2}.{(weight, bias)[i % 2]}", tensor.detach().numpy().T)
        for i, tensor in enumerate(tensors)
    ]
