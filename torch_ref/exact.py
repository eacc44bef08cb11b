"""The third judge: the same step with eleven more bits, to say whose rounding is smaller.

Two computations that differ by 3 eps may be off by 1 and by 2, or by 100 and by 103. On x86,
`np.longdouble` is the processor's 80-bit format (eps 1.1e-19, 2048 times finer than float64); each
side's distance from it is that side's own error. On machines where longdouble is float64 itself,
only float32 can be judged.
"""

import copy

import numpy as np

import scratchnet
from scratchnet.conv import PLAIN
from torch_ref import trace


def can_judge(dtype):
    """Whether longdouble is finer than dtype by enough to count as exact beside it."""
    return np.finfo(np.longdouble).eps < np.finfo(dtype).eps / 100


def exact_step(before, optimiser, x, labels):
    """Return the trace of a step in longdouble, from the state `before` and by the same SGD."""
    network = copy.copy(optimiser.network)
    network.layers = [copy.copy(layer) for layer in network.layers]
    for layer in network.layers:
        if hasattr(layer, "moves"):  # like the ladder, the compiled ones know no longdouble
            layer.moves = PLAIN
    for i, layer in enumerate(network.weighted, start=1):
        layer.W, layer.b = (before[f"{kind}{i}"].astype(np.longdouble) for kind in "Wb")
        layer.matmul = np.matmul
    sgd = scratchnet.SGD(network, optimiser.lr, optimiser.momentum, optimiser.weight_decay)
    names = (f"v{kind}{i}" for i in range(1, len(network.weighted) + 1) for kind in "Wb")
    for name, (_, velocity) in zip(names, sgd.velocities, strict=True):
        velocity[:] = before[name]
    x = x.astype(np.longdouble)  # (B,784)
    return trace.trace_scratchnet(network, sgd, scratchnet.softmax_cross_entropy, x, labels)


def error(tensor, exact):
    """Return the largest error of a tensor, in eps of its largest element."""
    top = np.abs(exact).max()
    off = np.abs(tensor - exact).max()
    return float(off / top / np.finfo(tensor.dtype).eps) if off else 0.0
