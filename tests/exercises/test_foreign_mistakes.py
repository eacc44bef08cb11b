"""Mistakes that nobody catalogued: found, put in relation where one holds, and never named."""

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
    said = any(words in wrong[0].message for words in ("unknown", "not its own"))
    assert wrong[0].relation or said or wrong[0].check == "runs"


def in_a_step(row, kept, path):
    """A saved step with it is found and gets no name; what the mistake does not reach is right."""
    nn = rewritten(row.file, [(row.right, row.wrong)])
    try:
        arrays = saved_step(nn, np.float64)
    except (ValueError, TypeError, AttributeError, ZeroDivisionError, IndexError):
        return  # such a mistake leaves no step
    right = saved_step(implementation.ours(), np.float64)
    start = {"x", "labels", *(f"{k}{i}" for k in ("W", "b", "vW", "vb") for i in (1, 2, 3))}
    given = {name: a for name, a in arrays.items() if name in start or KEPT[kept](name)}
    np.savez(path, **given, **RATES)
    checks = step.diagnose(step.load(path))
    reached = [name for name in given if not _close(given[name], right[name])]
    assert any(not check.ok for check in checks) == bool(reached)
    assert not [check.diagnosis for check in checks if check.diagnosis]


@pytest.mark.parametrize("number", range(len(IN_A_STEP)), ids=lambda n: IN_A_STEP[n].title)
def test_a_saved_step_with_it_is_found_and_gets_no_name(number, tmp_path):
    """All of a step, or a part of it, in turns."""
    in_a_step(IN_A_STEP[number], list(KEPT)[number % 3], tmp_path / "step.npz")


@pytest.mark.exhaustive
@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("row", IN_A_STEP, ids=lambda row: row.title)
def test_every_part_of_a_saved_step_with_it_is_found_and_gets_no_name(row, kept, tmp_path):
    in_a_step(row, kept, tmp_path / "step.npz")


def _close(a, b):
    return a.shape == b.shape and np.allclose(a, b, 1e-11, 1e-13 * np.abs(b).max(), equal_nan=True)
