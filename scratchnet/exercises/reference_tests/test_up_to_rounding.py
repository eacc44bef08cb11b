"""Ours: every tensor, on inputs chosen with care, is that of scratchnet up to rounding."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from scratchnet import MLP, SGD, softmax_cross_entropy
from scratchnet.exercises import diagnosis, walk
from scratchnet.exercises.chapters import CHAPTERS
from scratchnet.exercises.fixtures import training_step
from scratchnet.exercises.implementation import FILES
from scratchnet.exercises.probes import digits
from scratchnet.exercises.relation import alike

THEIRS = SimpleNamespace(**{name: importlib.import_module(name) for name in FILES}, paths=[])
PROBES = [(c.probe, c.cases) for c in CHAPTERS if c.probe]
PROBES += [(walk.walk, cases) for cases in walk.CASES.values()]


def same(theirs, right):
    """Compare with room for Adam, which divides what is nearly 0 by itself."""
    if not isinstance(theirs, np.ndarray) or theirs.dtype != right.dtype:
        return False
    return alike(theirs, right, 1e-3 if right.dtype == np.float32 else 1e-10)


@pytest.mark.parametrize(("probe", "cases"), PROBES)
def test_every_tensor_is_right(probe, cases):
    traces, right = diagnosis.trace(THEIRS, probe, cases()), diagnosis.right(probe, cases)
    for case, its in right.items():
        assert its.keys() == traces[case].keys(), f"{case}: {traces[case].get('')}"
        for name, array in its.items():
            assert same(traces[case][name], array), f"{name} in {case}"


def test_a_training_step_leaves_the_right_parameters():
    images, labels = digits()
    theirs = THEIRS.network.MLP((784, 8, 10), rng=np.random.default_rng(0), dtype=np.float64)
    right = MLP((784, 8, 10), rng=np.random.default_rng(0), dtype=np.float64)
    recipe = {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-4}
    optimisers = THEIRS.optim.SGD(theirs, **recipe), SGD(right, **recipe)
    for batch in (slice(0, 32), slice(32, 38)):
        training_step(theirs, optimisers[0], images[batch], labels[batch])
        x = (images[batch].reshape(-1, 784) / np.float32(255)).astype(np.float64)
        _, dlogits = softmax_cross_entropy(right.forward(x), labels[batch])
        right.backward(dlogits)
        optimisers[1].step()
        for (name, p), (_, its) in zip(right.parameters(), theirs.parameters(), strict=True):
            assert alike(its, p), name
