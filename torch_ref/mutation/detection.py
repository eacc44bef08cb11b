"""Detection of a planted bug: where it differs from PyTorch, and what training with it ends with.

In the comments: N images, B images in a batch.
"""

import csv
import json
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from io import StringIO
from itertools import islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch

from scratchnet.checking.bugs import Bug
from scratchnet.checking.planting import COMMANDS, HIDDEN, NOISE, build, in_place
from scratchnet.data import Split, idx
from scratchnet.data.batches import hold_out
from scratchnet.nn.losses import binary_cross_entropy, softmax_cross_entropy
from scratchnet.training.config import GANConfig, TrainConfig
from torch_ref import data
from torch_ref.lockstep import epochs, gan
from torch_ref.lockstep.fused import FusedLockstep, batch_by_batch
from torch_ref.lockstep.step import Lockstep

RIGHTS = tuple(
    Bug("None", model, file, ())
    for model, file in {
        "mlp": "nn/layers.py",
        "cnn": "nn/conv.py",
        "compiled cnn": "kernels/conv_ops.py",
        "direct cnn": "kernels/implicit_gemm.py",
        "gan": "nn/gan.py",
        "compiled gan": "kernels/adam.py",
        "tiled mlp": "kernels/loops.py",
        "simd mlp": "kernels/simd.py",
        "sparse mlp": "kernels/sparse.py",
        "fused mlp": "kernels/fused.py",
        "layered mlp": "training/epoch.py",
        "trained gan": "training/epoch.py",
    }.items()
)
# The models, and how many images each is trained on, at most.
IMAGES = {right.model: 60_000 if right.model == "mlp" else 6_000 for right in RIGHTS}
RECIPE = {"lr": 0.05, "momentum": 0.5, "weight_decay": 1e-4}  # so that no bug lies idle
EPOCHS = 2
# The same for those that the commands train.
OPTIONS = {
    "train": RECIPE | {"lr_decay": 0.5, "augment": True, "epochs": EPOCHS, "val_size": 30},
    "gan": {"hidden": [*HIDDEN], "discriminator_hidden": [*HIDDEN], "noise": NOISE},
}
OPTIONS["gan"] |= {"batch_size": 32, "epochs": EPOCHS}
FEW = 70  # images, two batches of 32 and one of 6


class Detection(NamedTuple):
    """How the comparison with PyTorch detects a bug."""

    where: str  # the first tensor that was wrong, in the order of computation
    factor: float  # the largest difference, as a multiple of what is allowed


def detect(planted, found, pictures, model="mlp"):
    """Walk a planted network beside PyTorch's; return the Detection, or None if nothing is wrong.

    Args:
        planted: a package like scratchnet.
        model: what of it to train, by its name in IMAGES.
        found, pictures: the same training images, as a `scratchnet.data.Dataset` and as
            torchvision's data set.
    """
    detections = []
    try:
        steps = _steps_of_command if model in COMMANDS else _gan_steps if "gan" in model else _steps
        for step in steps(planted, found, pictures, model):
            if step is None:
                detections.append(Detection("a batch", np.inf))
            elif not step.ok:
                bad = [c for c in step.comparisons if not c.ok]
                detections.append(Detection(bad[0].name, max(c.excess for c in bad)))
    except ValueError:  # the layers check the shapes they are given
        detections = detections or [Detection("a shape", np.inf)]
    if not detections:
        return None
    return Detection(detections[0].where, max(d.factor for d in detections))


def _steps(planted, found, pictures, model):
    """Yield Steps over two small epochs and then two probes; None for a batch too few or many."""
    few = _few(found)
    pictures = torch.utils.data.Subset(pictures, few)
    with np.errstate(all="ignore"):
        x = planted.data.to_unit_interval(found.train.images[few], np.float64)  # (70,784)
        labels = found.train.labels[few]  # (70,)
        pair = _pair(planted, model)
        for epoch in (1, 2):
            recipe = {"seed": 0, "epoch": epoch}
            ours = planted.data.batches(x, labels, 32, **recipe)
            theirs = data.batches(pictures, 32, dtype=torch.float64, **recipe)
            for our_batch, their_batch in zip_longest(ours, theirs):
                yield pair.step(our_batch, their_batch) if our_batch and their_batch else None

        pair = _pair(planted, model)
        for hidden in pair.network.parametric_layers[:-1]:
            unit = (0,) if hidden.W.ndim == 4 else (slice(None), 0)
            hidden.W[unit] = hidden.b[0] = 0  # a pre-activation of exactly 0
        yield pair.step((x, labels), (torch.from_numpy(x), torch.from_numpy(labels)))

        pair = _pair(planted, model)
        pair.network.parametric_layers[-1].W *= 1e5  # logits in the thousands, and images far apart
        yield pair.step((x, labels), (torch.from_numpy(x), torch.from_numpy(labels)))


def _gan_steps(planted, found, pictures, model):
    """Yield Steps of both, over two small epochs and then two probes, as `_steps` does."""
    few = _few(found)
    found = replace(found, train=found.train._make(part[few] for part in found.train))
    pictures = torch.utils.data.Subset(pictures, few)

    def begin():
        pair = gan.GANLockstep(build(planted, model, np.float64), planted.binary_cross_entropy)
        return pair, gan.walk(pair, found, pictures, 32, 0, np.float64)

    with np.errstate(all="ignore"):
        _, steps = begin()
        yield from islice(steps, 12)

        pair, steps = begin()
        for hidden in pair.ours.combined.parametric_layers[:-1]:
            hidden.W[:, 0] = hidden.b[0] = 0  # a pre-activation of exactly 0
        yield from islice(steps, 2)

        pair, steps = begin()
        pair.ours.combined.parametric_layers[-1].W *= 1e5  # logits in the thousands
        yield from islice(steps, 2)


def _steps_of_command(planted, found, pictures, model):
    """Return the Steps of the planted command, run from its options to the end of its epochs."""
    steps, few = [], _first(found, FEW, model)
    given = OPTIONS[COMMANDS[model]]

    def fit(run, train_one_epoch):
        if "gan" in model:
            config = GANConfig(**given)
            recipe = {"lrs": (config.lr, config.discriminator_lr), "betas": (0.5, 0.999)}
            pair = gan.GANLockstep(run.gan, binary_cross_entropy, **recipe)
            epochs.walk_gan(pair, train_one_epoch, few.images, config, steps.append)
        else:
            config = TrainConfig(**given)
            split, _ = hold_out(few, config.val_size, config.seed)
            setting = run.network, run.optimiser, softmax_cross_entropy, config
            pair = epochs.begin(FusedLockstep if engines else Lockstep, *setting)
            if engines:
                (pair.engine,) = engines
            epochs.walk(pair, train_one_epoch, split, config, steps.append)
        raise _Walked

    command = getattr(planted, COMMANDS[model])
    with batch_by_batch(planted.kernels.fused) as engines, mock.patch.object(command, "fit", fit):
        try:
            with _run(planted, model, found, few):
                raise AssertionError("the command has not trained")
        except _Walked:
            return steps


class _Walked(Exception):
    """The epochs have been walked; what the command would do after them is not wanted."""


def _first(found, n_images, model):
    """Return the Split of the first images: so many, and those that are held out."""
    n_images += OPTIONS[COMMANDS[model]].get("val_size", 0)
    return Split(*(part[:n_images] for part in found.train))


@contextmanager
def _run(planted, model, found, train):
    """Run the planted command of a model on a training set, and give the folder with its files."""
    given = dict(OPTIONS[COMMANDS[model]])
    if COMMANDS[model] == "train":
        given |= {"engine": model.split()[0], "no_plots": True}
    options = []
    for name, value in given.items():
        values = value if isinstance(value, list) else [value] if value is not True else []
        options += [f"--{name.replace('_', '-')}", *map(str, values)]
    with TemporaryDirectory() as folder, in_place(planted), np.errstate(all="ignore"):
        # The test images in another order: half of MNIST's files beside others would be refused.
        test = (part[::-1] for part in found.test)
        for part, (images, labels) in (("train", train), ("t10k", test)):
            for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
                content = idx.encode_idx(array.astype(np.uint8))
                Path(folder, f"{part}-{kind}-ubyte").write_bytes(content)
        with redirect_stdout(StringIO()):
            out = Path(folder, "run")
            command = getattr(planted, COMMANDS[model])
            command.main([*options, "--data-dir", folder, "--out", str(out)])
        yield out


def _few(found):
    """Numbers of FEW images, with all digits among them."""
    return np.linspace(0, len(found.train.labels) - 1, FEW).astype(int)


def _pair(planted, model):
    network = build(planted, model, np.float64)
    return Lockstep(network, planted.SGD(network, **RECIPE), planted.softmax_cross_entropy)


def accuracy_after_training(planted, found, model="mlp"):
    """Return the test accuracy of a planted network after EPOCHS epochs."""
    network = build(planted, model)
    sgd = planted.SGD(network, **RECIPE)
    progress = SimpleNamespace(watch=iter, record=lambda *_: None)
    x = planted.data.to_unit_interval(found.train.images[: IMAGES[model]])  # (N,784)
    with np.errstate(all="ignore"):
        for epoch in range(1, EPOCHS + 1):
            batches = planted.data.batches(x, found.train.labels, 32, seed=0, epoch=epoch)
            planted.training.epoch.train_epoch(network, sgd, batches, progress)
        x = planted.data.to_unit_interval(found.test.images)  # (N,784)
        parts = [network.forward(x[i : i + 1000]) for i in range(0, len(x), 1000)]
    predicted = np.concatenate(parts).argmax(axis=1)  # (N,10) -> (N,)
    return float((predicted == found.test.labels).mean())


def losses_after_training(planted, found, model="gan"):
    """Return the mean losses of a planted GAN, discriminator and generator, in its last epoch.

    A None stands for a loss that is not finite.
    """
    gan, rng, losses = build(planted, model), np.random.default_rng(0), []
    progress = SimpleNamespace(watch=iter, record=lambda *row: losses.append(row[:2]))
    x = 2 * planted.data.to_unit_interval(found.train.images[: IMAGES[model]]) - 1  # (N,784)
    with np.errstate(all="ignore"):
        for epoch in range(1, EPOCHS + 1):
            batches = (
                (real, rng.standard_normal((2, len(real), NOISE), np.float32))  # (B,784), (2,B,Z)
                for real, _ in planted.data.batches(x, found.train.labels, 32, seed=0, epoch=epoch)
            )
            losses.clear()
            planted.training.epoch.train_gan_epoch(gan, batches, progress)
        means = np.mean(losses, axis=0)  # (batches,2) -> (2,)
    return [float(mean) if np.isfinite(mean) else None for mean in means]


def score(planted, found, model):
    """Return what a training ends with, {"test_accuracy": share} or {"losses": [...]} of a GAN."""
    if model in COMMANDS:
        return _score_of_command(planted, found, model)
    if "gan" in model:
        return {"losses": losses_after_training(planted, found, model)}
    return {"test_accuracy": accuracy_after_training(planted, found, model)}


def _score_of_command(planted, found, model):
    train = _first(found, IMAGES[model], model)
    with _run(planted, model, found, train) as out:
        if "gan" in model:
            *_, last = csv.DictReader((out / "history.csv").read_text().splitlines())
            return {
                "losses": [float(last[f"{side}_loss"]) for side in ("discriminator", "generator")]
            }
        return {"test_accuracy": json.loads((out / "metrics.json").read_text())["test_accuracy"]}
