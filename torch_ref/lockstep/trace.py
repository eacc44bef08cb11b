"""The trace of a training step that PyTorch takes, in the names of `scratchnet.checking.trace`."""

import torch
from torch import nn
from torch.nn import functional as F

from scratchnet.checking.layer_bounds import layer_names
from scratchnet.checking.trace import short
from torch_ref import model as torch_model

# The layers that take a side of each unit, and the letter of what they decide it by.
INPUT = {nn.ReLU: "z", nn.LeakyReLU: "z", nn.MaxPool2d: "a"}


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
            input_name = INPUT.get(type(module), "") + name[1:]
            side = sides.get(input_name) if sides else None
            known = side is not None and side.shape == t.shape  # else the batch is another one
            if known and input_name[0] == "z":
                on = torch.from_numpy(side > 0)  # the shape of t
                flipped = (t > 0) != on
                if flipped.any():
                    flips[input_name] = flipped.nonzero().numpy()
                    slope = getattr(module, "negative_slope", 0)
                    output = torch.where(flipped, torch.where(on, t, slope * t), output)
            if known and input_name[0] == "a":
                theirs = torch.from_numpy(argmax(module, side))  # (B,C,H',W')
                flipped = torch.from_numpy(argmax(module, t.detach().numpy())) != theirs
                if flipped.any():
                    flips[input_name] = flipped.nonzero().numpy()
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
        model.zero_grad()  # all of it, whatever part the optimiser updates
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
    trace |= {name: g.copy() for name, g in short(torch_model.gradients(model)).items()}
    optimiser.step()
    after = short(torch_model.parameters(model))
    return trace | {name: p.copy() for name, p in after.items()}, flips


def argmax(pool, a):
    """Return where PyTorch finds the largest pixel of each window: numbers (B, C, H', W').

    They count the pixels of an image row by row.

    Args:
        a: the images (B, C, H, W).
        pool: a layer MaxPool2d, ours or PyTorch's.
    """
    size = getattr(pool, "kernel_size", None) or pool.size
    return F.max_pool2d(torch.from_numpy(a), size, pool.stride, return_indices=True)[1].numpy()
