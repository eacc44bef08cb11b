"""Milestones: your files take the place of ours in scratchnet, and its commands train with them.

First they go beside ours, step by step on the same batches; only if both agree are they trained,
by `python -m scratchnet.train` or `gan` in a copy of the package that imports your modules.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np

from scratchnet.exercises import diagnosis, implementation, probes, runner
from scratchnet.exercises.check import Check, Result, missing_file
from scratchnet.exercises.implementation import FILES, PACKAGE
from scratchnet.exercises.relation import alike
from scratchnet.exercises.walk import SMALL, build

STEPS = 60  # beside ours, on batches of 32 and 6: rounding adds up, and mistakes far more
DRIFT = 1e-8  # of the largest element, after all of them


@dataclass(frozen=True)
class Milestone:
    """What a milestone trains, and what it has to reach."""

    command: tuple  # after "python -m scratchnet."
    files: tuple  # the learner's that take part: nothing of a later chapter
    score: str  # in metrics.json
    mnist: float  # to be reached, at least
    sample: float  # to be reached where only the sample is to be had
    judge: str = ""  # the milestone whose run evaluates this one's


_MLP = ("layers", "losses", "network", "optim", "batches")
MILESTONES = {
    "mlp": Milestone(("train", "--epochs", "5"), _MLP, "test_accuracy", 0.97, 0.88),
    "cnn": Milestone(
        ("train", "--model", "cnn", "--epochs", "3"),
        (*_MLP, "conv", "cnn"), "test_accuracy", 0.985, 0.94,
    ),
    "gan": Milestone(
        ("gan", "--epochs", "10"),
        (*_MLP, "conv", "cnn", "activations", "gan"), "confident", 0.5, 0.2, judge="milestone_cnn",
    ),
}  # fmt: skip


def check(folder, chapter, train):
    """Check a milestone; return the Result.

    Args:
        train: train with the learner's files if that has not been done with these; otherwise only
            what is known of such a training is reported.
    """
    milestone = MILESTONES[chapter.milestone]
    if missing := missing_file(folder, milestone.files):
        return Result(chapter, [missing])
    outcome = runner.run(_train_beside, os.path.abspath(folder), chapter.milestone, seconds=60)
    if outcome.stopped:
        return Result(chapter, [Check("beside ours", False, outcome.stopped)], outcome.printed)
    checks = [_judge_steps(outcome.value, chapter.milestone)]
    if checks[0].ok:
        run = Path(folder, "runs", chapter.name)
        trained = _recorded(run) == _digest(folder, milestone)
        if train and not trained:
            _train(Path(folder), run, milestone)
            trained = _recorded(run) == _digest(folder, milestone)
        if trained or train:
            checks.append(_judge_training(run, milestone))
    return Result(chapter, checks, outcome.printed)


# Beside ours


def _train_beside(folder, model):
    """In a process of its own: the losses and the parameters of STEPS steps."""
    nn = implementation.of_folder(folder)
    try:
        with np.errstate(all="ignore"):
            return list(_steps(nn, model))
    except Exception as error:
        return diagnosis.raised(error, nn)


def _steps(nn, model):
    """Train a small network of an Implementation; yield (losses, {name: array}) of every step."""
    players, noise = build(nn, model), np.random.default_rng(1)
    network = players[-1][0]  # of a GAN, generator and discriminator in one
    x, labels = probes.pixels(70), probes.digits()[1]
    epochs = (nn.batches.batches(x, labels, 32, seed=0, epoch=epoch) for epoch in count(1))
    for x, labels in islice((batch for epoch in epochs for batch in epoch), STEPS):
        given = [(x, labels)]
        if model == "gan":
            z = noise.standard_normal((2, len(x), SMALL["gan"][0]))  # (2,B,Z)
            given = [(2 * x - 1, z[0]), (z[1],)]
        losses = [float(learn(*its)) for (_, _, learn), its in zip(players, given, strict=True)]
        yield losses, {name: np.array(p) for name, p in network.parameters()}


def _judge_steps(steps, model):
    if isinstance(steps, diagnosis.Raised):
        return Check("beside ours", False, f"{steps.place}: {steps.text}".strip(": "))
    ours = list(_steps(implementation.ours(), model))
    if len(steps) != len(ours):
        return Check("beside ours", False, f"{len(steps)} batches, not {len(ours)}")
    pairs = zip(steps, ours, strict=True)
    for number, ((losses, parameters), (right, expected)) in enumerate(pairs, start=1):
        off = [] if np.allclose(losses, right, rtol=DRIFT, atol=0) else ["the loss"]
        off += [
            name
            for name, array in expected.items()
            if name not in parameters or not alike(parameters[name], array, DRIFT)
        ]
        if off:
            return Check("beside ours", False, f"in step {number} {off[0]} is no longer ours")
    return Check("beside ours", True, f"ok, {len(ours)} steps with the same losses and weights")


# Training


def _digest(folder, milestone):
    """The SHA-256 of the learner's files that take part."""
    content = b"".join(Path(folder, f"{name}.py").read_bytes() for name in milestone.files)
    return hashlib.sha256(content).hexdigest()


def _recorded(run):
    """The digest of the files that a finished run was trained with, or None."""
    try:
        return json.loads((run / "trained-with.json").read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _train(folder, run, milestone):
    """Run the command with the learner's files; what it prints is shown."""
    digest = _digest(folder, milestone)
    now = run.with_name(f".{run.name}-{os.getpid()}")  # a training beside this one has another
    command, *options = milestone.command
    judge = folder / "runs" / milestone.judge
    if milestone.judge and (judge / "model.safetensors").is_file():
        options += ["--judge", str(judge.resolve())]
    with tempfile.TemporaryDirectory(prefix="scratchnet-") as package:
        overlay(folder, package, milestone.files)
        path = os.pathsep.join([package, str(folder.resolve())])
        options += ["--matmul", "numpy", "--out", str(now.resolve())]
        arguments = [f"scratchnet.{command}", *options]
        print(f"        python -m {' '.join(arguments)}, with your files:", flush=True)
        environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-m", *arguments], cwd=package, env=environment)
    if done.returncode == 0:
        (now / "trained-with.json").write_text(json.dumps({"sha256": digest}) + "\n")
        shutil.rmtree(run, ignore_errors=True)
        now.rename(run)
    else:
        shutil.rmtree(now, ignore_errors=True)


def overlay(folder, place, names):
    """Write a copy of the package scratchnet into a place, with a learner's modules in it.

    Where the commands would take compiled operations, it has the learner's.
    """
    package = Path(place, "scratchnet")
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "exercises"))
    for name in names:
        text = f"import sys\n\nimport {name}\n\nsys.modules[__name__] = {name}\n"
        (package / FILES[name]).write_text(text, encoding="utf-8")
    (package / "kernels" / "conv_ops.py").write_text(
        "from scratchnet.nn.conv import NUMPY_OPS\n\n"
        "COMPILED_OPS = IMPLICIT_GEMM_OPS = NUMPY_OPS\n",
        encoding="utf-8",
    )
    (package / "kernels" / "adam.py").write_text(
        "from scratchnet.nn.optim import adam_update  # noqa: F401\n", encoding="utf-8"
    )


def _judge_training(run, milestone):
    try:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Check("training", False, f"it did not come to its end; see {run}")
    limit = milestone.sample if metrics["dataset"] == "sample" else milestone.mnist
    if milestone.score == "confident":
        generated = metrics.get("generated")
        if generated is None:
            return Check("training", True, f"done; look at {run / 'figures'}")
        share = generated["recognised"]
        text = f"{share:.1%} of its digits are classified with confidence, {limit:.0%} are needed"
    else:
        share = metrics[milestone.score]
        text = f"test accuracy {share:.2%} on {metrics['dataset']}, {limit:.1%} is needed"
    return Check("training", share >= limit, f"{text}; figures in {run / 'figures'}")
