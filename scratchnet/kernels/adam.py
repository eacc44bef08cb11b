"""Adam's update as one fused loop: what `scratchnet.nn.optim` has in NumPy, compiled.

NumPy passes over the arrays a dozen times, an operation at a time, and each pass fetches them from
memory, as they are larger than the caches. Here each number is loaded and stored once.
"""

from itertools import combinations

import numpy as np

from scratchnet.kernels.jit import compiled
from scratchnet.kernels.operands import FLOAT32, FLOAT64


def adam_update(p, g, m, v, step_size, sqrt_correction2, betas, eps):
    """As `scratchnet.nn.optim.adam_update`; ValueError for arrays that differ in shape or dtype.

    They are float32 or float64 and lie apart, and those that change are contiguous.
    """
    changed = (p, m, v)
    if p.dtype not in (FLOAT32, FLOAT64) or any(
        (array.shape, array.dtype) != (p.shape, p.dtype) for array in (g, m, v)
    ):
        found = ", ".join(f"{array.dtype} {array.shape}" for array in (p, g, m, v))
        raise ValueError(f"float32 or float64 arrays of one shape are needed, not {found}")
    if not all(array.flags.c_contiguous and array.flags.writeable for array in changed):
        raise ValueError("p, m and v must be contiguous and writable")
    if any(np.may_share_memory(a, b) for a, b in combinations((p, g, m, v), 2)):
        raise ValueError("p, g, m and v must lie apart")
    rows = [array.reshape(-1) for array in (p, np.require(g, None, "CW"), m, v)]  # (P,) each
    rates = (
        p.dtype.type(rate)
        for rate in (step_size, sqrt_correction2, 1 - betas[0], betas[1], 1 - betas[1], eps)
    )
    _update(*rows, *rates)


@compiled(error_model="numpy")  # like NumPy it divides by 0 without a test, so LLVM can vectorize
def _update(p, g, m, v, step_size, sqrt_correction2, one_minus_beta1, beta2, one_minus_beta2, eps):
    for i in range(p.size):
        m[i] += one_minus_beta1 * (g[i] - m[i])
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        p[i] -= step_size * m[i] / (np.sqrt(v[i]) / sqrt_correction2 + eps)
