"""No false alarm: whoever writes it differently, and right, is told so."""

from collections import Counter

import pytest

from scratchnet.exercises import diagnosis, implementation
from scratchnet.exercises.chapters import by_number
from scratchnet.exercises.check import judge
from scratchnet.exercises.implementation import FILES, PACKAGE, Implementation
from tests.exercises.rewrites import GROUPS, rewrites


def rewritten(file, pairs):
    """Our implementation with texts of one file exchanged."""
    sources = implementation.sources()
    path, text = sources[file]
    for right, other in pairs:
        assert text.count(right) == 1, f"{PACKAGE / FILES[file]} holds {right!r} not once"
        text = text.replace(right, other)
    return Implementation(sources | {file: (path, text)})


def alarms(chapter, nn):
    """What the chapter finds wrong with an implementation."""
    traces = diagnosis.trace(nn, chapter.probe, chapter.cases())
    return [f"{c.check}: {c.message}" for c in judge(chapter, traces) if not c.ok]


@pytest.mark.parametrize("name", dict.fromkeys(name for name, *_ in GROUPS))
def test_right_rewrites_pass(name):
    chapter = by_number(name)
    for chapter_name, file, pairs in rewrites():
        if chapter_name == name:
            assert not alarms(chapter, rewritten(file, pairs)), pairs


def test_there_are_at_least_200_of_them_all_different():
    found = Counter(str(rewrite) for rewrite in rewrites())
    assert len(found) >= 200
    assert max(found.values()) == 1
