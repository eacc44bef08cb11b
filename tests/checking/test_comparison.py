"""The checker is checked: it must let honest rounding pass, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet.checking import error_bounds
from torch_ref.lockstep import comparison, extended_precision

FLOATS = ["float32", "float64"]


def gradient(dtype, shape=(30, 20)):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def no_excuse():
    """A rounding band of nothing."""
    return 0.0


WRONGS = {
    "a NaN": lambda g: np.where(np.arange(g.size).reshape(g.shape) == 5, np.nan, g),
    "all NaN": lambda g: np.full_like(g, np.nan),
    "an infinity": lambda g: np.where(np.arange(g.size).reshape(g.shape) == 5, np.inf, g),
    "zeros": np.zeros_like,
    "1 % off": lambda g: g * g.dtype.type(1.01),
    "the opposite sign": np.negative,
    "transposed": lambda g: np.ascontiguousarray(g.T).reshape(g.shape),
    "one element forgotten": lambda g: np.where(g == g.max(), 0, g).astype(g.dtype),
    "two rows swapped": lambda g: g[[1, 0, *range(2, len(g))]],
    "a thousand eps off": lambda g: g * (1 + 1000 * np.finfo(g.dtype).eps),
    "another shape": lambda g: g.T,
    "another dtype": lambda g: g.astype(np.float16),
    "missing": lambda g: None,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("wrong", WRONGS)
def test_a_wrong_gradient_fails(wrong, dtype):
    g = gradient(dtype)

    v = comparison.compare("dW", WRONGS[wrong](g), g, no_excuse)

    assert not v.ok
    assert v.word == "FAIL"
    assert v.excess > 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_against_nan_fails_too(dtype):
    g = np.full((3, 2), np.nan, dtype)

    assert not comparison.compare("dW", g, g, no_excuse).ok
    assert not comparison.compare("loss", g[0, 0], g[0, 0], no_excuse).ok


@pytest.mark.parametrize("dtype", FLOATS)
def test_infinity_against_infinity_fails_too(dtype):
    g = np.full((3, 2), np.inf, dtype)

    assert not comparison.compare("z", g, g, no_excuse).ok


@pytest.mark.parametrize("dtype", FLOATS)
def test_something_against_nothing_fails(dtype):
    nothing = np.zeros((3, 2), dtype)

    assert comparison.compare("dW", nothing, nothing, no_excuse).ok
    assert not comparison.compare("dW", nothing + np.finfo(dtype).tiny, nothing, no_excuse).ok


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_limits_are_128_eps_of_the_largest_element_and_64_eps_of_the_norm(dtype):
    eps = np.finfo(dtype).eps
    flat = np.ones(100, dtype)  # norm 10: the largest element decides
    lone = np.eye(1, 100, dtype=dtype)[0]  # norm 1: the norm decides
    first = np.eye(1, 100, dtype=dtype)[0]

    assert comparison.compare("g", flat + 128 * eps * first, flat, no_excuse).ok
    assert not comparison.compare("g", flat + 130 * eps * first, flat, no_excuse).ok
    assert comparison.compare("g", lone + 64 * eps * first, lone, no_excuse).ok
    assert not comparison.compare("g", lone + 66 * eps * first, lone, no_excuse).ok


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_limit_of_the_loss_is_8_eps(dtype):
    loss, eps = np.array(1, dtype), np.finfo(dtype).eps

    assert comparison.compare("loss", loss + 8 * eps, loss, no_excuse).ok
    assert not comparison.compare("loss", loss + 9 * eps, loss, no_excuse).ok


def test_images_and_labels_must_have_the_same_bits():
    x, labels = gradient("float32"), np.array([1, 2, 3])

    assert comparison.compare("x", x.copy(), x).ok
    assert not comparison.compare("x", np.nextafter(x, np.float32(9)), x).ok
    assert not comparison.compare("labels", np.array([1, 2, 4]), labels).ok


def test_a_band_excuses_element_by_element_and_says_so():
    theirs = np.array([1e-9, 1e-9])  # what is left of two sums that cancel
    ours = theirs + np.array([1e-12, 0])

    inside = comparison.compare("db", ours, theirs, lambda: np.array([2e-12, 0]))
    beside = comparison.compare("db", ours, theirs, lambda: np.array([0, 2e-12]))

    assert inside.word == "ok, cancels"
    assert inside.band == pytest.approx(0.5, rel=1e-3)
    assert not beside.ok


def test_a_band_is_not_asked_while_the_strict_criterion_holds():
    g = gradient("float64")

    def never():
        raise AssertionError

    assert comparison.compare("dW", g * (1 + 2e-16), g, never).ok


# --- the bands ----------------------------------------------------------------------------------


@settings(max_examples=500, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 300), st.integers(1, 20)),
    seed=st.integers(0, 2**32),
    exponent=st.integers(-30, 15),
)
def test_every_order_of_summation_stays_inside_the_band_of_a_product(shape, seed, exponent):
    m, k, n = shape
    rng = np.random.default_rng(seed)
    a = (rng.standard_normal((m, k)) * 10.0**exponent).astype(np.float32)  # (M,K)
    b = rng.standard_normal((k, n)).astype(np.float32)  # (K,N)
    order = rng.permutation(k)

    ours = a[:, order] @ b[order]  # (M,N)
    theirs = a.astype(np.float64) @ b.astype(np.float64)  # (M,N), far inside
    band = error_bounds.product_band((a, a), (b, b))

    assert (np.abs(ours - theirs) <= band).all()


def test_the_band_of_a_product_grows_by_what_came_in_different():
    a1, a2, b = gradient("float64"), gradient("float64") + 1e-3, gradient("float64").T

    band = error_bounds.product_band((a1, a2), (b, b))

    assert (np.abs(a1 @ b - a2 @ b) <= band).all()
    assert (error_bounds.product_band((a1, a1), (b, b)) < 1e-12).all()


def test_no_band_is_promised_for_sums_too_long_for_the_format():
    with pytest.raises(ValueError, match="no bound"):
        error_bounds.gamma(2**24, np.finfo(np.float32).eps)


@settings(max_examples=500, deadline=None)
@given(
    n_images=st.integers(1, 30),
    n_classes=st.integers(1, 20),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 10.0, 1e4]),
    right=st.booleans(),
)
def test_float32_losses_and_their_gradients_stay_inside_their_bands(
    n_images, n_classes, seed, scale, right
):
    from scratchnet import softmax_cross_entropy

    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((n_images, n_classes)) * scale).astype(np.float32)  # (B,C)
    labels = logits.argmax(axis=1) if right else rng.integers(n_classes, size=n_images)

    loss, dlogits = softmax_cross_entropy(logits, labels)
    true_loss, true_dlogits = softmax_cross_entropy(logits.astype(np.float64), labels)

    assert abs(loss - true_loss) <= error_bounds.loss_band((logits, logits), labels)
    band = error_bounds.dlogits_band((logits, logits), (dlogits, true_dlogits))
    assert (np.abs(dlogits - true_dlogits) <= band).all()


def test_the_band_of_a_usual_gradient_is_far_below_one_percent():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((32, 10)).astype(np.float32)  # (B,C)
    p = np.exp(error_bounds._log_softmax(logits))  # (B,C)
    dlogits = (p - np.eye(10)[rng.integers(10, size=32)]) / 32  # (B,C)

    band = error_bounds.dlogits_band((logits, logits), (dlogits, dlogits))

    assert (band < 1e-4 * np.abs(dlogits).max()).all()


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 10.0, 1e3]),
    gap=st.sampled_from([0.0, 1e-6, 1e-2]),
)
def test_float32_tanhs_and_their_slopes_stay_inside_their_bands(seed, scale, gap):
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal((2, 5, 30)) * [[[scale]], [[1]]]).astype(np.float32)  # (5,30)
    other = x + (gap * rng.standard_normal(x.shape)).astype(np.float32)  # (5,30)

    y, other_y = np.tanh(x), np.tanh(other.astype(np.float64)).astype(np.float32)
    band = error_bounds.tanh_band((x, other))
    assert (np.abs(y.astype(np.float64) - other_y) <= band).all()

    dx = dy * (1 - y * y)  # (5,30)
    other_dx = dy.astype(np.float64) * (1 - other_y.astype(np.float64) ** 2)
    assert (np.abs(dx - other_dx) <= error_bounds.tanh_slope_band((dy, dy), (y, other_y))).all()


def test_the_bands_of_usual_steps_of_a_gan_are_far_below_one_percent():
    rng = np.random.default_rng(0)
    x, g, p = rng.standard_normal((3, 32, 10)).astype(np.float32)  # (32,10)
    y, targets = np.tanh(x), (g > 0).astype(np.float32)  # (32,10)
    dx = (1 / (1 + np.exp(-x)) - targets) / x.size  # (32,10)
    m, v, betas = g * np.float32(0.5), g * g * np.float32(0.001), (0.5, 0.999)
    for band, size in (
        (error_bounds.tanh_band((x, x)), y),
        (error_bounds.tanh_slope_band((g, g), (y, y)), g * (1 - y * y)),
        (error_bounds.scaled_band((x, x), 0.2), 0.2 * x),
        (error_bounds.binary_loss_band((x, x), targets), np.ones(1)),
        (error_bounds.binary_dlogits_band((x, x), (dx, dx)), dx),
        (error_bounds.mean_band((g, g), m, 0.5), m),
        (error_bounds.square_band((g, g), v, 0.999), v),
        (error_bounds.adam_band((m, m), (v, v), p, 1, 1e-3, betas, 1e-8), np.full(1, 1e-1)),
    ):
        assert (band < 1e-4 * np.abs(size).max()).all()


def test_a_step_of_adam_may_differ_by_what_its_moments_differ_and_by_no_more():
    p, m, v = np.full((3, 2), 0.5), np.full((3, 2), 1e-12), np.full((3, 2), 1e-24)
    rest = p, 3, 0.01, (0.5, 0.999), 1e-8

    same = error_bounds.adam_band((m, m), (v, v), *rest)
    doubled = error_bounds.adam_band((m, 2 * m), (v, v), *rest)

    step = 0.01 / (1 - 0.5**3) * 1e-12 / (1e-12 / (1 - 0.999**3) ** 0.5 + 1e-8)
    assert (same < 1e-15).all()
    np.testing.assert_allclose(doubled - same, step, rtol=1e-9)


# --- the third judge ----------------------------------------------------------------------------


def test_an_error_is_counted_in_eps_of_the_largest_element():
    true = np.array([1.0, -2.0], np.longdouble)

    assert extended_precision.error(np.array([1.0, -2.0]), true) == 0
    off = np.array([1 + 2 * np.finfo(np.float64).eps, -2.0])
    assert extended_precision.error(off, true) == pytest.approx(1)
