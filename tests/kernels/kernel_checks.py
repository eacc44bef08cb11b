"""What the tests of the kernels share: matrices of every make, a guarded output, the checker."""

import contextlib
from unittest import mock

import numpy as np
from hypothesis import strategies as st

# Everything and its neighbours: nothing, one, primes, and the sizes of vectors, tiles and blocks.
SIZES = [0, 1, 2, 3, 5, 6, 7, 8, 9, 13, 15, 16, 17, 31, 33, 48, 63, 64, 65, 97, 127, 128, 129]
VIEWS = ["plain", "transposed", "strided", "reversed", "read-only", "unaligned"]
DTYPES = [np.float32, np.float64]


def product_and_bound(A, B):
    """A @ B in extended precision, and how far a sum of k rounded products may be from it."""
    k, limits = A.shape[1], np.finfo(A.dtype)
    A, B = A.astype(np.longdouble), B.astype(np.longdouble)
    rounding = k * limits.eps / 2
    return A @ B, rounding / (1 - rounding) * (abs(A) @ abs(B)) + k * limits.tiny


def assert_product(C, A, B, expected=None):
    """Every element of C is the exact product's within the bound, `expected` if it is known."""
    assert C.shape == (A.shape[0], B.shape[1])
    assert C.dtype == A.dtype == B.dtype
    assert C.flags.c_contiguous
    product, bound = expected or product_and_bound(A, B)
    assert (abs(C - product) <= bound).all()  # false for NaN, too


def as_view(matrix, view):
    """The same matrix, lying in memory in another way, amid NaNs where it has gaps."""
    m, n = matrix.shape
    if view == "transposed":
        return np.ascontiguousarray(matrix.T).T
    if view == "strided":
        padded = np.full((2 * m + 1, 3 * n + 2), np.nan, matrix.dtype)
        padded[1::2, 2::3] = matrix
        return padded[1::2, 2::3]
    if view == "reversed":
        return np.ascontiguousarray(matrix[::-1, ::-1])[::-1, ::-1]
    if view == "unaligned":
        unaligned = np.empty(matrix.nbytes + 1, np.uint8)[1:].view(matrix.dtype).reshape(m, n)
        unaligned[...] = matrix
        return unaligned
    copy = matrix.copy()
    copy.flags.writeable = view != "read-only"
    return copy


@contextlib.contextmanager
def guarded_output():
    """New products start as NaN, amid NaNs; whoever writes beside one, or leaves any, fails."""
    buffers = []

    def empty(shape, dtype):
        size = shape[0] * shape[1]
        buffers.append((buffer := np.full(size + 256, np.nan, dtype), size))
        return buffer[128 : 128 + size].reshape(shape)

    with mock.patch("scratchnet.kernels.operands.empty", empty):
        yield
    assert buffers
    for buffer, size in buffers:
        assert np.isnan(buffer[:128]).all()
        assert np.isnan(buffer[128 + size :]).all()


def numbers(rng, shape, dtype, zeros=0.0):
    return (rng.standard_normal(shape) * (rng.random(shape) >= zeros)).astype(dtype)


@st.composite
def operand_pairs(draw, entries):
    """A (m, k) and B (k, n), each with strides of its own; entries(rng, shape) fills them."""
    m, k, n = (draw(st.sampled_from(SIZES)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(DTYPES))
    A, B = (entries(rng, shape).astype(dtype) for shape in ((m, k), (k, n)))
    if draw(st.booleans()):
        A *= rng.random(A.shape) < 0.2
    return as_view(A, draw(st.sampled_from(VIEWS))), as_view(B, draw(st.sampled_from(VIEWS)))
