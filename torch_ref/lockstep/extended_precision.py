"""An extended precision reference: the same step with eleven more bits.

It says whose rounding is smaller: two computations that differ by 3 eps may be off by 1 and by 2,
or by 100 and by 103. On x86, `np.longdouble` is the processor's 80-bit format (eps 1.1e-19, 2048
times finer than float64); each side's distance from it is that side's own error. On machines where
longdouble is float64 itself, there is a reference for float32 only.
"""

import copy

import numpy as np

from scratchnet.checking.trace import trace_scratchnet
from scratchnet.nn.conv import NUMPY_OPS
from torch_ref.lockstep import optim


def is_finer(dtype):
    """Whether longdouble is finer than dtype by enough to be its reference."""
    return np.finfo(np.longdouble).eps < np.finfo(dtype).eps / 100


def reference_step(before, network, optimiser, loss_function, x, labels):
    """Return the trace of a step in longdouble, from the state `before` and by the same optimiser.

    Args: those of `trace.trace_scratchnet`; the optimiser may update a part of the network only.
    """
    before, finer = _finer(before), {id(layer): copy.copy(layer) for layer in network.layers}
    for i, layer in enumerate((finer[id(layer)] for layer in network.parametric_layers), start=1):
        layer.W, layer.b = before[f"W{i}"], before[f"b{i}"]
        layer.matmul = np.matmul
    for layer in finer.values():
        if hasattr(layer, "ops"):  # like the ladder, the compiled ones know no longdouble
            layer.ops = NUMPY_OPS

    def finer_copy(network):
        other = copy.copy(network)
        other.layers = [finer[id(layer)] for layer in network.layers]
        return other

    optimiser = optim.adapter(optimiser).copy_for(finer_copy(optimiser.network), before)
    batch = _finer({"x": x, "labels": labels}).values()
    return trace_scratchnet(finer_copy(network), optimiser, loss_function, *batch)


def _finer(arrays):
    """The same arrays, those of floating point in longdouble."""
    return {
        name: array.astype(np.longdouble) if array.dtype.kind == "f" else array.copy()
        for name, array in arrays.items()
    }


def error(tensor, reference):
    """Return the largest error of a tensor, in eps of its largest element."""
    top = np.abs(reference).max()
    off = np.abs(tensor - reference).max()
    return float(off / top / np.finfo(tensor.dtype).eps) if off else 0.0
