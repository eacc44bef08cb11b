"""Error bounds hold for every computation that rounds, and are tight enough to convict."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import Sigmoid, binary_cross_entropy, softmax_cross_entropy
from scratchnet.checking import error_bounds


def gradient(dtype, shape=(30, 20)):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@settings(max_examples=500, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 300), st.integers(1, 20)),
    seed=st.integers(0, 2**32),
    exponent=st.integers(-30, 15),
)
def test_every_order_of_summation_stays_inside_the_bound_of_a_product(shape, seed, exponent):
    m, k, n = shape
    rng = np.random.default_rng(seed)
    a = (rng.standard_normal((m, k)) * 10.0**exponent).astype(np.float32)  # (M,K)
    b = rng.standard_normal((k, n)).astype(np.float32)  # (K,N)
    order = rng.permutation(k)

    ours = a[:, order] @ b[order]  # (M,N)
    theirs = a.astype(np.float64) @ b.astype(np.float64)  # (M,N), far inside
    bound = error_bounds.product_bound((a, a), (b, b))

    assert (np.abs(ours - theirs) <= bound).all()


def test_the_bound_of_a_product_grows_by_what_came_in_different():
    a1, a2, b = gradient("float64"), gradient("float64") + 1e-3, gradient("float64").T

    bound = error_bounds.product_bound((a1, a2), (b, b))

    assert (np.abs(a1 @ b - a2 @ b) <= bound).all()
    assert (error_bounds.product_bound((a1, a1), (b, b)) < 1e-12).all()


def test_no_bound_is_promised_for_sums_too_long_for_the_format():
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
def test_float32_losses_and_their_gradients_stay_inside_their_bounds(
    n_images, n_classes, seed, scale, right
):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((n_images, n_classes)) * scale).astype(np.float32)  # (B,C)
    labels = logits.argmax(axis=1) if right else rng.integers(n_classes, size=n_images)

    loss, dlogits = softmax_cross_entropy(logits, labels)
    true_loss, true_dlogits = softmax_cross_entropy(logits.astype(np.float64), labels)

    assert abs(loss - true_loss) <= error_bounds.loss_bound((logits, logits), labels)
    bound = error_bounds.dlogits_bound((logits, logits), (dlogits, true_dlogits))
    assert (np.abs(dlogits - true_dlogits) <= bound).all()


def test_the_bound_of_a_usual_gradient_is_far_below_one_percent():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((32, 10)).astype(np.float32)  # (B,C)
    p = np.exp(error_bounds._log_softmax(logits))  # (B,C)
    dlogits = (p - np.eye(10)[rng.integers(10, size=32)]) / 32  # (B,C)

    bound = error_bounds.dlogits_bound((logits, logits), (dlogits, dlogits))

    assert (bound < 1e-4 * np.abs(dlogits).max()).all()


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 10.0, 1e3]),
    gap=st.sampled_from([0.0, 1e-6, 1e-2]),
)
def test_float32_tanhs_and_their_slopes_stay_inside_their_bounds(seed, scale, gap):
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal((2, 5, 30)) * [[[scale]], [[1]]]).astype(np.float32)  # (5,30)
    other = x + (gap * rng.standard_normal(x.shape)).astype(np.float32)  # (5,30)

    y, other_y = np.tanh(x), np.tanh(other.astype(np.float64)).astype(np.float32)
    bound = error_bounds.tanh_bound((x, other))
    assert (np.abs(y.astype(np.float64) - other_y) <= bound).all()

    dx = dy * (1 - y * y)  # (5,30)
    other_dx = dy.astype(np.float64) * (1 - other_y.astype(np.float64) ** 2)
    assert (np.abs(dx - other_dx) <= error_bounds.slope_bound((dy, dy), (y, other_y), False)).all()


def test_an_image_is_allowed_nothing_for_the_logits_of_another():
    rng = np.random.default_rng(0)
    ours = rng.standard_normal((4, 10))  # (B,C)
    theirs = ours + np.array([[0.01], [0], [0], [0]])  # (B,C)

    bound = error_bounds.dlogits_bound((ours, theirs), (ours, theirs)).max(axis=1)  # (B,)

    assert bound[0] > 1e-4
    assert (bound[1:] < 1e-13).all()


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 10.0, 80.0]),
    gap=st.sampled_from([0.0, 1e-6, 1e-2]),
)
def test_float32_sigmoids_and_their_slopes_stay_inside_their_bounds(seed, scale, gap):
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal((2, 5, 30)) * [[[scale]], [[1]]]).astype(np.float32)  # (5,30)
    other = x + (gap * rng.standard_normal(x.shape)).astype(np.float32)  # (5,30)

    y = Sigmoid().forward(x)  # (5,30)
    other_y = (1 / (1 + np.exp(-other.astype(np.float64)))).astype(np.float32)  # (5,30)
    bound = error_bounds.sigmoid_bound((x, other))
    assert (np.abs(y.astype(np.float64) - other_y) <= bound).all()

    dx = dy * (y - y * y)  # (5,30)
    other_dx = dy * (other_y.astype(np.float64) - other_y.astype(np.float64) ** 2)  # (5,30)
    bound = error_bounds.slope_bound((dy, dy), (y, other_y), True)
    assert (np.abs(dx - other_dx) <= bound).all()


def test_the_bounds_of_a_sigmoid_and_its_slope_are_a_few_roundings_wide():
    x = np.linspace(-3, 3, 50, dtype=np.float32)
    y = Sigmoid().forward(x)

    apart = error_bounds.sigmoid_bound((x, x + np.float32(0.01)))
    assert (error_bounds.sigmoid_bound((x, x)) < 20 * np.finfo(np.float32).eps * y).all()
    assert (apart < 0.01 * (y * (1 - y) + 0.02)).all()  # the slope, times how far they are apart
    assert (error_bounds.slope_bound((x, x), (y, y), True) < 20 * 2.0**-23 * np.abs(x)).all()


@settings(max_examples=300, deadline=None)
@given(
    n_images=st.integers(1, 30),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 10.0, 80.0]),
)
def test_float32_binary_losses_and_their_gradients_stay_inside_their_bounds(n_images, seed, scale):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((n_images, 1)) * scale).astype(np.float32)  # (B,1)
    targets = rng.integers(2, size=(n_images, 1)).astype(np.float32)  # (B,1)

    loss, dlogits = binary_cross_entropy(logits, targets)
    true_loss, true_dlogits = binary_cross_entropy(*(a.astype(float) for a in (logits, targets)))

    assert abs(loss - true_loss) <= error_bounds.binary_loss_bound((logits, logits), targets)
    bound = error_bounds.binary_dlogits_bound((logits, logits), (dlogits, true_dlogits))
    assert (np.abs(dlogits - true_dlogits) <= bound).all()


def test_logits_a_little_apart_move_a_binary_gradient_by_their_distance_and_no_more():
    x = np.linspace(-3, 3, 50)  # (B,)
    dx = 1 / (1 + np.exp(-x)) / 50  # (B,)

    bound = error_bounds.binary_dlogits_bound((x, x + 1e-6), (dx, dx))

    assert (bound > 0.99e-6 * dx).all()
    assert (bound < 1.01e-6 * dx).all()


def test_the_slope_of_a_tanh_and_of_a_sigmoid_is_bounded_by_the_sum_of_both_sides_terms():
    dy, y, u = np.array([2.0]), np.array([0.5]), np.finfo(np.float64).eps / 2

    tanh = error_bounds.slope_bound((dy, dy), (y, y), False)  # 2 (1 - 0.25)
    sigmoid = error_bounds.slope_bound((dy, dy), (y, y), True)  # 2 (0.5 - 0.25)

    np.testing.assert_allclose(tanh, 2 * 4 * u * 2 * (1 + 0.25), rtol=1e-9)
    np.testing.assert_allclose(sigmoid, 2 * 4 * u * 2 * (0.5 + 0.25), rtol=1e-9)


def test_the_gradient_of_a_logit_of_0_may_be_off_by_what_moves_its_probability():
    eps, zero = np.finfo(np.float64).eps, np.zeros(1)

    bound = error_bounds.binary_dlogits_bound((zero, zero), (zero, zero))

    # p is 1/2; an exponential (of ULPS eps), a sum and a division move it, on both sides
    np.testing.assert_allclose(bound, 0.5 * 2 * eps * (2 * error_bounds.ULPS + 1), rtol=1e-9)


def test_the_bounds_of_a_step_of_sgd_are_a_few_roundings_wide():
    g, p, v = np.random.default_rng(0).standard_normal((3, 30))  # (30,)
    step = np.abs(g) + 0.01 * np.abs(p) + 0.9 * np.abs(v)  # (30,)
    eps = np.finfo(np.float64).eps

    velocity = error_bounds.velocity_bound((g, g), p, v, 0.9, 0.01)
    parameter = error_bounds.parameter_bound((g, g), p, v, 0.9, 0.01, 1e-3)
    moved = error_bounds.parameter_bound((g, g + 1e-6), p, v, 0.9, 0.01, 1e-3)

    assert (velocity < 6 * eps * step).all()
    assert (parameter < 4 * eps * (np.abs(p) + 1e-2 * step)).all()
    np.testing.assert_allclose(moved, 1e-9, rtol=1e-5)


def test_the_bounds_of_usual_steps_of_a_gan_are_far_below_one_percent():
    rng = np.random.default_rng(0)
    x, g, p = rng.standard_normal((3, 32, 10)).astype(np.float32)  # (32,10)
    y, targets = np.tanh(x), (g > 0).astype(np.float32)  # (32,10)
    dx = (1 / (1 + np.exp(-x)) - targets) / x.size  # (32,10)
    m, v, betas = g * np.float32(0.5), g * g * np.float32(0.001), (0.5, 0.999)
    for bound, size in (
        (error_bounds.tanh_bound((x, x)), y),
        (error_bounds.slope_bound((g, g), (y, y), False), g * (1 - y * y)),
        (error_bounds.scaled_bound((x, x), 0.2), 0.2 * x),
        (error_bounds.binary_loss_bound((x, x), targets), np.ones(1)),
        (error_bounds.binary_dlogits_bound((x, x), (dx, dx)), dx),
        (error_bounds.mean_bound((g, g), m, 0.5), m),
        (error_bounds.square_bound((g, g), v, 0.999), v),
        (error_bounds.adam_bound((m, m), (v, v), p, 1, 1e-3, betas, 1e-8), np.full(1, 1e-1)),
    ):
        assert (bound < 1e-4 * np.abs(size).max()).all()


def test_a_step_of_adam_may_differ_by_what_its_moments_differ_and_by_no_more():
    p, m, v = np.full((3, 2), 0.5), np.full((3, 2), 1e-12), np.full((3, 2), 1e-24)
    rest = p, 3, 0.01, (0.5, 0.999), 1e-8

    same = error_bounds.adam_bound((m, m), (v, v), *rest)
    doubled = error_bounds.adam_bound((m, 2 * m), (v, v), *rest)

    step = 0.01 / (1 - 0.5**3) * 1e-12 / (1e-12 / (1 - 0.999**3) ** 0.5 + 1e-8)
    assert (same < 1e-15).all()
    np.testing.assert_allclose(doubled - same, step, rtol=1e-9)


def test_the_bounds_of_sums_are_gamma_k_times_their_magnitude_on_either_side():
    """Higham's (3.5): |fl(xᵀy) - xᵀy| <= γ_k |x|ᵀ|y|, γ_k = ku / (1 - ku); here all of it is 1s."""
    ones, u = np.ones((20, 20), np.float32), 2.0**-24

    def allowed(k, magnitude):
        return 2 * k * u / (1 - k * u) * magnitude

    product = error_bounds.product_bound((ones, ones), (ones, ones))
    np.testing.assert_allclose(product, allowed(20, 20), rtol=1e-9)
    with_bias = error_bounds.product_bound((ones, ones), (ones, ones), extra=3, terms=1)
    np.testing.assert_allclose(with_bias, allowed(21, 23), rtol=1e-9)
    np.testing.assert_allclose(error_bounds.sum_bound((ones, ones)), allowed(20, 20), rtol=1e-9)
