"""Tests that are scored: a false alarm has no score, and a mistake counts if a test fails on it."""

import pytest

from scratchnet.errors import UsageError
from scratchnet.exercises import score_tests
from scratchnet.exercises.hunt import HUNTED

MEAN, LAST = "The bias gradient is averaged", "The last, smaller batch is dropped"

OF_A_LEARNER = """
import numpy as np
from layers import Linear
from network import MLP
from optim import SGD
from scratchnet.exercises.fixtures import digits, training_step


def test_the_bias_gradient_is_a_sum():
    layer = Linear(3, 2, rng=np.random.default_rng(0), dtype=np.float64)
    layer.forward(np.ones((4, 3)))
    layer.backward(np.ones((4, 2)))
    assert np.array_equal(layer.db, [4, 4])


def test_the_loss_falls_in_ten_steps():
    images, labels = (array[::100] for array in digits()[0])
    network = MLP((784, 16, 10), rng=np.random.default_rng(0))
    optimiser = SGD(network, lr=0.1)
    losses = [training_step(network, optimiser, images, labels) for _ in range(10)]
    assert losses[-1] < losses[0]
"""
EXACT = """
import numpy as np
from network import MLP


def test_every_kernel_adds_in_the_order_of_numpy():
    network = MLP((784, 16, 10), rng=np.random.default_rng(0))
    x = np.random.default_rng(1).random((32, 784), np.float32)
    first = network.layers[0]
    assert np.array_equal(first.forward(x), x @ first.W + first.b)
"""


def test_tests_are_scored_by_the_mistakes_they_catch(tmp_path):
    (tmp_path / "test_mine.py").write_text(OF_A_LEARNER)
    bugs = [bug for bug in HUNTED if bug.name in (MEAN, LAST)]
    found = score_tests.score(tmp_path, bugs=bugs)
    assert [one["message"] for one in found.right] == ["", "", ""]
    assert (found.caught, found.missed) == ([MEAN], [LAST])


def test_tests_that_fail_on_a_right_network_have_no_score(tmp_path):
    (tmp_path / "test_mine.py").write_text(EXACT)
    found = score_tests.score(tmp_path)
    assert [one["ok"] for one in found.right] == [True, False, True]
    assert "test_every_kernel_adds_in_the_order_of_numpy" in str(found)
    assert not found.caught + found.missed


def test_a_folder_without_tests_is_told_so(tmp_path):
    with pytest.raises(UsageError, match=r"holds no test_\*\.py"):
        score_tests.score(tmp_path)


def test_the_scores_of_our_own_tests_are_of_the_catalogue_as_it_is():
    for title, kept in score_tests.reference_scores().items():
        assert sorted(kept["caught"] + kept["missed"]) == sorted(b.name for b in HUNTED), title


@pytest.mark.exhaustive
@pytest.mark.parametrize(("file", "title"), score_tests.TITLES.items())
def test_our_own_tests_score_what_is_kept(file, title):
    found = score_tests.score(score_tests.REFERENCES, [file])
    kept = score_tests.reference_scores()[title]
    assert {"caught": found.caught, "missed": found.missed} == kept
