"""Sparse times dense: a product that skips the zeros of its left operand, and so does less.

Four of five pixels of MNIST are exactly 0, so four of five multiply-adds of the first layer, in
x @ W and in x.T @ dy, add nothing. First all numbers of A are compared with 0, a vector at a time,
which gives a bit mask, 64 answers a word; then each row of C is summed up in registers, by going
from one set bit to the next.

    A[i]       0   0  .3   0   0  .9   0  ...        C[i] = .3 * B[2] + .9 * B[5] + ...
    bits[i]    0   0   1   0   0   1   0  ...

A zero of A times an infinity or NaN of B is 0 here, and NaN in np.matmul.
"""

import numpy as np
from numba import njit, prange, types

from scratchnet.kernels.jit import StrideGenericKernel, compiled
from scratchnet.kernels.memory import aligned
from scratchnet.kernels.operands import operands
from scratchnet.kernels.register_tile import (
    VECTOR_BYTES,
    addresses,
    at,
    lanes,
    load,
    lowest_bit,
    mark_nonzeros,
    multiply_add,
    nonzeros,
    popcount,
    shifted,
    store,
    zeros,
)
from scratchnet.kernels.simd import copy_row, multiply, pack
from scratchnet.kernels.threads import compute, share

# With a larger part of A than this not 0, the full tiles of `simd` are faster.
MOST_NONZEROS = 0.4

WORD = 64
VECTORS = 8


def sparse(A, B):
    """Sparsity: zeros of A are skipped; for MNIST's pixels a fifth of the work of `simd` is left.

    The tile shrinks to one row, as each row of A has its zeros elsewhere; it loads a row of B for
    every multiply-add, and is still far ahead. An A with few zeros goes to `simd`.
    """
    A, B, C = operands(A, B)
    compute(_alone[C.itemsize], _together, A, B, C)
    return C


@compiled
def multiply_sparse(A, B, C):
    """C[:] = A @ B on one thread, for an A with many zeros."""
    bits = no_bits(A)
    if worth_skipping(A, bits):
        multiply_marked(A, bits, B, C)
    else:
        multiply(A, B, C)


@njit
def no_bits(A):
    """For each row of A a bit for each of its columns; with room for one vector past the end."""
    m, K = A.shape
    return np.zeros(((K + WORD - 1) // WORD, m + VECTOR_BYTES), np.uint64)


@njit
def worth_skipping(A, bits):
    """Mark the numbers of A that are not 0; tell whether they are few enough, and there are any."""
    return A.size > 0 and find_nonzeros(A, bits) <= MOST_NONZEROS * A.size


@njit
def multiply_marked(A, bits, B, C):
    """C[:] = A @ B, where a bit is set for each number of A that is not 0."""
    m, K = A.shape
    n = C.shape[1]
    columns = VECTORS * lanes(C)
    panel = aligned(C, WORD, columns)
    # The rows of B that belong to one word are few enough to stay in the first cache for all of A.
    for word in range(bits.shape[0]):
        k = word * WORD
        for j in range(0, n, columns):
            width = min(columns, n - j)
            right = at_whole_vectors(at(B, k, j), min(WORD, K - k), width, bits[word], panel)
            rest = at(A, 0, k), right, at(C, 0, j), m, width, k > 0
            if width == columns:
                _multiply_rows(zeros(C, 1, VECTORS, 0), bits[word], *rest)
            elif width > 4 * lanes(C):
                _multiply_rows(zeros(C, 1, VECTORS, VECTORS), bits[word], *rest)
            else:
                _multiply_rows(zeros(C, 1, 4, 4), bits[word], *rest)


@njit
def at_whole_vectors(right, rows, width, bits, panel):
    """Where rows of B start at whole vectors: where they lie, or in `panel`, to which they go."""
    start, row_step, column_step = right
    copies = at(panel, 0, 0)
    if column_step * lanes(panel) != VECTOR_BYTES:
        pack(panel, right, rows, width, copies)
        return copies
    if start % VECTOR_BYTES == 0 and row_step % VECTOR_BYTES == 0:
        return right
    used = np.uint64(0)
    for i in range(len(bits)):
        used |= bits[i]
    while used:  # no more than the rows that meet a nonzero of A
        k = lowest_bit(used)
        used &= used - np.uint64(1)
        source, target = shifted(right, k, 0), shifted(copies, k, 0)
        if width == VECTORS * lanes(panel):
            copy_row(zeros(panel, 1, VECTORS, 0), source, target, width)
        else:
            copy_row(zeros(panel, 1, VECTORS, VECTORS), source, target, width)
    return copies


@njit
def find_nonzeros(A, bits):
    """Bit k % 64 of bits[k // 64, i] is set where A[i, k] is not 0; returns how many are."""
    m, K = A.shape
    vector, eight = zeros(A, 1, 1, 1), zeros(A, 8, 1, 1)
    if A.strides[0] * lanes(A) == VECTOR_BYTES:  # a transposed view: its columns are contiguous
        for k in range(0, K, 8):
            for i in range(0, m, lanes(A)):
                start, _, column_step = at(A, i, 0)
                columns = addresses(eight, (start, column_step, 0), k, K)
                words, width = at(bits, k // WORD, i)[0], min(lanes(A), m - i)
                mark_nonzeros(eight, words, columns, k, K - 1, width)
    elif A.strides[1] * lanes(A) == VECTOR_BYTES:
        for i in range(m):
            for k in range(0, K, lanes(A)):
                found = nonzeros(vector, at(A, i, k)[0], min(lanes(A), K - k))
                bits[k // WORD, i] |= found << np.uint64(k % WORD)
    else:
        for i in range(m):
            for k in range(K):
                bits[k // WORD, i] |= np.uint64(A[i, k] != 0) << np.uint64(k % WORD)
    count = 0
    for w in range(bits.shape[0]):
        for i in range(m):
            count += popcount(bits[w, i])
    return count


@njit
def _multiply_rows(empty, bits, left, right, product, m, width, add):
    """A panel of C, `width` columns of m rows, = or += 64 columns of A times rows of B."""
    _, _, left_step = left
    start, right_step, _ = right
    for i in range(m):
        a, place = addresses(empty, left, i, m), addresses(empty, product, i, m)
        tile = load(empty, place, width) if add else empty
        word = bits[i]
        while word:
            k = lowest_bit(word)
            word &= word - np.uint64(1)  # clears the lowest bit
            tile = multiply_add(tile, a, k * left_step, start + k * right_step, width)
        store(tile, place, width)


@compiled(parallel=True)
def _multiply_shares(A, B, C, threads):
    """`multiply_sparse`, each thread a share of the rows of C.

    Whether to skip zeros is decided for all of A at once: the other way adds in another order, and
    no bit may depend on the number of threads.
    """
    bits = no_bits(A)
    skip = worth_skipping(A, bits)
    for t in prange(threads):
        rows = share(C.shape[0], 1, t, threads)
        if skip:
            multiply_marked(A[rows], bits[:, rows], B, C[rows])
        else:
            multiply(A[rows], B, C[rows])


_alone = StrideGenericKernel(multiply_sparse)
_together = StrideGenericKernel(_multiply_shares, types.intp, parallel=True)
