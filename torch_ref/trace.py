"""A training step leaves a trace: every tensor it computed, by name.

    x ─> z1 ─> a1 ─> z2 ─> a2 ─> logits ─> loss
         dz1 <─ da1 <─ dz2 <─ da2 <─ dlogits <─'      and dW1, db1, ... beside them
    then the parameters W1, b1, ... after the update, and what the optimiser remembers: vW1, ...

What max pooling number 1 makes of a1 is p1, and flattened it is f1.

Both networks are watched from outside while they do what they always do: scratchnet through its
methods `forward` and `backward`, PyTorch through its hooks. Neither knows that it is watched.
"""

from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from torch_ref import model as torch_model
from torch_ref import optim

LETTERS = {
    **{"Linear": "z", "Conv2d": "z", "MaxPool2d": "p", "Flatten": "f"},
    **dict.fromkeys(("ReLU", "LeakyReLU", "Tanh", "Sigmoid"), "a"),
}


def layer_names(layers):
    """Name the outputs of the layers, ours or PyTorch's: z1, a1, z2, ..., logits.

    The number is that of the last layer with weights.
    """
    letters = [LETTERS[type(layer).__name__] for layer in layers]
    numbers = np.cumsum([letter == "z" for letter in letters])
    return [f"{z}{i}" for z, i in zip(letters[:-1], numbers[:-1], strict=True)] + ["logits"]


def state(network, optimiser):
    """Return copies of the parameters {"W1": array, ...} and of what the optimiser remembers."""
    return _copies(network.parameters()) | optim.beside(optimiser).memory()


def trace_scratchnet(network, optimiser, loss_function, x, labels):
    """Take one training step with scratchnet; return {name: array}, all of them copies."""

    def learn():
        loss, dlogits = loss_function(network.forward(x), labels)
        network.backward(dlogits)
        optimiser.step()
        return loss

    return watch(network, optimiser, learn) | {"labels": labels.copy()}


def watch(network, optimiser, learn):
    """Watch a step that somebody else takes; return {name: array}, all of them copies.

    Args:
        learn: a function of no arguments that lets the network and the optimiser take one training
            step, and returns the loss.
    """
    trace = {}
    with _watched(network, trace):
        trace["loss"] = np.array(learn())
    trace |= _copies(network.gradients())
    return trace | state(network, optimiser)


@contextmanager
def _watched(network, trace):
    """Write what the network is given and what its layers return into the trace meanwhile."""
    names = layer_names(network.layers)
    network.forward = _recording(network.forward, trace, given="x")
    network.backward = _recording(network.backward, trace, given="dlogits")
    for name, layer in zip(names, network.layers, strict=True):
        layer.forward = _recording(layer.forward, trace, returned=name)
    # What layer k returns going back is the gradient of what layer k-1 returned going forward.
    for name, layer in zip(names, network.layers[1:], strict=False):
        layer.backward = _recording(layer.backward, trace, returned=f"d{name}")
    try:
        yield
    finally:
        for watched in (network, *network.layers):
            vars(watched).pop("forward")  # uncovers the method of the class
            vars(watched).pop("backward", None)


def _recording(method, trace, *, given=None, returned=None):
    def recorded(array, **options):
        if given:
            trace[given] = array.copy()
        result = method(array, **options)
        if returned:
            trace[returned] = result.copy()
        return result

    return recorded


def trace_torch(model, optimiser, x, labels, sides=None, criterion=F.cross_entropy):
    """Take one training step with PyTorch; return {name: array} and the flipped units.

    Args:
        model, optimiser: an `nn.Sequential` and PyTorch's optimiser on it or on a part of it.
        x, labels: tensors (B, 784) and (B,), or what else the model and the criterion take.
        sides: what the other network computed, {"z1": array, "a1": array, ...}. Where a z is
            positive here and not there, or the other way round, the ReLU is told to take the other
            side, forward and backward, so that the rest of the step can still be compared; and
            where the largest of a window is another one there, the pooling is told to take that.
            The caller has to excuse every such unit.
        criterion: the loss, a function of logits and labels.

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
            if isinstance(module, nn.ReLU | nn.LeakyReLU) and sides is not None:
                on = torch.from_numpy(sides[f"z{name[1:]}"] > 0)  # the shape of t
                flipped = (t > 0) != on
                if flipped.any():
                    flips[f"z{name[1:]}"] = flipped.nonzero().numpy()
                    slope = getattr(module, "negative_slope", 0)
                    output = torch.where(flipped, torch.where(on, t, slope * t), output)
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
        model.zero_grad()  # all of it, whatever part the optimiser moves
        logits = model(x)
        loss = criterion(logits, labels)
        loss.backward()
    finally:
        for handle in handles:
            handle.remove()

    trace = {"x": x, "labels": labels, "loss": loss.detach()}
    trace |= {name: output.detach() for name, output in outputs.items()}
    trace |= {f"d{name}": output.grad for name, output in outputs.items()}
    trace = {name: tensor.numpy().copy() for name, tensor in trace.items()}
    trace |= _copies(torch_model.gradients(model))
    optimiser.step()
    return trace | _copies(torch_model.parameters(model)), flips


def largest(pool, a):
    """Return where PyTorch finds the largest pixel of each window: numbers (B, C, H', W').

    They count the pixels of an image row by row.

    Args:
        a: the images (B, C, H, W).
        pool: a layer MaxPool2d, ours or PyTorch's.
    """
    size = getattr(pool, "kernel_size", None) or pool.size
    return F.max_pool2d(torch.from_numpy(a), size, pool.stride, return_indices=True)[1].numpy()


def _copies(pairs):
    return {name: array.copy() for name, array in torch_model.short(pairs).items()}
