"""The heart of the project: by hand and in PyTorch, the same number in every place of an MLP."""

from functools import wraps
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnet
from scratchnet import kernels
from scratchnet.nn.network import Network
from tests.torch_ref.lockstep_steps import FLOATS, assert_excused, backwards_sum, failures, one_step
from torch_ref import data, model
from torch_ref.lockstep import report, step
from torch_ref.lockstep.step import Lockstep


def walk(
    digits, pictures, dtype, steps, *, momentum=0.0, weight_decay=0.0, lr=0.1, matmul=np.matmul
):
    """Walk the default network through real batches; return the Summary."""
    rng = np.random.default_rng(0)
    mlp = scratchnet.MLP((784, 128, 64, 10), rng=rng, dtype=dtype, matmul=matmul)
    sgd = scratchnet.SGD(mlp, lr, momentum, weight_decay)
    summary = report.Summary()
    walked = step.walk(Lockstep(mlp, sgd), digits, pictures, 32, seed=0, dtype=dtype)
    for taken in islice(walked, steps):
        summary.add(taken)
    return summary


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_tensor_of_200_real_batches_is_pytorchs(digits, pictures, dtype):
    summary = walk(digits, pictures, dtype, steps=200)

    assert summary.ok, str(summary)
    assert summary.steps == 200
    # x, labels, loss; 2 x 2 hidden z, a and their gradients, logits; 3 x 2 parameters and gradients
    assert len(summary.worst) == 3 + 8 + 2 + 12


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_tensor_is_pytorchs_with_momentum_and_weight_decay(digits, pictures, dtype):
    summary = walk(digits, pictures, dtype, 60, lr=0.05, momentum=0.9, weight_decay=1e-3)

    assert summary.ok, str(summary)
    assert len(summary.worst) == 3 + 8 + 2 + 18  # and the velocities


@pytest.mark.parametrize("weight_decay", [1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_weight_decay_that_pytorch_does_not_have_fails_in_the_first_step(
    digits, pictures, dtype, momentum, weight_decay
):
    mlp = scratchnet.MLP((784, 128, 64, 10), rng=np.random.default_rng(0), dtype=dtype)
    pair = Lockstep(mlp, scratchnet.SGD(mlp, 0.1, momentum))
    pair.optimiser.weight_decay = weight_decay
    batch = next(data.batches(pictures, 32, seed=0, epoch=1, dtype=getattr(torch, dtype)))

    step = pair.step(tuple(side.numpy() for side in batch), batch)

    # a decay of at least 8 eps, and the strict criterion alone would not have noticed the least
    assert failures(step)[0].startswith("vW1 " if momentum else "W1 ")
    by_name = {c.name: c for c in step.comparisons}
    assert dtype == "float64" or weight_decay == 1e-3 or by_name["W1"].strict < 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rung", kernels.LADDER)
def test_every_tensor_is_pytorchs_with_every_kernel_of_the_ladder(digits, pictures, dtype, rung):
    steps = 5 if rung in ("ijk", "ikj") else 15
    summary = walk(digits, pictures, dtype, steps, matmul=kernels.get(rung))

    assert summary.ok, str(summary)
    assert summary.steps == steps


@pytest.mark.exhaustive
def test_a_free_running_float64_epoch_stays_within_1e_12_of_pytorchs(digits, pictures):
    steps = -(-len(pictures) // 32)

    summary = walk(digits, pictures, "float64", steps)

    assert summary.ok, str(summary)
    assert summary.steps == (1875 if digits.name == "mnist" else 125)
    off, name, number = summary.drift
    assert 0 < off < 1e-12, f"{name} in step {number}"


@pytest.mark.exhaustive
def test_float64_predictions_agree_on_every_test_image_after_training_apart(digits, pictures):
    x = scratchnet.data.to_unit_interval(digits.train.images, np.float64)  # (N,784)
    mlp = scratchnet.MLP((784, 128, 64, 10), rng=np.random.default_rng(0), dtype=np.float64)
    sgd = scratchnet.SGD(mlp, 0.1)
    theirs = model.to_torch(mlp)
    their_sgd = torch.optim.SGD(theirs.parameters(), 0.1)
    criterion = torch.nn.CrossEntropyLoss()

    for images, labels in scratchnet.data.batches(x, digits.train.labels, 32, seed=0, epoch=1):
        _, dlogits = scratchnet.softmax_cross_entropy(mlp.forward(images), labels)
        mlp.backward(dlogits)
        sgd.step()

        their_sgd.zero_grad()
        criterion(theirs(torch.from_numpy(images)), torch.from_numpy(labels)).backward()
        their_sgd.step()

    test = scratchnet.data.to_unit_interval(digits.test.images, np.float64)  # (N,784)
    with torch.no_grad():
        their_logits = theirs(torch.from_numpy(test)).numpy()
    our_logits = mlp.forward(test)
    np.testing.assert_array_equal(our_logits.argmax(axis=1), their_logits.argmax(axis=1))
    assert (our_logits.argmax(axis=1) == digits.test.labels).mean() > 0.85  # it has learned
    assert np.abs(our_logits - their_logits).max() < 1e-12


SIZES = st.lists(st.integers(1, 40), min_size=2, max_size=6)
LABELS = st.sampled_from(["any", "all the same", "all right"])


def draw_case(sizes, n_images, dtype, seed, *, scale=1.0, shift=0.0, labels="any"):
    """Return (mlp, x, labels): `scale` stretches the logits, `shift` moves the hidden biases."""
    rng = np.random.default_rng(seed)
    mlp = scratchnet.MLP(sizes, rng=rng, dtype=dtype)
    for hidden in mlp.parametric_layers[:-1]:
        hidden.b += shift
    mlp.parametric_layers[-1].W *= scale
    x = rng.random((n_images, sizes[0])).astype(dtype)  # (B,I)
    x[rng.random(x.shape) < 0.5] = 0  # as most pixels of a digit
    if labels == "any":
        targets = rng.integers(sizes[-1], size=n_images)
    elif labels == "all right":  # where p - 1 cancels
        targets = mlp.forward(x).argmax(axis=1)
    else:
        targets = np.full(n_images, rng.integers(sizes[-1]))
    return mlp, x, targets


@settings(max_examples=300, deadline=None)
@given(
    sizes=SIZES,
    n_images=st.integers(1, 40),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 2**32),
    labels=LABELS,
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    weight_decay=st.sampled_from([0.0, 1e-4, 0.1]),
)
def test_any_network_takes_three_steps_like_pytorchs(
    sizes, n_images, dtype, seed, labels, momentum, weight_decay
):
    mlp, x, targets = draw_case(sizes, n_images, dtype, seed, labels=labels)
    pair = Lockstep(mlp, scratchnet.SGD(mlp, 0.1, momentum, weight_decay))

    for _ in range(3):
        step = pair.step((x, targets), (torch.from_numpy(x), torch.from_numpy(targets)))

        assert not failures(step)


@settings(max_examples=500, deadline=None)
@given(
    sizes=SIZES,
    n_images=st.integers(1, 40),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 2**32),
    labels=LABELS,
    scale=st.sampled_from([0.0, 1e-310, 1e-40, 1e-3, 30.0, 1e3, 1e4]),  # the smallest are denormal
    shift=st.sampled_from([0.0, -100.0, 100.0]),
)
def test_extreme_logits_and_dead_or_saturated_layers_are_pytorchs_too(
    sizes, n_images, dtype, seed, labels, scale, shift
):
    mlp, x, targets = draw_case(
        sizes, n_images, dtype, seed, scale=scale, shift=shift, labels=labels
    )

    step = one_step(mlp, x, targets)

    assert not failures(step)
    if shift == -100:
        assert not any(step.theirs[name].any() for name in step.theirs if name.startswith("a"))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_one_enormous_logit_overflows_on_neither_side(dtype, logit):
    mlp = scratchnet.MLP((3, 4), rng=np.random.default_rng(0), dtype=dtype)
    mlp.parametric_layers[0].b[1] = logit
    x = np.random.default_rng(1).random((8, 3)).astype(dtype)  # (8,3)

    for label in range(4):
        step = one_step(mlp, x, np.full(8, label))

        assert not failures(step)
        assert np.isfinite(step.ours["loss"])


@pytest.mark.parametrize("dtype", FLOATS)
def test_images_of_one_batch_with_logits_far_apart_do_not_disturb_each_other(dtype):
    mlp = scratchnet.MLP((2, 3), rng=np.random.default_rng(0), dtype=dtype)
    x = np.array([[1e4, 0], [-1e4, 0], [0, 1]], dtype)  # (3,2)

    assert not failures(one_step(mlp, x, np.array([0, 1, 2])))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_pre_activation_of_exactly_0_lets_no_gradient_through_on_either_side(dtype):
    mlp = scratchnet.MLP((6, 5, 4, 3), rng=np.random.default_rng(0), dtype=dtype)
    for hidden in mlp.parametric_layers[:-1]:
        hidden.W[:, 0] = hidden.b[0] = 0  # unit 0 of each hidden layer answers 0 to everything
    x = np.random.default_rng(1).random((7, 6)).astype(dtype)  # (7,6)

    step = one_step(mlp, x, np.arange(7) % 3)

    assert not failures(step)
    assert not step.ours["z1"][:, 0].any()
    assert not step.ours["dz1"][:, 0].any()
    assert step.ours["da1"][:, 0].any()


def test_a_batch_is_compared_with_what_torchvision_reads(digits, pictures):
    mlp = scratchnet.MLP((784, 10), rng=np.random.default_rng(0))
    pair = Lockstep(mlp, scratchnet.SGD(mlp, 0.1))
    theirs = next(data.batches(pictures, 32, seed=0, epoch=1))
    x, labels = (side.numpy().copy() for side in theirs)
    x[3, 400] += 1 / 255  # one pixel, by one of its 256 levels

    step = pair.step((x, labels), theirs)

    assert failures(step)[0].startswith("x ")


def confident_and_right(margin, loss_function=scratchnet.softmax_cross_entropy):
    """Take a float32 step on images that all get the right class by this margin of logits."""
    mlp = scratchnet.MLP((200, 10), rng=np.random.default_rng(0))
    mlp.parametric_layers[0].b[0] += np.float32(margin)
    x = np.random.default_rng(1).random((8, 200), np.float32)  # (8,200)
    return one_step(mlp, x, np.zeros(8, int), loss_function)


def test_a_confident_and_right_network_passes_though_p_minus_1_has_lost_its_digits():
    steps = [confident_and_right(margin) for margin in range(0, 130, 2)]

    assert not any(failures(step) for step in steps)
    relied_on_bounds = {c.name for step in steps for c in step.comparisons if c.cancels}
    assert {"loss", "dlogits", "dW1", "db1"} <= relied_on_bounds


def test_a_wrong_gradient_does_not_hide_in_the_error_bound_of_a_confident_network():
    @wraps(scratchnet.softmax_cross_entropy)
    def one_percent_too_much(logits, labels):
        loss, dlogits = scratchnet.softmax_cross_entropy(logits, labels)
        return loss, dlogits * np.float32(1.01)

    for margin in (0, 2, 4, 6, 8):  # up to a gradient of 0.0003
        assert failures(confident_and_right(margin, one_percent_too_much))[0].startswith("dlogits")


def on_the_edge(dtype, matmul=np.matmul):
    """Return (mlp, x, labels) with pre-activations that are 0 up to rounding, of either sign."""
    rng = np.random.default_rng(0)
    mlp = scratchnet.MLP((200, 300, 3), rng=rng, dtype=dtype, matmul=matmul)
    x = rng.random((1, 200)).astype(dtype)  # (1,200)
    first = mlp.parametric_layers[0]
    first.b[:] = -(x @ first.W)[0]  # (300,)
    first.b += (rng.standard_normal(300) * np.finfo(dtype).eps / 2).astype(dtype)
    return mlp, x, np.array([1])


def test_a_float32_relu_within_rounding_of_0_may_take_either_side_and_is_named():
    step = one_step(*on_the_edge("float32", backwards_sum))

    assert_excused(step)


def test_a_float64_relu_on_another_side_is_never_excused():
    step = one_step(*on_the_edge("float64", backwards_sum))

    assert step.flips
    assert not step.ok
    assert not any(flip.excused for flip in step.flips)


def test_a_float32_relu_beyond_its_error_bound_is_not_excused():
    mlp, x, labels = on_the_edge("float32", lambda a, b: a @ b + np.float32(0.01))

    step = one_step(mlp, x, labels)

    assert step.flips
    assert not step.ok
    assert not all(flip.excused for flip in step.flips)


def test_the_report_names_flipped_relus():
    summary = report.Summary()
    summary.add(one_step(*on_the_edge("float32", backwards_sum)))

    assert summary.ok
    assert f"{len(summary.flips)} ReLUs on different sides of 0" in str(summary)
    assert f"step 1, image 0, unit {summary.flips[0].place} of z1" in str(summary)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["LeakyReLU", "Tanh", "Sigmoid"])
def test_any_activation_between_two_layers_goes_as_in_pytorch(digits, name, dtype):
    layer_args = {"rng": np.random.default_rng(0), "dtype": dtype}
    first, last = (scratchnet.Linear(*sizes, **layer_args) for sizes in ((784, 30), (30, 10)))
    network = Network([first, getattr(scratchnet, name)(), last])
    pair = Lockstep(network, scratchnet.SGD(network, 0.5, momentum=0.9))

    x = scratchnet.data.to_unit_interval(digits.train.images[:96], dtype)  # (96,784)
    for i in range(0, 96, 32):
        batch = x[i : i + 32], digits.train.labels[i : i + 32]
        step = pair.step(batch, tuple(map(torch.from_numpy, batch)))
        assert not failures(step)
        assert "da1" in step.ours
