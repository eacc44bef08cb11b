"""The rung that does less: a product that skips the zeros of its left operand.

Four of five pixels of MNIST are exactly 0, so four of five multiply-adds of the first layer, in
x @ W and in x.T @ dy, add nothing. First all numbers of A are compared with 0, a vector at a time,
64 answers to a word of bits; then each row of C is summed up in registers, by a walk from one bit
that is set to the next.

    A[i]       0   0  .3   0   0  .9   0  ...        C[i] = .3 * B[2] + .9 * B[5] + ...
    bits[i]    0   0   1   0   0   1   0  ...

A zero of A times an infinity or NaN of B is 0 here, and NaN in np.matmul.
"""

import numpy as np
from numba import njit, prange, types

from scratchnet.kernels.compiling import ForAnyStrides, compiled
from scratchnet.kernels.operands import operands
from scratchnet.kernels.registers import (
    VECTOR_BYTES,
    addresses,
    at,
    lowest_bit,
    mark_nonzeros,
    multiply_add,
    nonzeros,
    popcount,
    store,
    zeros,
)
from scratchnet.kernels.simd import multiply
from scratchnet.kernels.threads import share, together, worth_threads

# With a larger part of A than this not 0, the full tiles of `simd` are faster.
WORTH_SKIPPING = 0.4

WORD = 64
VECTORS = 8


def sparse(A, B):
    """Zeros of A are skipped: a fifth of the work of `simd` for MNIST's pixels.

    The tile shrinks to one row, as each row of A has its zeros elsewhere; it loads a row of B for
    every multiply-add, and is still far ahead. An A with few zeros goes to `simd`.
    """
    A, B, C = operands(A, B)
    if worth_threads(A, C):
        together(_together[C.dtype], _alone[C.dtype], A, B, C)
    else:
        _alone[C.dtype](A, B, C)
    return C


@compiled
def multiply_sparse(A, B, C):
    """C[:] = A @ B on one thread, for an A with many zeros."""
    m, K = A.shape
    words = (K + WORD - 1) // WORD
    bits = np.zeros((words, m + VECTOR_BYTES), np.uint64)  # room for one vector past the end
    if B.strides[1] != B.itemsize or find_nonzeros(A, bits) > WORTH_SKIPPING * m * K:
        multiply(A, B, C)
        return
    columns = VECTORS * VECTOR_BYTES // C.itemsize
    for i in range(m):
        for j in range(0, C.shape[1], columns):
            width = min(columns, C.shape[1] - j)
            if width == columns:
                _multiply_row(zeros(C, 1, VECTORS, 0), A, B, C, bits, i, j, width)
            else:
                _multiply_row(zeros(C, 1, VECTORS, VECTORS), A, B, C, bits, i, j, width)


@njit
def find_nonzeros(A, bits):
    """Bit k % 64 of bits[k // 64, i] is set where A[i, k] is not 0; returns how many are."""
    m, K = A.shape
    vector = zeros(A, 1, 1, 1)
    lanes = VECTOR_BYTES // A.itemsize
    if A.strides[0] == A.itemsize:  # a transposed view: its columns are contiguous
        for k in range(K):
            bit = np.uint64(1) << np.uint64(k % WORD)
            for i in range(0, m, lanes):
                mark_nonzeros(vector, at(bits, k // WORD, i)[0], at(A, i, k)[0], bit, m - i)
    elif A.strides[1] == A.itemsize:
        for i in range(m):
            for k in range(0, K, lanes):
                found = nonzeros(vector, at(A, i, k)[0], K - k)
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
def _multiply_row(tile, A, B, C, bits, i, j, width):
    """C[i, j:j + width] = A[i] @ B[:, j:j + width]."""
    left, (_, _, left_step) = addresses(tile, at(A, i, 0), 0, 1), at(A, i, 0)
    right, right_step, _ = at(B, 0, j)
    for w in range(bits.shape[0]):
        word = bits[w, i]
        while word:
            k = w * WORD + lowest_bit(word)
            word &= word - np.uint64(1)  # clears the lowest bit
            tile = multiply_add(tile, left, k * left_step, right + k * right_step, width)
    store(tile, addresses(tile, at(C, i, j), 0, 1), width)


@compiled(parallel=True)
def _multiply_shares(A, B, C, threads):
    """`multiply_sparse`, each thread a share of the rows of C."""
    for t in prange(threads):
        rows = share(C.shape[0], 1, t, threads)
        multiply_sparse(A[rows], B, C[rows])


_alone = ForAnyStrides(multiply_sparse)
_together = ForAnyStrides(_multiply_shares, types.intp, parallel=True)
