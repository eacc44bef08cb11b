"""Every rung of the ladder is np.matmul on two matrices, to rounding, for any shape and strides."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings

from scratchnet.kernels import LADDER, get
from tests.kernels.kernel_checks import (
    DTYPES,
    VIEWS,
    as_view,
    assert_product,
    guarded_output,
    numbers,
    operand_pairs,
    product_and_bound,
)

RUNGS = [pytest.param(get(name), id=name) for name in LADDER if name != "numpy"]
every_rung = pytest.mark.parametrize("kernel", RUNGS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)

# The products of the network at batch 32, and shapes that cross the blocks of every kernel.
SHAPES = [
    (32, 784, 128), (32, 128, 64), (32, 64, 10),  # x @ W
    (784, 32, 128), (128, 32, 64), (64, 32, 10),  # x.T @ dy
    (32, 64, 128), (32, 10, 64),  # dy @ W.T
    (130, 300, 131), (7, 257, 70), (301, 3, 5), (1, 1000, 1), (193, 129, 129),
    (191, 511, 65), (193, 513, 129), (385, 1025, 130),  # around the blocks of `simd`
]  # fmt: skip


@every_rung
@settings(max_examples=60, deadline=None)
@given(pair=operand_pairs(lambda rng, shape: rng.standard_normal(shape)))
def test_any_shape_and_strides_give_the_product_within_rounding(kernel, pair):
    A, B = pair
    before = A.copy(), B.copy()
    with guarded_output():
        C = kernel(A, B)
    assert_product(C, A, B)
    for operand, copy in zip((A, B), before, strict=True):
        np.testing.assert_array_equal(operand, copy)


@every_rung
@settings(max_examples=60, deadline=None)
@given(pair=operand_pairs(lambda rng, shape: rng.integers(-8, 8, shape, endpoint=True)))
def test_matrices_of_integers_are_multiplied_exactly(kernel, pair):
    A, B = pair
    with guarded_output():
        C = kernel(A, B)
    np.testing.assert_array_equal(C, A @ B)


@cache
def operands_and_product(shape, dtype, zeros):
    """A, B and what their product may be: for all kernels the same, and slow to find."""
    m, k, n = shape
    rng = np.random.default_rng(0)
    A, B = numbers(rng, (m, k), dtype, zeros), numbers(rng, (k, n), dtype)
    return A, B, product_and_bound(A, B)


@every_rung
@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("zeros", [0.0, 0.81], ids=["dense", "sparse"])
def test_the_products_of_the_network_hold_the_bound(kernel, dtype, shape, zeros):
    A, B, expected = operands_and_product(shape, dtype, zeros)
    for A_view, B_view in [("plain", "plain"), ("transposed", "plain"), ("plain", "transposed")]:
        with guarded_output():
            C = kernel(as_view(A, A_view), as_view(B, B_view))
        assert_product(C, A, B, expected)


@every_rung
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_the_left_operand_reaches_its_row_and_no_other(kernel, special):
    A, B = np.ones((9, 20), np.float32), np.ones((20, 70), np.float32)
    A[4, 7] = special
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(kernel(A, B), A @ B)


@every_rung
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_the_right_operand_reaches_its_column_and_no_other(kernel, special):
    A, B = np.ones((9, 20), np.float32), np.ones((20, 70), np.float32)
    B[7, 4] = special
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(kernel(A, B), A @ B)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_among_zeros_too_what_is_not_finite_reaches_its_row(special):
    rng = np.random.default_rng(0)
    A, B = numbers(rng, (40, 100), np.float32, 0.8), np.ones((100, 70), np.float32)
    A[4, 7] = special
    for A_view in ("plain", "transposed"):
        C = get("sparse")(as_view(A, A_view), B)
        assert (np.isnan(C[4]) if np.isnan(special) else C[4] == special).all()
        assert np.isfinite(np.delete(C, 4, axis=0)).all()


def test_the_sparse_rung_takes_zero_times_infinity_for_zero():
    rng = np.random.default_rng(0)
    A, B = numbers(rng, (40, 100), np.float32, 0.8), np.ones((100, 70), np.float32)
    A[:, 7] = 0
    B[7] = np.inf
    assert np.isfinite(get("sparse")(A, B)).all()


@every_rung
def test_float32_and_float64_together_give_float64_as_in_numpy(kernel):
    A, B = np.full((3, 4), 0.1, np.float32), np.full((4, 5), 0.1)
    assert kernel(A, B).dtype == np.float64
    assert_product(kernel(A, B), A.astype(np.float64), B)
    assert_product(kernel(B.T, A.T), B.T, A.T.astype(np.float64))


@every_rung
@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (4, 5)), ((3,), (3, 4)), ((2, 3), (3,)), ((1, 2, 3), (3, 4)), ((2, 0), (1, 2))],
    ids=str,
)
def test_shapes_that_do_not_fit_raise_an_error_that_names_both(kernel, shapes):
    left, right = shapes
    with pytest.raises(ValueError, match=r"cannot multiply .*\) by .*\)") as error:
        kernel(np.ones(left), np.ones(right))
    assert str(left) in str(error.value)
    assert str(right) in str(error.value)


@every_rung
@pytest.mark.parametrize("dtype", ["int64", "float16", "complex64", ">f4", "object"])
def test_other_dtypes_raise_an_error_that_names_them(kernel, dtype):
    with pytest.raises(ValueError, match=str(np.dtype(dtype))):
        kernel(np.ones((2, 2), dtype), np.ones((2, 2), np.float32))


def test_get_finds_every_rung_and_names_them_all_when_it_finds_none():
    assert [get(name).__name__ for name in LADDER][:-1] == list(LADDER)[:-1]
    assert get("numpy") is np.matmul
    with pytest.raises(ValueError, match=", ".join(LADDER)):
        get("fastest")


WRONG = {
    "transposes": lambda A, B: (A @ B).T.copy(),
    "forgets the last k": lambda A, B: A[:, :-1] @ B[:-1],
    "forgets the last row": lambda A, B: np.concatenate([(A @ B)[:-1], np.zeros((1, 40), A.dtype)]),
    "adds an ulp": lambda A, B: A @ B * (1 + 80 * np.finfo(A.dtype).eps),
    "rounds to half": lambda A, B: A @ B.astype(np.float16).astype(A.dtype),
    "leaves a NaN": lambda A, B: np.where(np.eye(40, dtype=bool), A.dtype.type(np.nan), A @ B),
    "overflows": lambda A, B: np.where(np.eye(40, dtype=bool), A.dtype.type(np.inf), A @ B),
    "returns float64": lambda A, B: (A @ B).astype(np.longdouble),
    "returns a view": lambda A, B: (B.T @ A.T).T,
    "returns another shape": lambda A, B: (A @ B)[:1],
}


@every_dtype
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_the_checker_finds_the_wrong_kernel(wrong, dtype):
    A, B = np.random.default_rng(1).standard_normal((2, 40, 40)).astype(dtype)
    assert_product(A @ B, A, B)
    with pytest.raises(AssertionError):
        assert_product(wrong(A, B), A, B)


@every_dtype
def test_the_checker_allows_gamma_k_and_no_more(dtype):
    k, u = 40, np.finfo(dtype).eps / 2
    A, B = np.ones((3, k), dtype), np.ones((k, 5), dtype)  # |A| |B| is 40 everywhere
    allowed = k * u / (1 - k * u) * k
    ulps = int(allowed / np.spacing(dtype(k)))
    assert ulps == 25
    C = A @ B
    C[1, 2] += ulps * np.spacing(dtype(k))
    assert_product(C, A, B)
    C[1, 2] += np.spacing(dtype(k))
    with pytest.raises(AssertionError):
        assert_product(C, A, B)


@pytest.mark.parametrize("offset", [-1, "end"])
def test_the_guard_finds_a_kernel_that_writes_beside_its_output(offset):
    from scratchnet.kernels import operands

    def careless(A, B):
        *_, C = operands.operands(A, B)
        C.base[127 if offset == -1 else 128 + C.size] = 0

    with pytest.raises(AssertionError), guarded_output():
        careless(np.ones((2, 3)), np.ones((3, 4)))


def test_views_are_the_matrix_they_are_made_from():
    matrix = np.arange(12.0).reshape(3, 4)
    for view in VIEWS:
        np.testing.assert_array_equal(as_view(matrix, view), matrix)
    assert not as_view(matrix, "unaligned").flags.aligned
    assert not as_view(matrix, "read-only").flags.writeable
