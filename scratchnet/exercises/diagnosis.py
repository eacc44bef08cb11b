"""Diagnosis: which mistake of the catalogue makes exactly these wrong tensors?

    right ──probe──> {case: {name: array}}       the learner's ──┐
    every catalogued mistake ──probe──> the same                 ├──> the mistakes that fit
                                        right ───────────────────┘

Every mistake is replayed on the same inputs, in each of its `variants`. One is named if each tensor
that it makes wrong is wrong in the same way, up to rounding, and no other is wrong; or if several
together are such. So nothing is guessed: a mistake that is not in the catalogue fits none.

The idea of a program that names a learner's mistake by replaying a catalogue of them is that of
BUGGY: Brown, Burton, "Diagnostic Models for Procedural Bugs in Basic Mathematical Skills",
Cognitive Science 2, 1978.
"""

import functools
import traceback
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from scratchnet.exercises import implementation
from scratchnet.exercises.relation import alike
from scratchnet.exercises.variants import REPLAYED


@dataclass(frozen=True)
class Raised:
    """In place of the arrays that a case would have yielded: what was raised instead."""

    text: str
    place: str = ""  # "layers.py, line 12"
    unwritten: bool = False  # a NotImplementedError


class OutOfTime(BaseException):
    """An endless loop; no Exception, as a learner's `except Exception` shall not catch it."""


@dataclass(frozen=True)
class NoArray:
    """In place of an array: something else."""

    kind: str  # "a list"


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
        except (Exception, SystemExit) as error:
            traces[title][""] = raised(error, nn)
        except OutOfTime as error:
            return {title: {"": raised(error, nn)} for title in cases}
    return traces


def raised(error, nn):
    """Return the `Raised` of an exception: its words, and the last of the files' lines in it."""
    files = {str(path): path.name for path in nn.paths}
    frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        frames.append((error.filename, error.lineno))
        text = f"{type(error).__name__}: {error.msg}"
    elif isinstance(error, OutOfTime):
        text = str(error)
    elif isinstance(error, SystemExit):
        text = f"it calls exit({'' if error.code is None else error.code})"
    else:
        text = f"{type(error).__name__}: {error}".strip(": ").split("\n")[0]
    places = [f"{files[file]}, line {line}" for file, line in frames if file in files]
    if not places and isinstance(error, TypeError):
        places = nn.definitions(text)  # it was called with arguments that it does not take
    return Raised(text, places[-1] if places else "", isinstance(error, NotImplementedError))


def _copy(value):
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        return np.array(value)
    if isinstance(value, np.ndarray):
        return NoArray(f"an array of {value.dtype}")
    if value is None:
        return NoArray("None: does it return anything?")
    name = type(value).__name__
    return NoArray(f"{'an' if name[0] in 'aeiou' else 'a'} {name}, no array")


def same(a, b):
    """Tell whether two values of a trace are the same up to rounding."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and alike(a, b)
    return (isinstance(a, Raised) and isinstance(b, Raised)) or (a is None and b is None)


@functools.cache
def right(probe, cases):
    """Return the traces of scratchnet itself; `cases` is the function that makes them."""
    return trace(implementation.ours(), probe, cases())


@functools.cache
def mutants(probe, cases):
    """Return {Bug: its traces} of the mistakes and variants that change anything in this probe."""
    expected, found = right(probe, cases), {}
    for bug in REPLAYED:
        traces = trace(implementation.with_bugs(bug), probe, cases())
        if wrong(traces, expected):
            found[bug] = traces
    return found


def wrong(traces, expected):
    """Return [(case, name)] of what differs from what is expected, in the order of computation."""
    return [
        (title, name)
        for title in expected
        for name in dict.fromkeys((*expected[title], *traces[title]))
        if not same(traces[title].get(name), expected[title].get(name))
    ]


def diagnose(traces, probe, cases):
    """Return {(case, name): [names of mistakes]} for what is wrong in the traces of a probe.

    Args:
        traces: those found.
        probe, cases: as for `right`.
    """
    expected = right(probe, cases)
    everything = wrong(traces, expected)
    places = [(title, name) for title, name in everything if name and name in traces[title]]

    def same_at(place, its):
        title, name = place
        end = traces[title].get("")
        unwritten = name not in traces[title] and isinstance(end, Raised) and end.unwritten
        return unwritten or same(traces[title].get(name), its[title].get(name))

    def replay(*bugs):
        return trace(implementation.with_bugs(*bugs), probe, cases())

    catalogue = mutants(probe, cases) if places else {}
    named = explain(places, catalogue, lambda its: wrong(its, expected), same_at, replay)
    bugs = dict.fromkeys(bug for its in named.values() for bug in its)
    ended = {  # what was not computed at all, as something was raised before
        place: [bug for bug in bugs if place in wrong(catalogue[bug], expected)]
        for place in everything
        if place not in named
    }
    found = {place: named.get(place) or ended.get(place, []) for place in everything}
    return {place: list(dict.fromkeys(bug.name for bug in its)) for place, its in found.items()}


def explain(places, catalogue, left, same_at, replay):
    """Return {place: [mistakes]} if one mistake, or several, explain all that is wrong.

    A mistake explains nothing unless all of its traces are found. If those that do leave a part of
    what is wrong unexplained, an unknown mistake is at work, and it may have left these traces by
    itself: then nothing is named.

    Args:
        places: what is wrong, in the order of computation.
        catalogue: {mistake: what it computes}; what comes back holds these keys.
        left: a function of that, which returns the places where it differs from the right one.
        same_at: a function of a place and of that, which tells whether it was found there.
        replay: a function of two of the keys, which returns what both mistakes together compute;
            ValueError if they change the same text.
    """

    def explained(computed):
        traces = left(computed)
        if not traces or not all(same_at(place, computed) for place in traces):
            return set()
        return {place for place in places if same_at(place, computed)}

    if not places:
        return {}
    fitting = {name: its for name, computed in catalogue.items() if (its := explained(computed))}
    largest = {
        name: its
        for name, its in fitting.items()
        if not any(its < other for other in fitting.values())
    }
    if set().union(*largest.values()) == set(places):
        return {place: [name for name in largest if place in largest[name]] for place in places}

    named = {place: [] for place in places}  # of two mistakes one may hide traces of the other
    for first in catalogue:
        if len(places) < 2 or not _reaches(places[0], catalogue[first], left, same_at):
            continue
        for second in catalogue.keys() - {first}:
            with suppress(ValueError):
                if explained(replay(first, second)) == set(places):
                    for place in places:
                        mine = _reaches(place, catalogue[first], left, same_at)
                        named[place].append(first if mine else second)
    return {place: list(dict.fromkeys(names)) for place, names in named.items()}


def _reaches(place, computed, left, same_at):
    return place in left(computed) and same_at(place, computed)
