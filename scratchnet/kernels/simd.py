"""The rung that reaches the top: a tile of C stays in vector registers until it is complete.

                    B[k, j : j + 64]          4 registers, loaded once for all rows
                    ┌──────────────┐
     A[i, k]     ·  │  24 sums in  │
     ...            │  registers,  │          each step of k: 6 elements of A, spread over a
     A[i + 5, k] ·  │  6 x 4 x 16  │          register in turn, 24 multiply-adds, no store
                    └──────────────┘

The figures are AVX-512's in float32; registers.py has those of other processors.
"""

import numpy as np
from numba import njit, prange, types

from scratchnet.kernels.compiling import ForAnyStrides, compiled
from scratchnet.kernels.operands import operands
from scratchnet.kernels.registers import (
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    address,
    addresses,
    load,
    multiply_add,
    store,
    zeros,
)
from scratchnet.kernels.threads import alone_or_together, share

# k is cut into blocks, so that the part of B that a column of tiles reads again and again stays in
# the first-level cache.
DEPTH = 128
# From this many rows on a copy of that part, in one piece and aligned, costs less than it saves.
WORTH_PACKING = 64

FEWER_ROWS = ROWS - 2


def simd(A, B):
    """The whole tile of C in registers: `tiled` went to memory for it every four steps of k.

    Loads and stores of C vanish from the inner loop, what is left are multiply-adds, as many as the
    core can begin. A's elements are read where they lie, so x.T needs no copy; neither does B, if
    its rows are contiguous.
    """
    A, B, C = operands(A, B)
    alone_or_together(_alone, _together, A, B, C)
    return C


@compiled
def multiply(A, B, C):
    """C[:] = A @ B on one thread; any strides, but contiguous rows for C."""
    m, K = A.shape
    n = B.shape[1]
    columns = VECTORS * VECTOR_BYTES // C.itemsize
    in_place = B.strides[1] == B.itemsize and m < WORTH_PACKING
    panel = np.empty((min(K, DEPTH), columns), C.dtype)
    for k in range(0, max(K, 1), DEPTH):  # at least once: an empty sum is 0
        depth = min(DEPTH, K - k)
        for j in range(0, n, columns):
            width = min(columns, n - j)
            if in_place:
                right, right_step = address(B, k, j), B.strides[0]
            else:
                panel[:depth, :width] = B[k : k + depth, j : j + width]
                right, right_step = address(panel, 0, 0), panel.strides[0]
            _multiply_panel(A, k, depth, right, right_step, C, j, width)


@njit
def _multiply_panel(A, k, depth, right, right_step, C, j, width):
    """C[:, j:j + width] += A[:, k:k + depth] @ (the block of B at `right`), but = where k is 0."""
    m = A.shape[0]
    lanes = VECTOR_BYTES // C.itemsize
    block = (A, k, depth, right, right_step, C, j, width)
    if width == VECTORS * lanes:
        # m = 6 + 6 + ... + 4 + 4: as few tiles as can be, and as few rows computed twice.
        tiles = (m + ROWS - 1) // ROWS
        short = min(tiles, (tiles * ROWS - m) // 2)
        tall = (tiles - short) * ROWS
        for i in range(0, tall, ROWS):
            _multiply_tile(zeros(C, ROWS, VECTORS, 0), i, *block)
        for i in range(tall, m, FEWER_ROWS):
            _multiply_tile(zeros(C, FEWER_ROWS, VECTORS, 0), i, *block)
    elif width > 3 * lanes:
        for i in range(0, m, 6):
            _multiply_tile(zeros(C, 6, 4, 1), i, *block)
    elif width > 2 * lanes:
        for i in range(0, m, 6):
            _multiply_tile(zeros(C, 6, 3, 1), i, *block)
    elif width > lanes:
        for i in range(0, m, ROWS):
            _multiply_tile(zeros(C, ROWS, 2, 1), i, *block)
    else:
        for i in range(0, m, 8):
            _multiply_tile(zeros(C, 8, 1, 1), i, *block)


@njit
def _multiply_tile(tile, i, A, k, depth, right, right_step, C, j, width):
    """The tile of C whose top left corner is C[i, j]."""
    place = addresses(tile, C, i, j)
    if k > 0:
        tile = load(tile, place, width)
    left, left_step = addresses(tile, A, i, k), A.strides[1]
    for step in range(depth):
        tile = multiply_add(tile, left, step * left_step, right + step * right_step, width)
    store(tile, place, width)


@compiled(parallel=True)
def _multiply_shares(A, B, C, threads):
    """`multiply`, each thread a share of C: of its rows or its columns, whichever are more."""
    m, n = C.shape
    for t in prange(threads):
        if m > n:
            rows = share(m, ROWS, t, threads)
            multiply(A[rows], B, C[rows])
        else:
            columns = share(n, VECTORS * VECTOR_BYTES // C.itemsize, t, threads)
            multiply(A, B[:, columns], C[:, columns])


_alone = ForAnyStrides(multiply)
_together = ForAnyStrides(_multiply_shares, types.intp, parallel=True)
