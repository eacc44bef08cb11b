"""Aligned memory: arrays that begin at a whole vector register, in Python and in compiled code.

np.empty and np.zeros promise 16 bytes. A 64-byte vector that begins elsewhere lies in two cache
lines, and each load of it fetches both.
"""

import math

import numpy as np
from numba import njit

from scratchnet.kernels.register_tile import VECTOR_BYTES, at, lanes


def aligned_zeros(shape, dtype):
    """As np.zeros, but the array begins at a multiple of VECTOR_BYTES."""
    size = math.prod(shape)
    memory = np.zeros(size + VECTOR_BYTES // dtype.itemsize, dtype)
    skip = -memory.ctypes.data % VECTOR_BYTES // dtype.itemsize
    return memory[skip : skip + size].reshape(shape)


@njit
def aligned(like, rows, columns):
    """The same in compiled code: an empty, aligned matrix of `like`'s dtype."""
    memory = np.empty((1, rows * columns + lanes(like)), like.dtype)
    skip = -at(memory, 0, 0)[0] % VECTOR_BYTES * lanes(like) // VECTOR_BYTES
    return memory[0, skip : skip + rows * columns].reshape(rows, columns)
