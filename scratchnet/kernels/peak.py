"""The peak of a core: the operations per second of multiply-adds that wait for no memory."""

import numpy as np

from scratchnet.kernels.jit import compiled
from scratchnet.kernels.memory import aligned_zeros
from scratchnet.kernels.register_tile import (
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    addresses,
    at,
    multiply_add,
    store,
    zeros,
)


def peak(dtype):
    """Return a function that only multiplies and adds in registers, and its operations a call."""
    shape = ROWS, VECTOR_BYTES // 4 * VECTORS
    C, A, B = (aligned_zeros(shape, np.dtype(dtype)) for _ in range(3))
    steps = 10_000
    lanes = VECTOR_BYTES // C.itemsize
    return lambda: _multiply_add_only(C, A, B, steps), 2 * steps * ROWS * VECTORS * lanes


@compiled
def _multiply_add_only(C, A, B, steps):
    # The operands never change, so LLVM loads them once: what is left is the arithmetic.
    tile = zeros(C, ROWS, VECTORS, 0)
    left, right = addresses(tile, at(A, 0, 0), 0, ROWS), at(B, 0, 0)
    for _ in range(steps):
        tile = multiply_add(tile, left, 0, right[0], C.shape[1])
    store(tile, addresses(tile, at(C, 0, 0), 0, ROWS), C.shape[1])
