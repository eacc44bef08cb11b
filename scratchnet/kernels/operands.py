"""What every kernel may rely on: two float matrices that fit, and a fresh place for their product.

Compiled code does not check its indices, so everything is checked here, once, before it runs.
"""

import numpy as np
from numpy import empty

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def operands(A, B):
    """Return A and B as matrices of one float dtype, and an empty C-contiguous (m, n) array.

    Any strides pass, read-only arrays too. Raises ValueError, with both shapes, for anything that
    is not a (m, k) and a (k, n) matrix of float32 or float64.
    """
    # Kept short: the smallest product of the network takes no longer than these checks.
    dtype = A.dtype
    if dtype is not B.dtype or (dtype is not FLOAT32 and dtype is not FLOAT64):
        A, B, dtype = _of_one_dtype(A, B)
    try:
        (m, k), (k_of_B, n) = A.shape, B.shape
    except ValueError:
        raise ValueError(f"cannot multiply {A.shape} by {B.shape}: not matrices") from None
    if k != k_of_B:
        raise ValueError(f"cannot multiply {A.shape} by {B.shape}: {k} columns, {k_of_B} rows")
    return A, B, empty((m, n), dtype)


def _of_one_dtype(A, B):
    if not {A.dtype, B.dtype} <= {FLOAT32, FLOAT64}:
        raise ValueError(
            f"cannot multiply {A.dtype} {A.shape} by {B.dtype} {B.shape}: not float32 or float64"
        )
    dtype = FLOAT64 if FLOAT64 in (A.dtype, B.dtype) else FLOAT32
    return A.astype(dtype, copy=False), B.astype(dtype, copy=False), dtype
