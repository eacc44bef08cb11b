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
    addresses,
    at,
    hidden,
    load,
    multiply_add,
    plus,
    shifted,
    square,
    store,
    transpose,
    zeros,
)
from scratchnet.kernels.threads import share, together, worth_threads

# The blocks into which a large product is cut. A panel of B (DEPTH rows, 64 KB) is read again for
# every six rows of A, a block of A (HEIGHT x DEPTH, 768 KB) for every panel of B: both should come
# from the second-level cache, not from memory.
DEPTH, HEIGHT = 256, 768
# A B of at most so many bytes stays in the first-level cache as it is.
FIRST_CACHE = 32 * 1024
# Fewer rows of A than this do not repay a copy of B, nor fewer panels of B a copy of A.
WORTH_PACKING_B, WORTH_PACKING_A = 24, 4

FEWER_ROWS = ROWS - 2


def simd(A, B):
    """The whole tile of C in registers: `tiled` went to memory for it every four steps of k.

    Loads and stores of C vanish from the inner loop, what is left are multiply-adds, as many as the
    core can begin. A's elements are read where they lie, so x.T needs no copy; neither does B, if
    its rows are contiguous.
    """
    A, B, C = operands(A, B)
    if worth_threads(A, C):
        together(_together[C.dtype], _alone[C.dtype], A, B, C)
    else:
        _alone[C.dtype](A, B, C)
    return C


@compiled
def multiply(A, B, C):
    """C[:] = A @ B on one thread; any strides, but contiguous rows for C."""
    accumulate(A, B, C, False)


@njit
def accumulate(A, B, C, add):
    """The same, or C += A @ B if told to add."""
    cached = B.size * B.itemsize <= FIRST_CACHE
    if B.strides[1] == B.itemsize and (cached or A.shape[0] < WORTH_PACKING_B):
        _multiply_in_place(A, B, C, add)
    else:
        _multiply_packed(A, B, C, add)


@njit
def _multiply_in_place(A, B, C, add):
    m, K = A.shape
    n = B.shape[1]
    columns = VECTORS * VECTOR_BYTES // C.itemsize
    for k in range(0, max(K, 1), DEPTH):  # at least once: an empty sum is 0
        depth = min(DEPTH, K - k)
        for j in range(0, n, columns):
            width = min(columns, n - j)
            _multiply_panel(C, at(A, 0, k), at(B, k, j), at(C, 0, j), m, depth, width, add or k > 0)


@njit
def _multiply_packed(A, B, C, add):
    """The same with copies of blocks in one piece, aligned: no cache line or page read in vain."""
    m, K = A.shape
    n = B.shape[1]
    lanes = VECTOR_BYTES // C.itemsize
    columns = VECTORS * lanes
    pack_left = n > WORTH_PACKING_A * columns
    height = max(1, min(m, HEIGHT) if pack_left else m)
    panel = aligned(C, DEPTH, columns)
    # The rows of the copy of A are a little longer, lest they all compete for the same cache lines.
    block = aligned(C, height + lanes if pack_left else 0, DEPTH + lanes)
    for k in range(0, max(K, 1), DEPTH):
        depth = min(DEPTH, K - k)
        for i in range(0, m, height):
            rows = min(height, m - i)
            left = at(A, i, k)
            if pack_left:
                pack(C, left, rows, depth, at(block, 0, 0))
                left = at(block, 0, 0)
            for j in range(0, n, columns):
                width = min(columns, n - j)
                pack(C, at(B, k, j), depth, width, at(panel, 0, 0))
                right, product = at(panel, 0, 0), at(C, i, j)
                _multiply_panel(C, left, right, product, rows, depth, width, add or k > 0)


@njit
def aligned(like, rows, columns):
    """An empty matrix for `like`'s dtype that starts at a whole vector."""
    spare = VECTOR_BYTES // like.itemsize
    memory = np.empty((1, rows * columns + spare), like.dtype)
    skip = -at(memory, 0, 0)[0] % VECTOR_BYTES // like.itemsize
    return memory[0, skip : skip + rows * columns].reshape(rows, columns)


@njit
def pack(like, source, rows, columns, target):
    """Copy a rows x columns block from one place to another, a vector at a time where it can be."""
    start, row_step, column_step = source
    lanes = VECTOR_BYTES // like.itemsize
    if column_step == like.itemsize:
        whole = columns - columns % (4 * lanes)
        for i in range(rows):
            for j in range(0, whole, 4 * lanes):
                _copy_row(zeros(like, 1, 4, 0), shifted(source, i, j), shifted(target, i, j), 0)
            for j in range(whole, columns, lanes):
                rest = shifted(source, i, j), shifted(target, i, j), columns - j
                _copy_row(zeros(like, 1, 1, 1), *rest)
    elif row_step == like.itemsize:
        turned = start, column_step, row_step
        block = square(like)
        for i in range(0, rows, lanes):
            for j in range(0, columns, lanes):
                # Whole blocks are written: the target has room for `lanes` more rows and columns.
                block = load(block, addresses(block, shifted(turned, 0, i), j, columns), rows - i)
                place = addresses(block, shifted(target, 0, j), i, i + lanes)
                store(transpose(block), place, lanes)
    else:
        for i in range(rows):
            for j in range(columns):
                _copy_row(zeros(like, 1, 1, 1), shifted(source, i, j), shifted(target, i, j), 1)


@njit
def _copy_row(empty, source, target, width):
    row = load(empty, addresses(empty, source, 0, 1), width)
    store(row, addresses(empty, target, 0, 1), width)


@njit
def _multiply_panel(like, left, right, product, m, depth, width, add):
    """A panel of C, `width` columns of m rows, = or += `depth` columns of A times rows of B.

    `left`, `right` and `product` are the places of the three, as `at` gives them.
    """
    lanes = VECTOR_BYTES // like.itemsize
    rest = m, left, right, product, depth, width, add
    if width == VECTORS * lanes:
        # m = 6 + 6 + ... + 4 + 4: as few tiles as can be, and as few rows computed twice.
        tiles = (m + ROWS - 1) // ROWS
        short = min(tiles, (tiles * ROWS - m) // 2)
        tall = (tiles - short) * ROWS
        for i in range(0, tall, ROWS):
            _multiply_tile(zeros(like, ROWS, VECTORS, 0), i, *rest)
        for i in range(tall, m, FEWER_ROWS):
            _multiply_tile(zeros(like, FEWER_ROWS, VECTORS, 0), i, *rest)
    elif width > 3 * lanes:
        for i in range(0, m, 6):
            _multiply_tile(zeros(like, 6, 4, 1), i, *rest)
    elif width > 2 * lanes:
        for i in range(0, m, 6):
            _multiply_tile(zeros(like, 6, 3, 1), i, *rest)
    elif width > lanes:
        for i in range(0, m, 6):
            _multiply_tile(zeros(like, 6, 2, 1), i, *rest)
    else:
        for i in range(0, m, 8):
            _multiply_tile(zeros(like, 8, 1, 1), i, *rest)


@njit
def _multiply_tile(tile, i, m, left, right, product, depth, width, add):
    """The tile of the panel that begins at row i."""
    rows = addresses(tile, left, i, m)
    _, _, left_step = left
    start, right_step, _ = right
    offset = 0
    for _ in range(depth // 4):  # four steps at a time: fewer instructions that only count
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = hidden(offset + left_step), start + right_step
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = hidden(offset + left_step), start + right_step
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = hidden(offset + left_step), start + right_step
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = hidden(offset + left_step), start + right_step
    for _ in range(depth % 4):
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = hidden(offset + left_step), start + right_step
    place = addresses(tile, product, i, m)
    if add:
        tile = plus(tile, load(tile, place, width))
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
