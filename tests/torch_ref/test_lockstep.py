"""The heart of the project: by hand and in PyTorch, the same number in every place."""

from functools import wraps
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import scratchnet
from scratchnet import kernels
from scratchnet.errors import NumericError, UsageError
from scratchnet.nn.losses import binary_cross_entropy
from scratchnet.nn.network import Network
from scratchnet.nn.optim import Adam
from scratchnet.training.config import MODELS, GANConfig
from torch_ref import data, model
from torch_ref.lockstep import __main__ as lockstep
from torch_ref.lockstep import gan, report, step
from torch_ref.lockstep.step import Lockstep

FLOATS = ["float32", "float64"]


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch's threads and NumPy's, each spinning while the other works, halve the speed."""
    with threadpool_limits(1):
        yield


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


def one_step(mlp, x, labels, loss_function=scratchnet.softmax_cross_entropy, lr=0.1):
    """Take one step on arrays x (B, I) and labels (B,); return the Step."""
    pair = Lockstep(mlp, scratchnet.SGD(mlp, lr), loss_function)
    return pair.step((x, labels), (torch.from_numpy(x), torch.from_numpy(labels)))


def failures(step):
    return [f"{v.name} {v.excess:.3g}" for v in step.verdicts if not v.ok] + [
        flip for flip in step.flips if not flip.excused
    ]


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_tensor_of_200_real_batches_is_pytorchs(digits, pictures, dtype):
    summary = walk(digits, pictures, dtype, steps=200)

    assert summary.ok, str(summary)
    assert summary.steps == 200
    # x, labels, loss; 2 x 2 hidden z, a and their gradients, logits; 3 x 2 parameters and gradients
    assert len(summary.worst) == 3 + 8 + 2 + 12


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_tensor_is_pytorchs_with_momentum_and_weight_decay(digits, pictures, dtype):
    summary = walk(digits, pictures, dtype, 200, lr=0.05, momentum=0.9, weight_decay=1e-3)

    assert summary.ok, str(summary)
    assert len(summary.worst) == 3 + 8 + 2 + 18  # and the velocities


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rung", kernels.LADDER)
def test_every_tensor_is_pytorchs_with_every_kernel_of_the_ladder(digits, pictures, dtype, rung):
    steps = 5 if rung in ("ijk", "ikj") else 40
    summary = walk(digits, pictures, dtype, steps, matmul=kernels.get(rung))

    assert summary.ok, str(summary)
    assert summary.steps == steps


@pytest.mark.slow
def test_a_free_running_float64_epoch_stays_within_1e_12_of_pytorchs(digits, pictures):
    steps = -(-len(pictures) // 32)

    summary = walk(digits, pictures, "float64", steps)

    assert summary.ok, str(summary)
    assert summary.steps == (1875 if digits.name == "mnist" else 125)
    off, name, number = summary.drift
    assert 0 < off < 1e-12, f"{name} in step {number}"


@pytest.mark.slow
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


# --- any network, any batch ---------------------------------------------------------------------

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


@settings(max_examples=1000, deadline=None)
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


@settings(max_examples=1500, deadline=None)
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


def test_a_batch_is_judged_by_what_torchvision_reads(digits, pictures):
    mlp = scratchnet.MLP((784, 10), rng=np.random.default_rng(0))
    pair = Lockstep(mlp, scratchnet.SGD(mlp, 0.1))
    theirs = next(data.batches(pictures, 32, seed=0, epoch=1))
    x, labels = (side.numpy().copy() for side in theirs)
    x[3, 400] += 1 / 255  # one pixel, by one of its 256 levels

    step = pair.step((x, labels), theirs)

    assert failures(step)[0].startswith("x ")


def test_the_last_batch_of_an_epoch_may_be_smaller_and_is_not_dropped(digits, pictures):
    few = scratchnet.data.Split(digits.train.images[:70], digits.train.labels[:70])
    x = scratchnet.data.to_unit_interval(few.images)  # (70,784)
    subset = torch.utils.data.Subset(pictures, range(70))
    mlp = scratchnet.MLP((784, 16, 10), rng=np.random.default_rng(0))
    pair = Lockstep(mlp, scratchnet.SGD(mlp, 0.1))

    sizes = []
    for ours, theirs in zip(
        scratchnet.data.batches(x, few.labels, 32, seed=0, epoch=1),
        data.batches(subset, 32, seed=0, epoch=1),
        strict=True,
    ):
        assert not failures(pair.step(ours, theirs))
        sizes.append(len(ours[1]))

    assert sizes == [32, 32, 6]


def sure_and_right(margin, loss_function=scratchnet.softmax_cross_entropy):
    """Take a float32 step on images that all get the right class by the given margin of logits."""
    mlp = scratchnet.MLP((200, 10), rng=np.random.default_rng(0))
    mlp.parametric_layers[0].b[0] += np.float32(margin)
    x = np.random.default_rng(1).random((8, 200), np.float32)  # (8,200)
    return one_step(mlp, x, np.zeros(8, int), loss_function)


def test_a_network_that_is_sure_and_right_passes_though_p_minus_1_has_lost_its_digits():
    steps = [sure_and_right(margin) for margin in range(0, 130, 2)]

    assert not any(failures(step) for step in steps)
    relied_on_bands = {v.name for step in steps for v in step.verdicts if v.cancels}
    assert {"loss", "dlogits", "dW1", "db1"} <= relied_on_bands


def test_a_wrong_gradient_does_not_hide_in_the_band_of_a_sure_network():
    @wraps(scratchnet.softmax_cross_entropy)
    def one_percent_too_much(logits, labels):
        loss, dlogits = scratchnet.softmax_cross_entropy(logits, labels)
        return loss, dlogits * np.float32(1.01)

    for margin in (0, 2, 4, 6, 8):  # up to a gradient of 0.0003
        assert failures(sure_and_right(margin, one_percent_too_much))[0].startswith("dlogits")


# --- ReLUs on the edge --------------------------------------------------------------------------


def backwards_sum(a, b):
    """A product as honest as any other, that adds its terms up in the opposite order."""
    return a[:, ::-1] @ b[::-1]


def on_the_edge(dtype, matmul=np.matmul):
    """Return (mlp, x, labels) with pre-activations that are 0 up to rounding, of either sign."""
    rng = np.random.default_rng(0)
    mlp = scratchnet.MLP((200, 300, 3), rng=rng, dtype=dtype, matmul=matmul)
    x = rng.random((1, 200)).astype(dtype)  # (1,200)
    first = mlp.parametric_layers[0]
    first.b[:] = -(x @ first.W)[0]  # (300,)
    first.b += (rng.standard_normal(300) * np.finfo(dtype).eps / 2).astype(dtype)
    return mlp, x, np.array([1])


def assert_excused(step):
    """Units have flipped, each within rounding of 0, and nothing else is wrong."""
    assert step.flips
    assert not failures(step)
    for flip in step.flips:
        assert flip.name == "z1"
        assert (flip.ours > 0) != (flip.theirs > 0)
        assert 0 < max(abs(flip.ours), abs(flip.theirs)) <= flip.band < 1e-3


def test_a_float32_relu_within_rounding_of_0_may_take_either_side_and_is_named():
    step = one_step(*on_the_edge("float32", backwards_sum))

    assert_excused(step)


def test_a_float64_relu_on_another_side_is_never_excused():
    step = one_step(*on_the_edge("float64", backwards_sum))

    assert step.flips
    assert not step.ok
    assert not any(flip.excused for flip in step.flips)


def test_a_float32_relu_beyond_its_error_band_is_not_excused():
    mlp, x, labels = on_the_edge("float32", lambda a, b: a @ b + np.float32(0.01))

    step = one_step(mlp, x, labels)

    assert step.flips
    assert not step.ok
    assert not all(flip.excused for flip in step.flips)


# --- the convolutional network ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_tensor_of_the_cnn_is_pytorchs_on_real_batches(digits, pictures, dtype):
    cnn = MODELS["cnn"]([128], rng=np.random.default_rng(0), dtype=dtype)
    pair = Lockstep(cnn, scratchnet.SGD(cnn, 0.01, momentum=0.9))
    summary = report.Summary()
    for taken in islice(step.walk(pair, digits, pictures, 32, seed=0, dtype=dtype), 10):
        summary.add(taken)

    assert summary.ok, str(summary)
    # x, labels, loss; z, a, p of 2 images, f, z, a and their gradients, logits; 8 x 3 parameters,
    # their gradients and velocities
    assert len(summary.worst) == 3 + 18 + 2 + 24


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rung", ["tiled", "simd", "sparse"])
def test_every_tensor_of_the_cnn_is_pytorchs_with_kernels_of_the_ladder(
    digits, pictures, dtype, rung
):
    cnn = MODELS["cnn"]([128], rng=np.random.default_rng(0), dtype=dtype, matmul=kernels.get(rung))
    pair = Lockstep(cnn, scratchnet.SGD(cnn, 0.01, momentum=0.9))
    for taken in islice(step.walk(pair, digits, pictures, 8, seed=0, dtype=dtype), 2):
        assert not failures(taken)


@settings(max_examples=60, deadline=None)
@given(
    image=st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9)),
    channels=st.lists(st.integers(1, 5), min_size=1, max_size=2),
    hidden=st.lists(st.integers(1, 6), max_size=2),
    size=st.sampled_from([1, 3, 5]),
    n_images=st.integers(1, 8),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 2**32),
)
def test_any_cnn_takes_two_steps_like_pytorchs(
    image, channels, hidden, size, n_images, dtype, seed
):
    rng = np.random.default_rng(seed)
    shape = {"image": image, "channels": channels, "size": size}
    cnn = scratchnet.CNN((*hidden, 4), **shape, rng=rng, dtype=dtype)
    x = rng.random((n_images, int(np.prod(image)))).astype(dtype)  # (B,I)
    x[rng.random(x.shape) < 0.5] = 0
    labels = rng.integers(4, size=n_images)
    pair = Lockstep(cnn, scratchnet.SGD(cnn, 0.1, 0.5, 1e-3))

    for _ in range(2):
        step = pair.step((x, labels), (torch.from_numpy(x), torch.from_numpy(labels)))

        assert not failures(step)


def nearly_equal_pixels(dtype, matmul):
    """Take a step on windows whose pixels differ by rounding alone; return it."""
    rng = np.random.default_rng(0)
    shape = {"image": (9, 8, 8), "channels": (4,), "size": 1}
    cnn = scratchnet.CNN((3,), **shape, rng=rng, dtype=dtype, matmul=matmul)
    cnn.parametric_layers[0].b[:] = 2  # no ReLU near 0
    x = np.repeat(rng.random((5, 9, 1), dtype), 64, axis=2).reshape(5, 576)  # (5,CHW)
    x *= 1 + rng.integers(-1, 2, x.shape).astype(dtype) * np.finfo(dtype).eps
    return one_step(cnn, x, np.arange(5) % 3)


def test_a_float32_maximum_may_lie_in_either_of_two_nearly_equal_pixels_and_is_named():
    step = nearly_equal_pixels("float32", backwards_sum)

    assert {flip.name for flip in step.flips} == {"a1"}
    assert not failures(step)
    for flip in step.flips:
        assert flip.theirs <= 0 <= flip.ours <= flip.band < 1e-4
    summary = report.Summary()
    summary.add(step)
    assert f"{len(step.flips)} windows whose maxima lie in different pixels" in str(summary)


def test_a_float64_maximum_in_another_pixel_is_never_excused():
    step = nearly_equal_pixels("float64", backwards_sum)

    assert step.flips
    assert not step.ok
    assert not any(flip.excused for flip in step.flips)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["LeakyReLU", "Tanh", "Sigmoid"])
def test_any_activation_between_two_layers_goes_as_in_pytorch(digits, name, dtype):
    drawn = {"rng": np.random.default_rng(0), "dtype": dtype}
    first, last = (scratchnet.Linear(*sizes, **drawn) for sizes in ((784, 30), (30, 10)))
    network = Network([first, getattr(scratchnet, name)(), last])
    nn = torch.nn
    beside = nn.Sequential(nn.Linear(784, 30), getattr(nn, name)(), nn.Linear(30, 10))
    beside = beside.to(getattr(torch, dtype))
    sgd = scratchnet.SGD(network, 0.5, momentum=0.9)
    theirs = beside, torch.optim.SGD(beside.parameters(), 0.5, momentum=0.9)
    pair = Lockstep(network, sgd, theirs=theirs)

    x = scratchnet.data.to_unit_interval(digits.train.images[:96], dtype)  # (96,784)
    for i in range(0, 96, 32):
        batch = x[i : i + 32], digits.train.labels[i : i + 32]
        step = pair.step(batch, tuple(map(torch.from_numpy, batch)))
        assert not failures(step)
        assert "da1" in step.ours


# --- the GAN ------------------------------------------------------------------------------------


def small_duel(dtype, hidden=(16, 12), seed=0, **options):
    return gan.begin(hidden, 0.01, rng=np.random.default_rng(seed), dtype=dtype, **options)


@pytest.mark.parametrize(("dtype", "matmul"), [("float64", "numpy"), ("float32", "simd")])
def test_every_tensor_of_both_steps_of_the_gan_is_pytorchs_on_real_batches(
    digits, pictures, dtype, matmul
):
    drawn = {"rng": np.random.default_rng(0), "dtype": dtype, "matmul": kernels.get(matmul)}
    pair = gan.begin(GANConfig().hidden, GANConfig().lr, **drawn)
    summaries = {side: report.Summary() for side in (pair.discriminator, pair.generator)}
    for taken in islice(gan.walk(pair, digits, pictures, 64, seed=0, dtype=dtype), 20):
        summaries[taken.lockstep].add(taken)

    for summary in summaries.values():
        assert summary.ok, str(summary)
        assert summary.steps == 10
        assert "twin" not in str(summary)
    # x, loss, t; 2 z, a and their gradients; logits; means, squares, 3 x 2 parameters, gradients
    assert len(summaries[pair.discriminator].worst) == 3 + 8 + 2 + 24
    # 5 hidden layers; 6 x 2 parameters, their gradients, and 3 x 2 means and squares
    assert len(summaries[pair.generator].worst) == 3 + 20 + 2 + 24 + 12


@settings(max_examples=100, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 12), max_size=2),
    n_images=st.integers(1, 12),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e3]),
    shift=st.sampled_from([0.0, -100.0, 100.0]),
)
def test_any_gan_duels_like_pytorchs_with_extreme_logits_and_saturated_layers_too(
    hidden, n_images, dtype, seed, scale, shift
):
    pair, rng = small_duel(dtype, hidden, seed), np.random.default_rng(seed)
    pair.ours.discriminator.parametric_layers[-1].W *= scale
    for layer in pair.ours.combined.parametric_layers[:-1]:
        layer.b += shift

    for _ in range(2):
        real = rng.uniform(-1, 1, (n_images, 784)).astype(dtype)  # (B,784)
        noise = rng.standard_normal((2, n_images, GANConfig().noise)).astype(dtype)  # (2,B,Z)
        assert not failures(pair.discriminator_step(real, torch.from_numpy(real), noise[0]))
        assert not failures(pair.generator_step(noise[1]))


def leaky_edge(dtype, matmul=np.matmul):
    """Take a step of a discriminator whose first pre-activations are 0 up to rounding."""
    pair, rng = small_duel(dtype, (300,), matmul=matmul), np.random.default_rng(0)
    real = rng.uniform(-1, 1, (1, 784)).astype(dtype)  # (1,784)
    first = pair.ours.discriminator.parametric_layers[0]
    first.b[:] = -(real @ first.W)[0]  # (300,)
    first.b += (rng.standard_normal(300) * np.finfo(dtype).eps / 2).astype(dtype)
    noise = rng.standard_normal((1, GANConfig().noise)).astype(dtype)  # (1,Z)
    return pair.discriminator_step(real, torch.from_numpy(real), noise)


def test_a_float32_leaky_relu_within_rounding_of_0_may_take_either_slope_and_is_named():
    step = leaky_edge("float32", backwards_sum)

    assert_excused(step)


def test_a_float64_leaky_relu_with_another_slope_is_never_excused():
    step = leaky_edge("float64", backwards_sum)

    assert step.flips
    assert not any(flip.excused for flip in step.flips)


WRONG_DUELS = {
    "another slope": (lambda gan: vars(gan.discriminator.layers[1]).update(slope=0.25), "a1"),
    "more is moved": (
        lambda gan: vars(gan).update(generator_adam=Adam(gan.combined, 0.01, (0.5, 0.999))),
        "W4",
    ),
    "a step was lost": (lambda gan: vars(gan.generator_adam).update(step=lambda: None), "t"),
    "another Adam": (lambda gan: vars(gan.discriminator_adam).update(eps=1e-7), "W1"),
}


@pytest.mark.parametrize("name", WRONG_DUELS)
def test_a_gan_that_does_otherwise_than_pytorchs_fails(name):
    spoil, first_wrong = WRONG_DUELS[name]
    other, rng = small_duel("float64").ours, np.random.default_rng(0)
    spoil(other)
    pair = gan.Duel(other, binary_cross_entropy)
    real, noise = rng.uniform(-1, 1, (5, 784)), rng.standard_normal((5, GANConfig().noise))

    wrong = failures(pair.discriminator_step(real, torch.from_numpy(real), noise))
    wrong += failures(pair.generator_step(noise))

    assert wrong[0].startswith(f"{first_wrong} ")


# --- the command --------------------------------------------------------------------------------


def test_the_command_shows_every_tensor_and_passes(capsys, tmp_path):
    figure = tmp_path / "drift.png"

    lockstep.main(["--steps", "3", "--dataset", "sample", "--free-run", str(figure)])

    shown = capsys.readouterr().out
    for tensor in ("z1", "a1", "logits", "loss", "dlogits", "dW1", "db3", "da2", "dz1", "W2"):
        assert f"\n{tensor} " in shown
    assert "PASS" in shown
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_command_walks_the_cnn_too(capsys):
    lockstep.main(["--model", "cnn", "--steps", "1", "--dataset", "sample", "--hidden", "8"])

    shown = capsys.readouterr().out
    assert (
        "1x28x28-16C5-MP2-32C5-MP2-1568-8-10 in float64, batches of 32, SGD with lr 0.01" in shown
    )
    for tensor in ("z1", "p1", "da1", "dp1", "f2", "dW1", "vW2"):
        assert f"\n{tensor} " in shown
    assert "0 windows whose maxima lie in different pixels" in shown
    assert "PASS" in shown


def test_the_command_walks_the_gan_too_and_shows_both_sides(capsys):
    options = "--model gan --steps 2 --dataset sample --hidden 8 6 --batch-size 5 --lr 0.01"
    lockstep.main(options.split())

    shown = capsys.readouterr().out
    assert "64-8-6-784 against 784-6-8-1 in float64, batches of 5, Adam with lr 0.01" in shown
    for title in ("discriminator", "generator"):
        assert f"\n{title}\nstep 1 " in shown
        assert f"\n{title}\nthe worst of 2 steps " in shown
    for tensor in ("z5", "da5", "dW4", "mW1", "vb3", "t", "W6"):
        assert f"\n{tensor} " in shown
    assert shown.count("PASS") == 2


@pytest.mark.parametrize("option", ["--momentum 0.5", "--weight-decay 0.1", "--free-run"])
def test_options_that_a_gan_has_no_use_for_are_usage_errors(option):
    with pytest.raises(UsageError, match="not for --model gan"):
        lockstep.main(["--model", "gan", *option.split()])


def test_the_report_names_flipped_relus():
    summary = report.Summary()
    summary.add(one_step(*on_the_edge("float32", backwards_sum)))

    assert summary.ok
    assert f"{len(summary.flips)} ReLUs on different sides of 0" in str(summary)
    assert f"step 1, image 0, unit {summary.flips[0].unit} of z1" in str(summary)


def one_percent_off(a, b):
    return a @ b * a.dtype.type(1.01)


def test_the_command_exits_with_1_when_a_kernel_is_one_percent_off(capsys, monkeypatch):
    monkeypatch.setitem(kernels.LADDER, "off", f"{__name__}:one_percent_off")

    with pytest.raises(SystemExit) as stop:
        lockstep.main(["--steps", "2", "--dataset", "sample", "--matmul", "off"])

    assert stop.value.code == 1
    shown = capsys.readouterr().out
    assert "FAIL" in shown
    assert "the first z1 in step 1" in shown


def test_the_command_takes_every_option_of_the_recipe(capsys):
    recipe = "--dtype float32 --hidden 20 --batch-size 7 --lr 0.01 --momentum 0.9"
    more = "--weight-decay 0.01 --seed 5 --steps 2 --dataset sample"

    lockstep.main([*recipe.split(), *more.split()])

    shown = capsys.readouterr().out
    assert "784-20-10 in float32, batches of 7" in shown
    assert "lr 0.01, momentum 0.9, weight decay 0.01" in shown
    assert "\nvW1 " in shown


def test_an_unknown_kernel_is_a_usage_error():
    with pytest.raises(UsageError, match="no such"):
        lockstep.main(["--steps", "1", "--dataset", "sample", "--matmul", "no such"])


def test_a_curve_that_could_not_be_stored_is_a_usage_error_before_the_walk(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        lockstep.main(["--free-run", str(tmp_path / "missing" / "curve.png")])


def test_a_pytorch_that_diverges_itself_is_a_numeric_error():
    with pytest.raises(NumericError, match="try a lower --lr"):
        lockstep.main(["--steps", "9", "--dataset", "sample", "--lr", "1e200"])
