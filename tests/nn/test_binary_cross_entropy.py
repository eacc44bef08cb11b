"""Binary cross-entropy on logits: what PyTorch computes, and nothing overflows or is lost."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch.nn import BCEWithLogitsLoss

from scratchnet.checking import error_bounds, gradcheck
from scratchnet.nn.activations import Sigmoid
from scratchnet.nn.losses import binary_cross_entropy, softmax_cross_entropy

FLOATS = ["float32", "float64"]
both_dtypes = pytest.mark.parametrize("dtype", FLOATS)


def torchs(logits, targets):
    """(loss, dlogits) by PyTorch."""
    leaf = torch.tensor(logits, requires_grad=True)
    loss = BCEWithLogitsLoss()(leaf, torch.tensor(targets))
    loss.backward()
    return loss.detach().numpy(), leaf.grad.numpy()


@st.composite
def answers(draw):
    """Logits of any shape, and targets: hard ones and soft ones."""
    dtype, shape = draw(st.sampled_from(FLOATS)), draw(array_shapes(max_dims=3, max_side=8))
    width = int(dtype.removeprefix("float"))
    logits = arrays(dtype, shape, elements=st.floats(-1000, 1000, width=width))
    hard, soft = st.sampled_from([0.0, 1.0]), st.floats(0, 1, width=width)
    return draw(logits), draw(arrays(dtype, shape, elements=draw(st.sampled_from([hard, soft]))))


@settings(max_examples=300)
@given(answers())
def test_loss_and_gradient_are_pytorchs_within_their_bands(answer):
    logits, targets = answer
    their_loss, their_dlogits = torchs(logits, targets)

    with np.errstate(all="raise", under="ignore"):
        loss, dlogits = binary_cross_entropy(logits, targets)

    both = logits, logits
    assert loss.dtype == dlogits.dtype == logits.dtype
    assert abs(loss - their_loss) <= error_bounds.binary_loss_bound(both, targets)
    band = error_bounds.binary_dlogits_bound(both, (dlogits, their_dlogits))
    assert (np.abs(dlogits - their_dlogits) <= band).all()


@both_dtypes
@pytest.mark.parametrize("target", [0, 1, 0.25])
def test_logits_of_a_thousand_cost_what_they_should(dtype, target):
    x, t = np.array([[1000], [-1000]], dtype), np.full((2, 1), target, dtype)

    loss, dlogits = binary_cross_entropy(x, t)

    assert loss == 500  # one of them is wrong by 1000 (1 - t), the other by 1000 t
    assert dlogits.tolist() == [[(1 - target) / 2], [-target / 2]]


@both_dtypes
@pytest.mark.parametrize("logit", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("target", [0, 1])
def test_a_logit_that_is_no_number_is_no_loss_either(dtype, logit, target):
    x, t = np.array([logit, 1], dtype), np.array([target, 1], dtype)

    with np.errstate(invalid="ignore"):
        loss, dlogits = binary_cross_entropy(x, t)

    their_loss, their_dlogits = torchs(x, t)
    np.testing.assert_array_equal(np.isfinite(loss), np.isfinite(their_loss))
    np.testing.assert_allclose(dlogits, their_dlogits, rtol=8 * np.finfo(dtype).eps)


@both_dtypes
def test_no_digits_are_lost_where_the_answer_is_sure_and_right(dtype):
    x = np.array([30, 60, -30, -60], dtype)
    targets = (x > 0).astype(dtype)

    loss, dlogits = binary_cross_entropy(x, targets)

    with mpmath.workdps(50):
        e = [mpmath.exp(-abs(mpmath.mpf(float(v)))) for v in x]
        truth = float(mpmath.fsum(map(mpmath.log1p, e)) / 4)
        wrong = [float(v / (1 + v) / 4) for v in e]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(loss, truth, rtol=8 * eps)
    np.testing.assert_allclose(dlogits[2:], wrong[2:], rtol=8 * eps)  # p - 1 has lost its digits


def test_the_gradient_is_the_slope_of_the_loss():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(6, 5)) * 3, rng.random((6, 5))
    _, dlogits = binary_cross_entropy(logits, targets)

    check = gradcheck.check_gradient(
        lambda: (binary_cross_entropy(logits, targets)[0], ()), logits, dlogits, rng=rng
    )

    assert check.probes == check.kept == 30
    assert check.ok, check


def test_it_is_the_softmax_of_two_classes_one_of_which_has_the_logit_0():
    logits = np.random.default_rng(0).normal(size=(8, 1)) * 4
    labels = np.array([0, 1] * 4)

    loss, dlogits = binary_cross_entropy(logits, labels[:, None].astype(float))

    two, dtwo = softmax_cross_entropy(np.hstack([np.zeros_like(logits), logits]), labels)
    assert loss == pytest.approx(two, rel=1e-14)
    np.testing.assert_allclose(dlogits[:, 0], dtwo[:, 1], rtol=1e-13)


def test_its_gradient_is_that_of_a_sigmoid_and_the_logarithms():
    x, t = np.random.default_rng(0).normal(size=(2, 7))
    t = 1 / (1 + np.exp(t))
    layer = Sigmoid()
    p = layer.forward(x)

    loss, dlogits = binary_cross_entropy(x, t)

    assert loss == pytest.approx(-(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(), rel=1e-13)
    np.testing.assert_allclose(dlogits, layer.backward((p - t) / (p * (1 - p)) / 7), rtol=1e-13)


def test_logits_and_targets_stay_as_they_are():
    logits, targets = np.full((3, 1), 2.0), np.ones((3, 1))

    binary_cross_entropy(logits, targets)

    assert (logits == 2).all()
    assert (targets == 1).all()


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.zeros((2, 1)), np.zeros(2), r"\(2, 1\).*\(2,\)"),
        (np.zeros((2, 1)), np.zeros((1, 1)), r"\(2, 1\).*\(1, 1\)"),
        (np.zeros((2, 1)), np.zeros((2, 1), int), "int64"),
        (np.zeros((2, 1), "f4"), np.zeros((2, 1)), "float32.*float64"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "empty"),
        (np.zeros(2), np.array([0, 1.5]), r"\[0, 1\].*1.5"),
        (np.zeros(2), np.array([-0.5, 1]), r"\[0, 1\].*-0.5"),
        (np.zeros(2), np.array([0, np.nan]), r"\[0, 1\].*nan"),
    ],
)
def test_targets_that_are_no_probabilities_of_these_logits_are_refused(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        binary_cross_entropy(logits, targets)
