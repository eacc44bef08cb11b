"""The fused engine and the layers, side by side: the same weights, whoever takes the step."""

import csv
import json
import os
import re
import signal
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks.worker import peak_of_training
from scratchnet import MLP, SGD, data, softmax_cross_entropy
from scratchnet import train as command
from scratchnet.errors import Stopped
from scratchnet.kernels import fused
from scratchnet.kernels.fused import FusedEngine
from scratchnet.training.progress import Progress
from tests.commands.test_train import OPTIONS, assert_same_weights, interrupt
from tests.conftest import run_module

DTYPES = [np.float32, np.float64]


def rng(seed=0):
    return np.random.default_rng(seed)


def new(sizes, dtype, lr=0.1, momentum=0.0, weight_decay=0.0):
    """A network and its optimiser, the same for the same arguments."""
    network = MLP(sizes, rng=rng(), dtype=dtype)
    return network, SGD(network, lr, momentum, weight_decay)


def arrays(network, optimiser):
    velocities = {f"v{name}": v for name, v in optimiser.velocities}
    return dict(network.parameters()) | velocities


def take_steps(network, optimiser, images, labels, batch_size, order):
    """Train on the images numbered `order` with the layers; return the loss of every batch."""
    x, losses = data.to_unit_interval(images, network.parametric_layers[0].W.dtype), []
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        loss, dlogits = softmax_cross_entropy(network.forward(x[chosen]), labels[chosen])
        network.backward(dlogits)
        optimiser.step()
        losses.append(loss)
    return losses


def fused_steps(network, optimiser, images, labels, batch_size, order):
    """The same with the fused engine."""
    engine = FusedEngine(network, optimiser, images, labels, batch_size)
    return [loss for chunk in engine.chunks(order) for loss, _ in engine.train(chunk)]


def assert_close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert np.abs(found[name] - array).max() <= tolerance, name  # false for NaN, too


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


# --- the same weights as the layers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("momentum", "n_images"),
    # with momentum, a few thousand steps more multiply what is rounded
    [(0.0, 10_011), (0.9, 10_011), pytest.param(0.0, 60_000, marks=pytest.mark.exhaustive)],
)
def test_an_epoch_of_real_digits_ends_at_the_weights_of_the_layers(digits, momentum, n_images):
    images, labels = (part[:n_images] for part in digits.train)
    order = data.shuffled(len(images), seed=0, epoch=1)
    ours, layers = (
        new((784, 128, 64, 10), np.float64, 0.05, momentum, 1e-4 if momentum else 0.0)
        for _ in range(2)
    )

    losses = fused_steps(*ours, images, labels, 32, order)
    expected = take_steps(*layers, images, labels, 32, order)

    assert_close(arrays(*ours), arrays(*layers), 1e-12)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-12)
    assert np.mean(losses[-50:]) < 0.9 * np.mean(losses[:10])  # it learned


@settings(max_examples=100)
@given(
    sizes=st.lists(
        st.sampled_from([1, 2, 7, 10, 16, 63, 64, 65, 130, 200]), min_size=2, max_size=6
    ),
    n_images=st.integers(1, 150),
    batch_size=st.sampled_from([1, 2, 3, 31, 32, 33, 63, 64, 65, 128, 1000]),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.01]),
    zeros=st.sampled_from([0.0, 0.8, 1.0]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32),
)
def test_any_network_takes_the_steps_of_the_layers(
    sizes, n_images, batch_size, momentum, weight_decay, zeros, dtype, seed
):
    images = rng(seed).integers(1, 256, (n_images, sizes[0]), np.uint8)
    images[rng(seed + 1).random(images.shape) < zeros] = 0
    labels = rng(seed).integers(sizes[-1], size=n_images)
    order, tolerance = rng(seed).permutation(n_images), 1e-12
    ours, layers = (new(sizes, dtype, 0.1, momentum, weight_decay) for _ in range(2))
    if dtype == np.float32:  # one step, in which no ReLU is near enough to its kink to flip
        order, tolerance = order[:batch_size], 4e-6
        layers[0].forward(data.to_unit_interval(images[order]))
        kinks = zip(layers[0].layers[:-1:2], layers[0].layers[1::2], strict=True)
        for linear, _ in kinks:
            assume(np.abs(linear.x @ linear.W + linear.b).min() > 1e-5)

    losses = fused_steps(*ours, images, labels, batch_size, order)
    expected = take_steps(*layers, images, labels, batch_size, order)

    assert_close(arrays(*ours), arrays(*layers), tolerance)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=tolerance)


def test_an_engine_that_is_shown_other_images_trains_on_those_and_alters_none(sample):
    images, others = sample.train.images[:64].copy(), sample.train.images[64:128].copy()
    labels, order = sample.train.labels[:64], np.arange(64)
    network, sgd = new((784, 16, 10), np.float32)
    engine = FusedEngine(network, sgd, images, labels, 8)
    engine.show(others)
    engine.train(order)
    twin, twin_sgd = new((784, 16, 10), np.float32)
    fused_steps(twin, twin_sgd, others, labels, 8, order)
    assert_same_bits(arrays(network, sgd), arrays(twin, twin_sgd))
    assert (images == sample.train.images[:64]).all()
    for wrong in (others[:-1], others / 255):
        with pytest.raises(ValueError, match=r"reshape|uint8"):
            engine.show(wrong)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_epoch_in_pieces_ends_at_the_same_bits(sample, dtype):
    images, labels = sample.train.images[:500], sample.train.labels[:500]
    order = data.shuffled(500, seed=0, epoch=1)
    whole, pieces = (new((784, 40, 10), dtype, 0.1, 0.9, 1e-3) for _ in range(2))

    FusedEngine(*whole, images, labels, 9).train(order)
    engine = FusedEngine(*pieces, images, labels, 9)
    for piece in np.split(order, [9, 27, 270]):
        engine.train(piece)

    assert_same_bits(arrays(*pieces), arrays(*whole))


def test_each_engine_can_go_on_where_the_other_stopped(sample):
    images, labels = sample.train.images[:600], sample.train.labels[:600]
    first, rest = np.split(data.shuffled(600, seed=0, epoch=1), [32 * 9])
    takers = {"layers": take_steps, "fused": fused_steps}
    ends = {}
    for one in takers:
        for other in takers:
            net = new((784, 50, 20, 10), np.float64, 0.1, 0.9, 1e-3)
            takers[one](*net, images, labels, 32, first)
            takers[other](*net, images, labels, 32, rest)
            ends[one, other] = arrays(*net)

    for end in ends.values():
        assert_close(end, ends["layers", "layers"], 1e-12)


# --- its parts ----------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 200), st.integers(0, 2**32))
def test_a_mark_is_set_for_every_pixel_that_is_not_0_and_for_no_other(n_images, n_pixels, seed):
    images = rng(seed).integers(0, 3, (n_images, n_pixels), np.uint8)
    marks = fused.mark(images)
    for p in range(64 * marks.shape[1]):
        bit = marks[:, p // 64] >> np.uint64(p % 64) & np.uint64(1)
        np.testing.assert_array_equal(bit, images[:, p] != 0 if p < n_pixels else 0)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=64, max_size=64))
def test_turning_exchanges_rows_and_columns_of_bits(words):
    bits = np.array(words, np.uint64)
    fused.transpose_bits(bits)
    for i in range(64):
        for k in range(64):
            assert int(bits[k]) >> i & 1 == words[i] >> k & 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_become_the_numbers_that_the_layers_are_given(dtype):
    every = np.arange(256, dtype=np.uint8)[:, None]
    engine = FusedEngine(*new((1, 2), dtype), every, np.zeros(256, int), 1)
    np.testing.assert_array_equal(engine.unit[0], data.to_unit_interval(every, dtype)[:, 0])


@pytest.mark.parametrize("place", ["linear1.W", "linear1.b", "linear2.W", "linear3.b"])
def test_a_nan_in_a_weight_reaches_the_loss(sample, place):
    network, sgd = new((784, 20, 20, 10), np.float32)
    dict(network.parameters())[place][:] = np.nan
    (loss,) = fused_steps(network, sgd, *(part[:32] for part in sample.train), 32, np.arange(32))
    assert np.isnan(loss)


def test_the_function_is_left_after_as_many_batches_as_a_moment_allows(sample):
    order = np.arange(4000)
    for hidden, batch_size in (((), 1), ((128, 64), 32), ((2048, 2048), 32), ((2048,), 4000)):
        engine = FusedEngine(*new((784, *hidden, 10), np.float32), *sample.train, batch_size)
        chunks = engine.chunks(order)
        np.testing.assert_array_equal(np.concatenate(chunks), order)
        for chunk in chunks[:-1]:
            assert len(chunk) % batch_size == 0
            work = 3 * len(chunk) * len(engine.parameters)
            assert work <= fused.AT_ONCE or len(chunk) == batch_size


# --- what it refuses ----------------------------------------------------------------------------

IMAGES, LABELS = np.zeros((5, 2, 3), np.uint8), np.arange(5)


@pytest.mark.parametrize(
    ("images", "labels", "batch_size", "words"),
    [
        (IMAGES.astype(np.float32), LABELS, 2, "not float32"),
        (IMAGES[:0], LABELS[:0], 2, "N of at least 1"),
        (IMAGES, LABELS[:4], 2, r"\(4,\)"),
        (IMAGES, LABELS[:, None], 2, r"\(5, 1\)"),
        (IMAGES[:, :1], LABELS, 2, "images of 3 pixels, a network for 6"),
        (IMAGES, LABELS + 1, 2, "labels must be integers from 0 to 4"),
        (IMAGES, LABELS - 1, 2, "from -1 to 3"),
        (IMAGES, LABELS.astype(float), 2, "not float64"),
        (IMAGES, LABELS, 0, "batch_size must be at least 1"),
    ],
)
def test_data_that_do_not_fit_are_refused(images, labels, batch_size, words):
    with pytest.raises(ValueError, match=words):
        FusedEngine(*new((6, 4, 5), np.float32), images, labels, batch_size)


def test_a_network_of_another_type_of_numbers_is_refused():
    with pytest.raises(ValueError, match="not float16"):
        FusedEngine(*new((6, 4, 5), np.float16), IMAGES, LABELS, 2)


@pytest.mark.parametrize("order", [[-1], [5], [0, 99]])
def test_images_that_are_not_there_are_refused(order):
    network, sgd = new((6, 4, 5), np.float32)
    engine = FusedEngine(network, sgd, IMAGES, LABELS, 2)
    before = engine.parameters.copy()
    with pytest.raises(ValueError, match="beyond 0 to 4"):
        engine.train(np.array(order))
    np.testing.assert_array_equal(engine.parameters, before)


# --- the command --------------------------------------------------------------------------------

# So wide that an epoch of 59 batches is computed in two pieces.
WIDE = (*OPTIONS, "--hidden", 1500, "--no-plots")


def train(folder, out, *options):
    return run_module(
        *("scratchnet.train", "--data-dir", folder, "--out", out, "--engine", "fused", *options)
    )


@pytest.fixture(scope="module")
def finished(digits_folder, tmp_path_factory):
    """A fused run that nobody disturbed."""
    out = tmp_path_factory.mktemp("fused") / "undisturbed"
    shown = train(digits_folder, out, *WIDE)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    return out


def history(out):
    with (out / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("after", "signum", "code"),
    [("[1/3], Step [1/", signal.SIGTERM, 143), ("[3/3], Step [59/", signal.SIGINT, 130)],
)
def test_an_interrupted_run_that_is_resumed_ends_with_the_same_bits(
    finished, digits_folder, tmp_path, after, signum, code
):
    options = (*WIDE, "--engine", "fused")
    returncode, stderr = interrupt(digits_folder, tmp_path, signum, after, *options)
    assert returncode == code
    assert "go on with python -m scratchnet.train --resume" in stderr

    resumed = run_module(
        *("scratchnet.train", "--resume", tmp_path / "model.safetensors", "--engine", "fused"),
        *("--data-dir", digits_folder, "--epochs", 3, "--no-plots"),
    )
    assert resumed.returncode == 0, resumed.stderr
    assert_same_weights(tmp_path, finished)
    for row, expected in zip(history(tmp_path), history(finished), strict=True):
        assert list(row.values())[:4] == list(expected.values())[:4]


def test_a_run_that_is_stopped_within_an_epoch_ends_with_the_same_bits(
    finished, digits_folder, tmp_path, monkeypatch
):
    record = Progress.record

    def record_and_interrupt(self, loss, n_images):
        record(self, loss, n_images)
        if self.title == "Epoch [2/3]" and self.batch == 30:
            os.kill(os.getpid(), signal.SIGTERM)

    common = ("--engine", "fused", "--data-dir", str(digits_folder), "--no-plots")
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "record", record_and_interrupt)
        patch.setattr(fused, "AT_ONCE", 1)  # a batch at a time
        with pytest.raises(Stopped, match="with 1 epochs and 30 batches done"):
            command.main([*common, "--out", str(tmp_path), *map(str, WIDE)])
    command.main([*common, "--resume", str(tmp_path / "model.safetensors"), "--epochs", "3"])

    assert_same_weights(tmp_path, finished)


@pytest.mark.parametrize("engines", [("fused", "layered"), ("layered", "fused")])
def test_a_checkpoint_of_one_engine_is_good_for_the_other(digits_folder, tmp_path, engines):
    for engine, epochs in zip(engines, (1, 2), strict=True):
        beginning = ["--resume", tmp_path / "model.safetensors"] if epochs == 2 else OPTIONS
        shown = run_module(
            *("scratchnet.train", "--data-dir", digits_folder, "--out", tmp_path, "--no-plots"),
            *(*beginning, "--epochs", epochs, "--engine", engine),
        )
        assert shown.returncode == 0, shown.stderr
    losses = [float(row["train_loss"]) for row in history(tmp_path)]
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_it_says_and_leaves_what_the_layers_say_and_leave(digits_folder, tmp_path):
    shown = {}
    for engine in ("layered", "fused"):
        options = (*OPTIONS, "--log-interval", 20, "--no-plots", "--engine", engine)
        shown[engine] = train(digits_folder, tmp_path / engine, *options)
        assert shown[engine].returncode == 0, shown[engine].stderr
    steps = {
        engine: re.findall(r"^(Epoch .*Loss: )(.*)$", run.stdout, re.M)
        for engine, run in shown.items()
    }
    assert len(steps["fused"]) == 9
    for (title, loss), (expected, its_loss) in zip(*steps.values(), strict=True):
        assert title == expected
        assert float(loss) == pytest.approx(float(its_loss), abs=2e-3)
    names = [{p.name for p in (tmp_path / e).rglob("*")} for e in ("layered", "fused")]
    assert names[0] == names[1]
    assert re.search(r"^engine  fused \(numba [\d.]+\), one thread", shown["fused"].stdout, re.M)
    origin = r"^code    making the kernels ready: (compiled|loaded from the cache) in \d+\.\d s$"
    assert re.search(origin, shown["fused"].stdout, re.M)
    assert "engine" not in shown["layered"].stdout


def test_of_any_depth_and_of_a_batch_larger_than_the_data_works(digits_folder, tmp_path):
    for hidden in ((), (7,), (9, 8, 7)):
        out = tmp_path / str(len(hidden))
        options = ("--epochs", 1, "--hidden", *hidden, "--batch-size", 10_000, "--no-plots")
        shown = train(digits_folder, out, *options)
        assert shown.returncode == 0, shown.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="where Linux tells the peak of memory")
def test_two_epochs_of_the_full_mnist_read_over_95_percent_in_half_a_gigabyte(mnist, tmp_path):
    options = ("--data-dir", mnist.origin, "--out", tmp_path, "--engine", "fused", "--epochs", 2)
    assert peak_of_training(*options, "--no-plots") < 500
    assert json.loads((tmp_path / "metrics.json").read_text())["test_accuracy"] > 0.95
