"""Mistakes that nobody catalogued: found, related to the right tensor where they are, never named."""

import numpy as np
import pytest

from benchmarks.diagnosis import KEPT, RATES, saved_step
from scratchnet.exercises import diagnosis, implementation, step
from scratchnet.exercises.chapters import by_number
from scratchnet.exercises.check import judge
from tests.exercises.foreign import FOREIGN
from tests.exercises.test_rewrites import rewritten

IN_A_STEP = [row for row in FOREIGN if row.file in ("layers", "losses", "network", "optim")]


@pytest.mark.parametrize("row", FOREIGN, ids=lambda row: row.title)
def test_a_chapter_finds_it_and_gives_it_no_name(row):
    chapter = by_number(row.chapter)
    nn = rewritten(row.file, [(row.right, row.wrong)])
    checks = judge(chapter, diagnosis.trace(nn, chapter.probe, chapter.cases()))
    wrong = [check for check in checks if not check.ok]
    assert wrong
    assert not [check.diagnosis for check in checks if check.diagnosis]
    assert wrong[0].relation == row.relation
    assert wrong[0].relation or "unknown" in wrong[0].message or wrong[0].check == "runs"


@pytest.mark.parametrize("row", IN_A_STEP, ids=lambda row: row.title)
def test_a_saved_step_with_it_is_found_and_gets_no_name(row, tmp_path):
    """All of a step, or parts of it: a part that the mistake does not reach is right."""
    nn = rewritten(row.file, [(row.right, row.wrong)])
    try:
        arrays = saved_step(nn, np.float64)
    except (ValueError, TypeError, AttributeError, ZeroDivisionError, IndexError):
        return  # such a mistake leaves no step
    right = saved_step(implementation.ours(), np.float64)
    start = {"x", "labels", *(f"{k}{i}" for k in ("W", "b", "vW", "vb") for i in (1, 2, 3))}
    for keep in KEPT.values():
        given = {name: a for name, a in arrays.items() if name in start or keep(name)}
        np.savez(tmp_path / "step.npz", **given, **RATES)
        checks = step.diagnose(step.load(tmp_path / "step.npz"))
        reached = [n for n in given if not _close(given[n], right[n])]
        assert any(not check.ok for check in checks) == bool(reached)
        assert not [check.diagnosis for check in checks if check.diagnosis]


def _close(a, b):
    return a.shape == b.shape and np.allclose(a, b, 1e-11, 1e-13 * np.abs(b).max(), equal_nan=True)
