"""Gradient checking by finite differences, and whether it would notice a wrong gradient."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnet
from scratchnet import MLP, Linear, ReLU, softmax_cross_entropy
from scratchnet.checking import gradcheck
from tests.conftest import ROOT


def rng(seed=0):
    return np.random.default_rng(seed)


def test_every_gradient_of_the_default_network_is_the_slope_on_real_images(digits):
    mlp = MLP((784, 128, 64, 10), rng=rng(), dtype=np.float64)
    images, labels = next(scratchnet.data.batches(*digits.train, 32, seed=0, epoch=1))
    x = scratchnet.data.to_unit_interval(images, np.float64)  # (32,784)

    checks = gradcheck.check_network(mlp, softmax_cross_entropy, x, labels, rng=rng(), probes=100)

    assert list(checks) == [name for name, _ in mlp.parameters()]
    assert all(check.ok for check in checks.values()), checks


@settings(max_examples=300, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    n_images=st.integers(1, 12),
    seed=st.integers(0, 2**32),
)
def test_every_gradient_of_any_network_is_the_slope(sizes, n_images, seed):
    mlp = MLP(sizes, rng=rng(seed), dtype=np.float64)
    x = rng(seed + 1).random((n_images, sizes[0]))  # (B,I)
    labels = rng(seed).integers(sizes[-1], size=n_images)  # (B,)

    checks = gradcheck.check_network(
        mlp, softmax_cross_entropy, x, labels, rng=rng(seed), probes=20
    )

    assert all(check.worst <= 1 for check in checks.values()), checks


def test_a_linear_layer_by_itself_has_the_right_slopes():
    layer = Linear(7, 5, rng=rng(), dtype=np.float64)

    checks = gradcheck.check_layer(layer, rng().standard_normal((4, 7)), rng=rng())

    assert list(checks) == ["x", "W", "b"]
    assert all(check.ok for check in checks.values()), checks


def test_a_relu_by_itself_has_the_right_slopes():
    checks = gradcheck.check_layer(ReLU(), rng().standard_normal((4, 7)), rng=rng())

    assert checks["x"].ok, checks


def test_the_gradient_for_the_logits_is_the_slope_of_the_loss():
    logits, labels = rng().standard_normal((6, 5)) * 3, np.array([0, 1, 2, 3, 4, 0])  # (6,5), (6,)
    _, dlogits = softmax_cross_entropy(logits, labels)

    check = gradcheck.check_gradient(
        lambda: (softmax_cross_entropy(logits, labels)[0], ()), logits, dlogits, rng=rng()
    )

    assert check.probes == check.kept == 30
    assert check.ok, check


def test_the_examples_in_the_docstring_and_in_the_readme_work():
    page = doctest.testfile(str(ROOT / "torch_ref" / "README.md"), module_relative=False)
    for results in (doctest.testmod(gradcheck), page):
        assert results.failed == 0
        assert results.attempted > 0


# --- the check is checked ------------------------------------------------------------------------


class Tanh:
    """A reader's own layer."""

    def forward(self, x):
        self.y = np.tanh(x)  # (B,O)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)  # (B,O)


class WrongTanh(Tanh):
    """The classic mistake: the slope at x where the one at y is meant."""

    def backward(self, dy):
        return dy * (1 - self.y)  # (B,O)


def test_a_readers_own_layer_passes_if_right_and_fails_if_wrong():
    x = rng().standard_normal((4, 5))  # (4,5)

    assert gradcheck.check_layer(Tanh(), x, rng=rng())["x"].ok
    assert not gradcheck.check_layer(WrongTanh(), x, rng=rng())["x"].ok


WRONGS = {
    "1 % off": lambda g: g * 1.01,
    "a millionth off": lambda g: g * (1 + 3e-6),
    "zeros": np.zeros_like,
    "NaN": lambda g: np.full_like(g, np.nan),
    "one NaN": lambda g: np.where(g == g.max(), np.nan, g),
    "transposed": lambda g: g.T.copy(),
    "one element wrong": lambda g: np.where(g == g.max(), 0, g),
    "the opposite sign": np.negative,
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_a_wrong_gradient_is_not_the_slope(wrong):
    x = rng().standard_normal((5, 5))  # (5,5)

    def loss():
        return (np.sin(x) * np.arange(1, 26).reshape(5, 5)).sum(), ()

    right = np.cos(x) * np.arange(1, 26).reshape(5, 5)  # (5,5)

    assert gradcheck.check_gradient(loss, x, right, rng=rng()).ok
    assert not gradcheck.check_gradient(loss, x, WRONGS[wrong](right), rng=rng()).ok


def test_probes_across_a_kink_are_left_out_and_too_many_of_them_fail():
    relu = ReLU()
    x = np.array([[1e-6, 1.0, -1.0]])  # (1,3): the first lies on the kink

    check = gradcheck.check_layer(relu, x, rng=rng())["x"]

    assert (check.probes, check.kept) == (3, 2)
    assert check.worst <= 1
    assert not check.ok


def test_probing_leaves_the_values_as_they_were():
    layer = Linear(3, 2, rng=rng(), dtype=np.float64)
    before = layer.W.copy()

    gradcheck.check_layer(layer, rng().random((2, 3)), rng=rng())

    np.testing.assert_array_equal(layer.W, before)


def test_float32_is_too_coarse_to_measure_slopes():
    with pytest.raises(ValueError, match="float64"):
        gradcheck.check_layer(ReLU(), np.ones((2, 3), np.float32), rng=rng())


class Scale:
    """A reader's own layer with a parameter of another name, and what it computed kept beside."""

    def __init__(self):
        self.gamma = np.array([0.5, 1.0, 2.0])  # (I,)

    def forward(self, x):
        self.x = x  # (B,I)
        return x * self.gamma  # (B,I)

    def backward(self, dy):
        self.dx = dy * self.gamma  # (B,I)
        self.dgamma = (dy * self.x).sum(axis=0)  # (B,I) -> (I,)
        return self.dx


class WrongScale(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dgamma = dy.sum(axis=0)  # (B,I) -> (I,)
        return dx


class ForgetfulScale(Scale):
    def backward(self, dy):
        return dy * self.gamma  # (B,I)


def test_parameters_of_any_name_are_checked():
    x = rng().random((4, 3))  # (4,3)
    layer = Scale()

    for _ in range(2):  # of what it keeps of the first time, nothing is taken for a parameter
        assert list(gradcheck.check_layer(layer, x, rng=rng())) == ["x", "gamma"]

    checks = gradcheck.check_layer(WrongScale(), x, rng=rng())
    assert checks["x"].ok
    assert not checks["gamma"].ok


def test_a_parameter_without_gradient_is_refused_unless_the_parameters_are_named():
    x = rng().random((4, 3))  # (4,3)

    with pytest.raises(ValueError, match="gamma has no gradient dgamma"):
        gradcheck.check_layer(ForgetfulScale(), x, rng=rng())
    with pytest.raises(ValueError, match="no dgamma"):
        gradcheck.check_layer(ForgetfulScale(), x, rng=rng(), parameters=["gamma"])
    assert gradcheck.check_layer(ForgetfulScale(), x, rng=rng(), parameters=[])["x"].ok


class Diagonal:
    """The same layer, with a parameter whose own name begins with a d."""

    def __init__(self):
        self.diagonal = np.array([0.5, 1.0, 2.0])  # (I,)

    def forward(self, x):
        self.x = x  # (B,I)
        return x * self.diagonal  # (B,I)

    def backward(self, dy):
        self.ddiagonal = (dy * self.x).sum(axis=0)  # (B,I) -> (I,)
        return dy * self.diagonal  # (B,I)


def test_a_parameter_is_not_taken_for_a_gradient_by_its_first_letter():
    checks = gradcheck.check_layer(Diagonal(), rng().random((4, 3)), rng=rng())

    assert list(checks) == ["x", "diagonal"]


def test_as_many_places_are_probed_as_asked_for_and_a_hundred_by_default():
    layer, x = Linear(20, 30, rng=rng(), dtype=np.float64), rng().random((2, 20))  # (2,20)

    for asked, probes in (({}, 100), ({"probes": 7}, 7)):
        check = gradcheck.check_layer(layer, x, rng=rng(), **asked)["W"]
        assert check.probes == check.kept == probes
    check = gradcheck.check_gradient(lambda: (0.0, ()), np.ones(101), np.zeros(101), rng=rng())
    assert check.probes == 100


@pytest.mark.parametrize(("off", "ok"), [(0.8e-6, True), (1.2e-6, False)])
def test_a_gradient_may_be_off_by_a_millionth_and_no_more(off, ok):
    x = rng().standard_normal((5, 5))  # (5,5)

    check = gradcheck.check_gradient(lambda: (9 * x.sum(), ()), x, 9 + 9 * off * x**0, rng=rng())

    assert check.ok is ok
