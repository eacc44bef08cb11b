"""A training step leaves a trace: every tensor it computed, by name.

    x ─> z1 ─> a1 ─> z2 ─> a2 ─> logits ─> loss
         dz1 <─ da1 <─ dz2 <─ da2 <─ dlogits <─'      and dW1, db1, ... beside them
    then the velocities vW1, vb1, ... and the parameters W1, b1, ... after the update

What max pooling number 1 makes of a1 is p1, and flattened it is f1.

Both networks are watched from outside while they do what they always do: scratchnet through its
methods `forward` and `backward`, PyTorch through its hooks. Neither knows that it is watched.
"""

import re
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from torch_ref import model as torch_model

LETTERS = {"Linear": "z", "Conv2d": "z", "ReLU": "a", "MaxPool2d": "p", "Flatten": "f"}


def layer_names(layers):
    """Name the outputs of the layers, ours or PyTorch's: z1, a1, z2, ..., logits.

    The number is that of the last layer with weights.
    """
    letters = [LETTERS[type(layer).__name__] for layer in layers]
    numbers = np.cumsum([letter == "z" for letter in letters])
    return [f"{z}{i}" for z, i in zip(letters[:-1], numbers[:-1], strict=True)] + ["logits"]


def state(network, optimiser):
    """Return copies of the parameters {"W1": array, ...} and velocities {"vW1": array, ...}."""
    return _short(network.parameters()) | _short(optimiser.velocities, prefix="v")


def trace_scratchnet(network, optimiser, loss_function, x, labels):
    """Take one training step with scratchnet; return {name: array}, all of them copies."""
    trace = {"x": x.copy(), "labels": labels.copy()}
    with _watched(network, trace):
        logits = network.forward(x)
        loss, dlogits = loss_function(logits, labels)
        trace |= {"loss": np.array(loss), "dlogits": dlogits.copy()}
        network.backward(dlogits)
    trace |= _short(network.gradients())
    optimiser.step()
    if optimiser.momentum:
        trace |= _short(optimiser.velocities, prefix="v")
    return trace | _short(network.parameters())


@contextmanager
def _watched(network, trace):
    """Write what every layer returns into the trace, while the body runs."""
    names = layer_names(network.layers)
    for name, layer in zip(names, network.layers, strict=True):
        layer.forward = _recording(layer.forward, trace, name)
    # What layer k returns going back is the gradient of what layer k-1 returned going forward.
    for name, layer in zip(names, network.layers[1:], strict=False):
        layer.backward = _recording(layer.backward, trace, f"d{name}")
    try:
        yield
    finally:
        for layer in network.layers:
            vars(layer).pop("forward")  # uncovers the method of the class
            vars(layer).pop("backward", None)


def _recording(method, trace, name):
    def recorded(*args, **kwargs):
        result = method(*args, **kwargs)
        trace[name] = result.copy()
        return result

    return recorded


def trace_torch(model, optimiser, x, labels, sides=None):
    """Take one training step with PyTorch; return {name: array} and the flipped units.

    Args:
        model, optimiser: a TorchMLP or TorchCNN and a `torch.optim.SGD` on it.
        x, labels: tensors (B, 784) and (B,).
        sides: what the other network computed, {"z1": array, "a1": array, ...}. Where a z is
            positive here and not there, or the other way round, the ReLU is told to take the other
            side, forward and backward, so that the rest of the step can still be compared; and
            where the largest of a window is another one there, the pooling is told to take that.
            The caller has to excuse every such unit.

    Returns:
        trace: {name: array}, all of them copies, in the shapes of scratchnet.
        flips: {"z1": indices (flips, 2) of the images and units, ...}, or (flips, 4) of the images,
            channels, rows and columns; for windows under the name of what was pooled, "a1", with
            their rows and columns. Empty lists left out.
    """
    outputs, flips = {}, {}

    def keep(name):
        def hook(module, inputs, output):
            (t,) = inputs
            if isinstance(module, nn.ReLU) and sides is not None:
                on = torch.from_numpy(sides[f"z{name[1:]}"] > 0)  # the shape of t
                flipped = (t > 0) != on
                if flipped.any():
                    flips[f"z{name[1:]}"] = flipped.nonzero().numpy()
                    output = torch.where(flipped, t * on, output)
            if isinstance(module, nn.MaxPool2d) and sides is not None:
                theirs = torch.from_numpy(largest(module, sides[f"a{name[1:]}"]))  # (B,C,H',W')
                flipped = torch.from_numpy(largest(module, t.detach().numpy())) != theirs
                if flipped.any():
                    flips[f"a{name[1:]}"] = flipped.nonzero().numpy()
                    other = t.flatten(2).gather(2, theirs.flatten(2)).view(theirs.shape)
                    output = torch.where(flipped, other, output)  # (B,C,H',W')
            output.retain_grad()
            outputs[name] = output
            return output

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in zip(layer_names(model), model, strict=True)
    ]
    try:
        optimiser.zero_grad()
        logits = model(x)
        loss = nn.CrossEntropyLoss()(logits, labels)
        loss.backward()
    finally:
        for handle in handles:
            handle.remove()

    trace = {"x": x, "labels": labels, "loss": loss.detach()}
    trace |= {name: output.detach() for name, output in outputs.items()}
    trace |= {f"d{name}": output.grad for name, output in outputs.items()}
    trace = {name: tensor.numpy().copy() for name, tensor in trace.items()}
    trace |= _short(torch_model.gradients(model))
    optimiser.step()
    if optimiser.param_groups[0]["momentum"]:
        trace |= _short(torch_model.velocities(optimiser), prefix="v")
    return trace | _short(torch_model.parameters(model)), flips


def largest(pool, a):
    """Return where PyTorch finds the largest pixel of each window: numbers (B, C, H', W').

    They count the pixels of an image row by row.

    Args:
        a: the images (B, C, H, W).
        pool: a layer MaxPool2d, ours or PyTorch's.
    """
    size = getattr(pool, "kernel_size", None) or pool.size
    return F.max_pool2d(torch.from_numpy(a), size, pool.stride, return_indices=True)[1].numpy()


def _short(pairs, prefix=""):
    """Turn [("linear1.dW", array), ...] into {"dW1": copy, ...}."""
    named = ((re.fullmatch(r"[a-z]+(\d+)\.(\w+)", name).groups(), array) for name, array in pairs)
    return {f"{prefix}{kind}{number}": array.copy() for (number, kind), array in named}
