"""SIMD with register tiling: a tile of C stays in vector registers until it is complete.

                    B[k, j : j + 64]          4 registers, loaded once for all rows
                    ┌──────────────┐
     A[i, k]     ·  │  24 sums in  │
     ...            │  registers,  │          each step of k: 6 elements of A, each broadcast
     A[i + 5, k] ·  │  6 x 4 x 16  │          to a register, 24 FMA instructions, no store
                    └──────────────┘

The figures are AVX-512's in float32; register_tile.py has those of other processors.
"""

from numba import njit, prange, types

from scratchnet.kernels.jit import StrideGenericKernel, compiled
from scratchnet.kernels.memory import aligned
from scratchnet.kernels.operands import operands
from scratchnet.kernels.register_tile import (
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    addresses,
    at,
    lanes,
    load,
    multiply_add,
    opaque,
    plus,
    prefetch,
    shifted,
    square,
    store,
    transpose,
    zeros,
)
from scratchnet.kernels.threads import compute, share

# Cache blocking of a large product: a panel of B (DEPTH rows, 128 KB) is read again for every six
# rows of A, a block of A (HEIGHT x DEPTH, 384 KB in float32) for every panel of B, and both should
# come from the second-level cache, not from memory.
DEPTH, HEIGHT = 512, 192
# A B of at most so many vectors, 32 KB, stays in the first-level cache as it is.
FIRST_CACHE = 32 * 1024 // VECTOR_BYTES
# Fewer rows of A than this do not repay a copy of B.
WORTH_PACKING = 24

FEWER_ROWS = ROWS - 2


def simd(A, B):
    """Register tiling: a tile of C stays in registers; `tiled` stored it every four steps of k.

    Loads and stores of C leave the inner loop; what remains are fused multiply-adds (FMA), as many
    as the core can issue. A's elements are read where they lie, so x.T needs no copy; a large B is
    packed, a panel at a time, so that each row starts at a whole vector.
    """
    A, B, C = operands(A, B)
    compute(_alone[C.itemsize], _together, A, B, C)
    return C


@compiled
def multiply(A, B, C):
    """C[:] = A @ B on one thread; any strides, but contiguous rows for C."""
    accumulate(A, B, C, False)


@njit
def accumulate(A, B, C, add):
    """The same, or C += A @ B if told to add."""
    contiguous = B.strides[1] * lanes(B) == VECTOR_BYTES
    if contiguous and (A.shape[0] < WORTH_PACKING or B.size <= FIRST_CACHE * lanes(B)):
        _multiply_in_place(A, B, C, add)
    else:
        _multiply_packed(A, B, C, add)


@njit
def _multiply_in_place(A, B, C, add):
    m, K = A.shape
    n = B.shape[1]
    columns = VECTORS * lanes(C)
    for k in range(0, max(K, 1), DEPTH):  # at least once: an empty sum is 0
        depth = min(DEPTH, K - k)
        for j in range(0, n, columns):
            width = min(columns, n - j)
            multiply_panel(C, at(A, 0, k), at(B, k, j), at(C, 0, j), m, depth, width, add or k > 0)


@njit
def _multiply_packed(A, B, C, add):
    """The same with packed panels of B, contiguous and aligned: no cache line is read in vain."""
    m, K = A.shape
    n = B.shape[1]
    columns = VECTORS * lanes(C)
    contiguous = B.strides[1] * lanes(B) == VECTOR_BYTES
    # As many rows as lie between two panels: none if no further block of A needs the first again.
    apart = min(K, DEPTH) if m > HEIGHT else 0
    # `pack` writes whole squares: room for some rows more.
    panels = aligned(C, n // columns * apart + min(K, DEPTH) + lanes(C), columns)
    for k in range(0, max(K, 1), DEPTH):
        depth = min(DEPTH, K - k)
        more = add or k > 0
        for i in range(0, m, HEIGHT):
            for j in range(0, n, columns):
                left, right, product = at(A, i, k), at(B, k, j), at(C, i, j)
                rows, width = min(HEIGHT, m - i), min(columns, n - j)
                panel = at(panels, j // columns * apart, 0)
                if i > 0:
                    pass  # the panel is packed
                elif contiguous and width == columns and rows >= ROWS:
                    _multiply_and_pack(C, left, right, product, depth, more, panel)
                    left, product = shifted(left, ROWS, 0), shifted(product, ROWS, 0)
                    rows -= ROWS
                else:
                    pack(C, right, depth, width, panel)
                multiply_panel(C, left, panel, product, rows, depth, width, more)


@njit
def pack(like, source, rows, columns, target):
    """Copy a rows x columns block from one place to another, a vector at a time where it can be."""
    start, row_step, column_step = source
    vector = lanes(like)
    if column_step * vector == VECTOR_BYTES:
        whole = columns - columns % (4 * vector)
        for i in range(rows):
            for j in range(0, whole, 4 * vector):
                copy_row(zeros(like, 1, 4, 0), shifted(source, i, j), shifted(target, i, j), 0)
            for j in range(whole, columns, vector):
                rest = shifted(source, i, j), shifted(target, i, j), columns - j
                copy_row(zeros(like, 1, 1, 1), *rest)
    elif row_step * vector == VECTOR_BYTES:
        turned = start, column_step, row_step
        block = square(like)
        for i in range(0, rows, vector):
            for j in range(0, columns, vector):
                # Whole blocks are written: the target has room for as many more rows and columns.
                block = load(block, addresses(block, shifted(turned, 0, i), j, columns), rows - i)
                place = addresses(block, shifted(target, 0, j), i, i + vector)
                store(transpose(block), place, vector)
    else:
        for i in range(rows):
            for j in range(columns):
                copy_row(zeros(like, 1, 1, 1), shifted(source, i, j), shifted(target, i, j), 1)


@njit
def copy_row(empty, source, target, width):
    row = load(empty, addresses(empty, source, 0, 1), width)
    store(row, addresses(empty, target, 0, 1), width)


@njit
def tall_rows(m):
    """How many of m rows, the first, go to tiles of ROWS; the others go to tiles of FEWER_ROWS.

    m = 6 + 6 + ... + 4 + 4: as few tiles as possible, and as few rows computed twice.
    """
    tiles = (m + ROWS - 1) // ROWS
    short = min(tiles, (tiles * ROWS - m) // 2)
    return (tiles - short) * ROWS


@njit
def multiply_panel(like, left, right, product, m, depth, width, add):
    """A panel of C, `width` columns of m rows, = or += `depth` columns of A times rows of B.

    `left`, `right` and `product` are the places of the three, as `at` gives them.
    """
    vector = lanes(like)
    rest = m, left, right, product, depth, width, add
    if width == VECTORS * vector:
        tall = tall_rows(m)
        for i in range(0, tall, ROWS):
            _multiply_tile(zeros(like, ROWS, VECTORS, 0), i, *rest)
        for i in range(tall, m, FEWER_ROWS):
            _multiply_tile(zeros(like, FEWER_ROWS, VECTORS, 0), i, *rest)
    elif width > 3 * vector:
        for i in range(0, m, 6):
            _multiply_tile(zeros(like, 6, 4, 1), i, *rest)
    elif width > 2 * vector:
        for i in range(0, m, 6):
            _multiply_tile(zeros(like, 6, 3, 1), i, *rest)
    elif width > vector:
        for i in range(0, m, 6):
            _multiply_tile(zeros(like, 6, 2, 1), i, *rest)
    else:
        for i in range(0, m, 8):
            _multiply_tile(zeros(like, 8, 1, 1), i, *rest)


@njit(forceinline=True)
def _multiply_tile(tile, i, m, left, right, product, depth, width, add):
    """The tile of the panel that begins at row i."""
    rows, place = addresses(tile, left, i, m), addresses(tile, product, i, m)
    prefetch(tile, place)
    _, _, left_step = left
    start, right_step, _ = right
    offset = 0
    for _ in range(depth // 4):  # unrolled four times: fewer instructions that only count
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = opaque(offset + left_step), start + right_step
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = opaque(offset + left_step), start + right_step
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = opaque(offset + left_step), start + right_step
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = opaque(offset + left_step), start + right_step
    for _ in range(depth % 4):
        tile = multiply_add(tile, rows, offset, start, width)
        offset, start = opaque(offset + left_step), start + right_step
    if add:
        tile = plus(tile, load(tile, place, width))
    store(tile, place, width)


@njit
def _multiply_and_pack(like, left, right, product, depth, add, panel):
    """The first tile of a panel, which packs the rows of B that it reads for the tiles below."""
    tile, row = zeros(like, ROWS, VECTORS, 0), zeros(like, 1, VECTORS, 0)
    width = VECTORS * lanes(like)
    rows, place = addresses(tile, left, 0, ROWS), addresses(tile, product, 0, ROWS)
    prefetch(tile, place)
    _, _, left_step = left
    for k in range(depth):
        source, target = shifted(right, k, 0), shifted(panel, k, 0)
        tile = multiply_add(tile, rows, opaque(k * left_step), source[0], width)
        copy_row(row, source, target, width)
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
            columns = share(n, VECTORS * lanes(C), t, threads)
            multiply(A, B[:, columns], C[:, columns])


_alone = StrideGenericKernel(multiply)
_together = StrideGenericKernel(_multiply_shares, types.intp, parallel=True)
