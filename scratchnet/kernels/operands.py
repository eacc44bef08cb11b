"""What every kernel may rely on: two float matrices that fit, and a fresh place for their product.

Compiled code does not check its indices, so everything is checked here, once, before it runs.
"""

import numpy as np
from numpy import empty

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def operands(A, B):
    """Return A and B as arrays of one float dtype, and an empty C-contiguous (m, n) array.

    Any strides pass, read-only arrays too. Raises ValueError, with both shapes, for anything that
    is not a (m, k) and a (k, n) matrix of float32 or float64.
    """
    A, B = np.asarray(A), np.asarray(B)
    if A.ndim != 2 or B.ndim != 2 or A.shape[1] != B.shape[0]:
        raise ValueError(f"cannot multiply {A.shape} by {B.shape}: wanted (m, k) and (k, n)")
    dtype = A.dtype
    if dtype is not B.dtype or (dtype is not FLOAT32 and dtype is not FLOAT64):
        A, B, dtype = _one_dtype(A, B)
    return A, B, empty((A.shape[0], B.shape[1]), dtype)


def _one_dtype(A, B):
    # The rare way: dtypes that differ, as in np.matmul, or equal ones that are not one object.
    if not {A.dtype, B.dtype} <= {FLOAT32, FLOAT64}:
        raise ValueError(
            f"cannot multiply {A.dtype} {A.shape} by {B.dtype} {B.shape}: "
            "wanted float32 or float64 in the machine's byte order"
        )
    dtype = FLOAT64 if FLOAT64 in (A.dtype, B.dtype) else FLOAT32
    return A.astype(dtype, copy=False), B.astype(dtype, copy=False), dtype
