"""Two judges that have nothing in common with PyTorch: measured slopes, and fifty digits."""

import doctest

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnet
from scratchnet import MLP, SGD, Linear, ReLU, softmax_cross_entropy
from scratchnet.checking import gradcheck
from scratchnet.checking.trace import state, trace_scratchnet
from scratchnet.nn.losses import binary_cross_entropy
from scratchnet.training.config import GANConfig
from torch_ref import model
from torch_ref.lockstep import extended_precision, gan, trace


def rng(seed=0):
    return np.random.default_rng(seed)


# --- measured slopes ----------------------------------------------------------------------------


def test_every_gradient_of_the_default_network_is_the_slope_on_real_images(digits):
    mlp = MLP((784, 128, 64, 10), rng=rng(), dtype=np.float64)
    x = scratchnet.data.to_unit_interval(digits.train.images, np.float64)  # (N,784)
    images, labels = next(
        scratchnet.data.batches(x, digits.train.labels, 32, seed=0, epoch=1)
    )  # (32,784), (32,)

    checks = gradcheck.check_network(
        mlp, softmax_cross_entropy, images, labels, rng=rng(), probes=100
    )

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


def test_the_example_in_the_docstring_works():
    assert doctest.testmod(gradcheck).failed == 0
    assert doctest.testmod(gradcheck).attempted > 0


# --- the judge is judged ------------------------------------------------------------------------


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


# --- fifty digits -------------------------------------------------------------------------------


def fifty_digits(mlp, x, labels):
    """Return {name: array of mpf} of a step, from the textbook's sums, in plain Python."""
    mpf = np.vectorize(mpmath.mpf, otypes=[object])
    weights = [mpf(layer.W) for layer in mlp.parametric_layers]
    activations, on = [mpf(x)], []
    for i, (w, layer) in enumerate(zip(weights, mlp.parametric_layers, strict=True)):
        z = activations[-1].dot(w) + mpf(layer.b)  # (B,O)
        on.append(z > 0)
        last = i == len(weights) - 1
        activations.append(z if last else z * on[-1])
    p = np.array([[mpmath.exp(z) / mpmath.fsum(map(mpmath.exp, row)) for z in row] for row in z])
    loss = -mpmath.fsum(mpmath.log(row[y]) for row, y in zip(p, labels, strict=True)) / len(x)
    dz = (p - np.eye(p.shape[1], dtype=int)[labels]) / mpmath.mpf(len(x))  # (B,C)
    truth = {"loss": loss, "dlogits": dz}
    for i in range(len(weights), 0, -1):
        truth |= {f"dW{i}": activations[i - 1].T.dot(dz), f"db{i}": dz.sum(axis=0)}
        if i > 1:
            dz = dz.dot(weights[i - 1].T) * on[i - 2]  # (B,O)
    return truth


def eps_off(tensor, truth):
    """The largest error of a tensor in eps of its largest true element."""
    off = max(abs(mpmath.mpf(float(a)) - b) for a, b in zip(tensor.flat, truth.flat, strict=True))
    return float(
        off / max(abs(b) for b in truth.flat) / mpmath.mpf(float(np.finfo(tensor.dtype).eps))
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_our_rounding_and_pytorchs_are_both_within_a_few_eps_of_the_truth(dtype):
    mlp = MLP((9, 7, 5, 3), rng=rng(), dtype=dtype)
    sgd = SGD(mlp, 0.1)
    x, labels = rng(1).random((8, 9)).astype(dtype), rng(2).integers(3, size=8)  # (8,9), (8,)
    theirs = model.to_torch(mlp)
    their_sgd = torch.optim.SGD(theirs.parameters(), 0.1)
    with mpmath.workdps(50):
        truth = fifty_digits(mlp, x, labels)
        ours = trace_scratchnet(mlp, sgd, softmax_cross_entropy, x, labels)
        torchs, _ = trace.trace_torch(
            theirs, their_sgd, torch.from_numpy(x), torch.from_numpy(labels)
        )

        for name, true in truth.items():
            assert eps_off(ours[name], np.array(true)) < 8, name
            assert eps_off(torchs[name], np.array(true)) < 8, name


@pytest.mark.skipif(
    not extended_precision.can_judge(np.float64), reason="longdouble is float64 on this processor"
)
def test_the_longdouble_judge_is_right_to_nineteen_digits():
    mlp = MLP((9, 7, 5, 3), rng=rng(), dtype=np.float64)
    sgd = SGD(mlp, 0.1)
    x, labels = rng(1).random((8, 9)), rng(2).integers(3, size=8)  # (8,9), (8,)
    with mpmath.workdps(50):
        truth = fifty_digits(mlp, x, labels)
        judge = extended_precision.exact_step(
            state(mlp, sgd), mlp, sgd, softmax_cross_entropy, x, labels
        )

        for name, true in truth.items():
            high = judge[name].astype(np.float64)  # two floats hold one longdouble
            low = (judge[name] - high).astype(np.float64)
            for a, b, c in zip(high.flat, low.flat, np.array(true).flat, strict=True):
                assert abs(mpmath.mpf(float(a)) + mpmath.mpf(float(b)) - c) < 1e-18


@pytest.mark.skipif(
    not extended_precision.can_judge(np.float64), reason="longdouble is float64 on this processor"
)
def test_the_longdouble_judge_follows_adam_and_moves_what_it_moves():
    pair = gan.begin([6], 0.01, rng=rng(), dtype=np.float64).ours
    setting = pair.combined, pair.generator_adam, binary_cross_entropy
    noise = rng(1).standard_normal((8, GANConfig().noise))  # (8,Z)
    targets = np.ones((8, 1))  # (8,1)
    trace_scratchnet(*setting, noise, targets)  # to have something to remember
    before = state(pair.combined, pair.generator_adam)

    judge = extended_precision.exact_step(before, *setting, noise, targets)

    for name, array in state(pair.combined, pair.generator_adam).items():
        np.testing.assert_array_equal(array, before[name])  # the judge has touched nothing
    ours = trace_scratchnet(*setting, noise, targets)
    assert judge.keys() == ours.keys()
    assert judge["t"] == ours["t"] == 2
    for name in judge.keys() - {"t"}:
        assert judge[name].dtype == np.longdouble
        assert extended_precision.error(ours[name], judge[name]) < 1000, name
    for name in ("W3", "b3", "W4", "b4"):  # of the discriminator
        np.testing.assert_array_equal(judge[name], before[name])
