"""Epochs of the training command, by either engine, in lockstep with PyTorch."""

import numpy as np
import pytest

import scratchnet
from scratchnet.data import Split
from scratchnet.kernels import fused
from scratchnet.training import epoch as loops
from scratchnet.training.config import TrainConfig
from torch_ref.lockstep import epochs, report
from torch_ref.lockstep.fused import FusedLockstep, batch_by_batch
from torch_ref.lockstep.step import Lockstep


def walk(digits, dtype, **options):
    """Walk 650 images, 21 batches an epoch, the last of 10; return the Summary."""
    config = TrainConfig(lr=0.05, **options)
    few = Split(*(part[:650] for part in digits.train))
    network = scratchnet.MLP((784, *config.hidden, 10), rng=np.random.default_rng(0), dtype=dtype)
    sgd = scratchnet.SGD(network, config.lr, config.momentum, config.weight_decay)
    summary = report.Summary()
    with batch_by_batch(fused) as engines:
        kind = FusedLockstep if config.engine == "fused" else Lockstep
        engine = loops.ENGINES[config.engine](network, sgd, config, few)
        pair = epochs.begin(kind, network, sgd, scratchnet.softmax_cross_entropy, config)
        if engines:
            (pair.engine,) = engines
        epochs.walk(pair, engine, few, config, summary.add)
    return summary


ALL = {"momentum": 0.9, "weight_decay": 1e-3, "lr_decay": 0.8, "augment": True}


@pytest.mark.parametrize(
    ("engine", "dtype", "options"),
    [
        ("fused", "float32", ALL | {"epochs": 10}),
        ("fused", "float64", ALL | {"epochs": 10, "momentum": 0.0}),
        ("fused", "float32", {"epochs": 2, "hidden": []}),
        ("fused", "float64", ALL | {"epochs": 2, "hidden": [100, 50, 25], "batch_size": 70}),
        ("layered", "float32", ALL | {"epochs": 4}),
        ("layered", "float32", ALL | {"epochs": 2, "momentum": 0.0}),
    ],
)
def test_every_tensor_that_an_engine_shows_is_pytorchs_for_epochs(digits, engine, dtype, options):
    summary = walk(digits, dtype, engine=engine, **options)

    assert summary.ok, str(summary)
    assert summary.steps == -(-650 // options.get("batch_size", 32)) * options["epochs"]
    layers = 1 + len(options.get("hidden", [128, 64]))
    # x, labels, loss; each layer's output and its gradient; its W, b, and their velocities
    shown = 3 + 2 * layers + (4 if options.get("momentum") else 2) * layers
    if engine == "layered":  # z beside a and dW, db as well
        shown += 2 * (layers - 1) + 2 * layers
    assert len(summary.worst) == shown


def half_the_rate(config, epoch):
    return config.lr / 2


def not_decayed(config, epoch):
    return config.lr


AUGMENTED = loops.augmented


def corrupted_alike(images, seed, epoch):
    return AUGMENTED(images, seed, 1)


@pytest.mark.parametrize("engine", loops.ENGINES)
@pytest.mark.parametrize(
    ("name", "wrong", "tensor", "epoch"),
    [
        ("learning_rate", half_the_rate, "W1", 1),
        ("learning_rate", not_decayed, "W1", 2),
        ("augmented", corrupted_alike, "x", 2),
    ],
)
def test_another_schedule_or_other_images_fail_from_the_first_step_on_that_has_them(
    digits, monkeypatch, engine, name, wrong, tensor, epoch
):
    monkeypatch.setattr(loops, name, wrong)

    summary = walk(digits, "float32", engine=engine, epochs=2, lr_decay=0.8, augment=True)

    assert summary.failed[0] == (1 + 21 * (epoch - 1), tensor)


@pytest.mark.parametrize("wrong", [{"weight_decay": 1e-4}, {"momentum": 0.1}])
@pytest.mark.parametrize("engine", loops.ENGINES)
def test_an_engine_with_another_recipe_than_pytorchs_fails(digits, monkeypatch, engine, wrong):
    build = scratchnet.SGD
    monkeypatch.setattr(scratchnet, "SGD", lambda network, lr, *_: build(network, lr, **wrong))

    summary = walk(digits, "float32", engine=engine, epochs=1)

    number, name = summary.failed[0]
    assert name in {"W1", "vW1"}
    assert number <= 2  # momentum shows from the second step on


def test_a_batch_that_only_one_side_has_ends_the_epoch_and_is_told(digits, monkeypatch):
    def without_the_last(*args, **order):
        return list(build(*args, **order))[:-1]

    build, seen = scratchnet.data.batches, []
    monkeypatch.setattr(scratchnet.data, "batches", without_the_last)
    monkeypatch.setattr(report.Summary, "add", lambda self, step: seen.append(step))

    walk(digits, "float32", engine="layered", epochs=1)

    assert len(seen) == 21
    assert seen[-1] is None
    assert all(step.ok for step in seen[:-1])
