"""Diagnosis: which mistake of the catalogue makes exactly these wrong tensors?

    right ──probe──> {case: {name: array}}       the learner's ──┐
    every catalogued mistake ──probe──> the same                 ├──> the mistakes that fit
                                        right ───────────────────┘

Every mistake is replayed on the same inputs. One fits if it leaves all of its traces and none that
contradicts what was found: each tensor that it makes wrong is wrong in the same way, up to
rounding. Nothing is guessed: a mistake that is not in the catalogue fits none.

The idea of a program that names a learner's mistake by replaying a catalogue of them is that of
BUGGY: Brown, Burton, "Diagnostic Models for Procedural Bugs in Basic Mathematical Skills",
Cognitive Science 2, 1978.
"""

import functools
import traceback
from dataclasses import dataclass

import numpy as np

from scratchnet.checking.bugs import BUGS
from scratchnet.exercises import implementation
from scratchnet.exercises.relation import alike


@dataclass(frozen=True)
class Raised:
    """In place of the arrays that a case would have yielded: what was raised instead."""

    text: str
    place: str = ""  # "layers.py, line 12"
    unwritten: bool = False  # a NotImplementedError


@dataclass(frozen=True)
class NoArray:
    """In place of an array: something else."""

    kind: str  # the name of its type


def trace(nn, probe, cases):
    """Return {case: {name: array}} of an implementation; a `Raised` by the name "" where it ended.

    All arrays are copies; in place of what is no array of numbers stands a `NoArray`.
    """
    traces = {}
    for title, case in cases.items():
        traces[title] = {}
        try:
            with np.errstate(all="ignore"):
                for name, value in probe(nn, case):
                    traces[title][name] = _copy(value)
        except Exception as error:
            traces[title][""] = raised(error, nn)
    return traces


def raised(error, nn):
    """Return the `Raised` of an exception: its words, and the last of the files' lines in it."""
    files = {str(path): path.name for path in nn.paths}
    frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        frames.append((error.filename, error.lineno))
        text = f"{type(error).__name__}: {error.msg}"
    else:
        text = f"{type(error).__name__}: {error}".strip(": ").split("\n")[0]
    places = [f"{files[file]}, line {line}" for file, line in frames if file in files]
    return Raised(text, places[-1] if places else "", isinstance(error, NotImplementedError))


def _copy(value):
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        return np.array(value)
    if isinstance(value, np.ndarray):
        return NoArray(f"array of {value.dtype}")
    return NoArray(type(value).__name__)


def same(a, b):
    """Tell whether two values of a trace are the same up to rounding."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and alike(a, b)
    return isinstance(a, Raised) and isinstance(b, Raised)


@functools.cache
def right(probe, cases):
    """Return the traces of scratchnet itself; `cases` is the function that makes them."""
    return trace(implementation.ours(), probe, cases())


@functools.cache
def mutants(probe, cases, models=("mlp", "cnn", "gan")):
    """Return {name of a mistake: its traces} of the mistakes that change anything in this probe."""
    expected, found = right(probe, cases), {}
    for bug in BUGS:
        if bug.model in models and bug.file in implementation.FILES.values():
            traces = trace(implementation.with_bug(bug), probe, cases())
            if wrong(traces, expected):
                found[bug.name] = traces
    return found


def wrong(traces, expected):
    """Return {(case, name)} of what differs from what is expected."""
    return {
        (title, name)
        for title in expected
        for name in expected[title].keys() | traces[title].keys()
        if not same(traces[title].get(name), expected[title].get(name))
    }


def diagnose(traces, expected, catalogue):
    """Return {(case, name): [names of mistakes]} for what is wrong in the traces.

    Args:
        traces: those found.
        expected: the right ones.
        catalogue: {name of a mistake: its traces}, as `mutants` returns them.
    """
    names = {place: [] for place in wrong(traces, expected)}
    for bug, its in catalogue.items():
        left = wrong(its, expected)
        if all(
            place in names and same(traces[place[0]].get(place[1]), its[place[0]].get(place[1]))
            for place in left
        ):
            for place in left:
                names[place].append(bug)
    return names
