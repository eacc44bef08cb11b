"""Matrix multiplication (GEMM) in plain loops: five rungs, one idea each.

    C[i, j] = sum over k of A[i, k] * B[k, j]        A (m, K)   B (K, n)   C (m, n)

Three loops in any order give this sum; the machine is far from indifferent to the order. A and B
may be views with any strides; C is new, its rows contiguous.
"""

import numpy as np
from numba import prange

from scratchnet.kernels.jit import compiled
from scratchnet.kernels.operands import operands
from scratchnet.kernels.threads import compute, share


def ijk(A, B):
    """The textbook: one dot product for each element of C.

    Going down a column of B uses one number of each cache line that it loads, and each addition
    waits for the one before it.
    """
    A, B, C = operands(A, B)
    _ijk(A, B, C)
    return C


@compiled
def _ijk(A, B, C):
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            C[i, j] = 0
            for k in range(A.shape[1]):
                C[i, j] += A[i, k] * B[k, j]


def ikj(A, B):
    """Loop interchange: the innermost loop runs along rows of B and C.

    Its steps touch neighbours in memory and do not wait for one another, so the compiler vectorizes
    them: it computes as many at once as a vector register holds.
    """
    A, B, C = operands(A, B)
    _ikj(A, B, C)
    return C


@compiled
def _ikj(A, B, C):
    for i in range(A.shape[0]):
        C[i] = 0
        for k in range(A.shape[1]):
            a = A[i, k]
            for j in range(B.shape[1]):
                C[i, j] += a * B[k, j]


def packed(A, B):
    """Packing: operands are copied to contiguous rows first, if they are not; the loops stay.

    The backward pass multiplies by x.T and W.T, views whose "rows" are columns in memory, where
    `ikj` falls back to one number per step. A copy costs m K + K n steps, the product m K n.
    """
    A, B, C = operands(A, B)
    _ikj(_rows(A), _rows(B), C)
    return C


def _rows(X):
    return np.require(X, requirements=["C", "A", "W"])  # writeable too: one type, one compilation


def tiled(A, B):
    """Register blocking: 4 rows and 4 steps of k at once, 16 multiply-adds for 4 loads of B.

    `ikj` loads two numbers and stores one for each multiply-add, and a core can do two of these in
    the time of the store alone. Here each element of B serves four rows, each of C four steps.
    """
    A, B, C = operands(A, B)
    _tiled(_rows(A), _rows(B), C)
    return C


@compiled
def _tiled(A, B, C):
    m, K = A.shape
    C[:] = 0
    for i in range(0, m - 3, 4):
        for k in range(0, K - 3, 4):
            a00, a01, a02, a03 = A[i, k], A[i, k + 1], A[i, k + 2], A[i, k + 3]
            a10, a11, a12, a13 = A[i + 1, k], A[i + 1, k + 1], A[i + 1, k + 2], A[i + 1, k + 3]
            a20, a21, a22, a23 = A[i + 2, k], A[i + 2, k + 1], A[i + 2, k + 2], A[i + 2, k + 3]
            a30, a31, a32, a33 = A[i + 3, k], A[i + 3, k + 1], A[i + 3, k + 2], A[i + 3, k + 3]
            for j in range(B.shape[1]):
                b0, b1, b2, b3 = B[k, j], B[k + 1, j], B[k + 2, j], B[k + 3, j]
                C[i, j] += a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                C[i + 1, j] += a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                C[i + 2, j] += a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                C[i + 3, j] += a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
    # What the tiles leave over: the last K % 4 steps of every row, and the last m % 4 rows.
    for i in range(m):
        for k in range(K - K % 4 if i < m - m % 4 else 0, K):
            a = A[i, k]
            for j in range(B.shape[1]):
                C[i, j] += a * B[k, j]


def parallel(A, B):
    """Threads: each computes a share of the rows of C.

    No two threads write to one element or share a sum: no waiting, and the bits do not depend on
    their number.
    """
    A, B, C = operands(A, B)
    compute(_tiled, _parallel, _rows(A), _rows(B), C)
    return C


@compiled(parallel=True)
def _parallel(A, B, C, threads):
    for t in prange(threads):
        rows = share(A.shape[0], 4, t, threads)
        _tiled(A[rows], B, C[rows])
