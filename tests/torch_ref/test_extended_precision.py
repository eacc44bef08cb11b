"""Whose rounding is smaller: references of fifty digits, and of extended precision."""

import mpmath
import numpy as np
import pytest
import torch

from scratchnet import MLP, SGD, softmax_cross_entropy
from scratchnet.checking.trace import state, trace_scratchnet
from scratchnet.nn.losses import binary_cross_entropy
from scratchnet.training.config import GANConfig
from torch_ref import model
from torch_ref.lockstep import extended_precision, gan, trace


def rng(seed=0):
    return np.random.default_rng(seed)


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
    not extended_precision.is_finer(np.float64), reason="longdouble is float64 on this processor"
)
def test_the_extended_precision_reference_is_right_to_nineteen_digits():
    mlp = MLP((9, 7, 5, 3), rng=rng(), dtype=np.float64)
    sgd = SGD(mlp, 0.1)
    x, labels = rng(1).random((8, 9)), rng(2).integers(3, size=8)  # (8,9), (8,)
    with mpmath.workdps(50):
        truth = fifty_digits(mlp, x, labels)
        reference = extended_precision.reference_step(
            state(mlp, sgd), mlp, sgd, softmax_cross_entropy, x, labels
        )

        for name, true in truth.items():
            high = reference[name].astype(np.float64)  # two floats hold one longdouble
            low = (reference[name] - high).astype(np.float64)
            for a, b, c in zip(high.flat, low.flat, np.array(true).flat, strict=True):
                assert abs(mpmath.mpf(float(a)) + mpmath.mpf(float(b)) - c) < 1e-18


@pytest.mark.skipif(
    not extended_precision.is_finer(np.float64), reason="longdouble is float64 on this processor"
)
def test_the_extended_precision_reference_follows_adam_and_moves_what_it_moves():
    pair = gan.begin([6], 0.01, rng=rng(), dtype=np.float64).ours
    setting = pair.combined, pair.generator_adam, binary_cross_entropy
    noise, targets = rng(1).standard_normal((8, GANConfig().noise)), np.ones((8, 1))  # (8,Z), (8,1)
    trace_scratchnet(*setting, noise, targets)  # for a state other than the first
    before = state(pair.combined, pair.generator_adam)

    reference = extended_precision.reference_step(before, *setting, noise, targets)

    for name, array in state(pair.combined, pair.generator_adam).items():
        np.testing.assert_array_equal(array, before[name])  # the reference has touched nothing
    ours = trace_scratchnet(*setting, noise, targets)
    assert reference.keys() == ours.keys()
    assert reference["t"] == ours["t"] == 2
    for name in reference.keys() - {"t"}:
        assert reference[name].dtype == np.longdouble
        assert extended_precision.error(ours[name], reference[name]) < 1000, name
    for name in ("W3", "b3", "W4", "b4"):  # of the discriminator
        np.testing.assert_array_equal(reference[name], before[name])


def test_an_error_is_counted_in_eps_of_the_largest_element():
    true = np.array([1.0, -2.0], np.longdouble)

    assert extended_precision.error(np.array([1.0, -2.0]), true) == 0
    off = np.array([1 + 2 * np.finfo(np.float64).eps, -2.0])
    assert extended_precision.error(off, true) == pytest.approx(1)
