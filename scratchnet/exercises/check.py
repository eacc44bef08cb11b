"""The check of a chapter: what is right, what is wrong first, and which mistake that is."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scratchnet.checking.gradcheck import check_layer
from scratchnet.exercises import diagnosis, implementation, runner
from scratchnet.exercises.diagnosis import NoArray, Raised
from scratchnet.exercises.probes import SMALL
from scratchnet.exercises.relation import relation


@dataclass(frozen=True)
class Check:
    """What was found out about one tensor, or one other thing that has to hold."""

    check: str
    ok: bool
    message: str
    relation: str | None = None
    diagnosis: list = field(default_factory=list)  # names of catalogued mistakes
    example: str = ""  # theirs and ours, where they are small enough to print

    def to_json(self):
        keys = "check", "ok", "message", "relation", "diagnosis"
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True)
class Result:
    """What was found out about a chapter."""

    chapter: object
    checks: list
    printed: str = ""

    @property
    def done(self):
        return all(check.ok for check in self.checks)

    @property
    def first_wrong(self):
        return next((check for check in self.checks if not check.ok), None)

    def to_json(self):
        return {
            "chapter": self.chapter.number,
            "name": self.chapter.name,
            "done": self.done,
            "checks": [check.to_json() for check in self.checks],
        }


def check_chapter(folder, chapter):
    """Check one chapter of a learner's folder; return the Result."""
    missing = [f"{name}.py" for name in chapter.files if not Path(folder, f"{name}.py").is_file()]
    if missing:
        return Result(chapter, [Check("runs", False, f"{Path(folder, missing[0])} is missing")])
    outcome = runner.run(_run_folder, os.path.abspath(folder), chapter)
    if outcome.stopped:
        return Result(chapter, [Check("runs", False, outcome.stopped)], outcome.printed)
    traces, slopes = outcome.value
    checks = judge(chapter, traces)
    if all(check.ok for check in checks):
        checks += [_slope_check(name, slope) for name, slope in slopes.items()]
    return Result(chapter, checks, outcome.printed)


def _run_folder(folder, chapter):
    """In a process of its own: what the learner's code computes, and the slopes of its loss."""
    cases = chapter.cases()
    try:
        nn = implementation.of_folder(folder)
    except (OSError, ValueError) as error:
        return {title: {"": Raised(f"{type(error).__name__}: {error}")} for title in cases}, {}
    traces, slopes = diagnosis.trace(nn, chapter.probe, cases), {}
    if chapter.gradients and not any("" in its for its in traces.values()):
        layer, x = chapter.gradients(nn)
        slopes = check_layer(layer, x, rng=np.random.default_rng(0), parameters=("W", "b"))
    return traces, slopes


def _slope_check(name, slope):
    check = f"d{name} by finite differences"
    if slope.ok:
        return Check(check, True, f"ok, in {slope.kept} places")
    return Check(check, False, f"wrong: off by {slope.worst:.2g} times what is allowed")


def judge(chapter, traces):
    """Return the Checks of the traces of a chapter, in the order of computation."""
    expected = diagnosis.right(chapter.probe, chapter.cases)
    names = list(dict.fromkeys(name for its in expected.values() for name in its))
    ends = [its[""] for its in traces.values() if "" in its]
    if any(set(its) == {""} for its in traces.values()) and ends[0].unwritten:
        return [Check("written", False, f"not written yet: {_where(ends[0])}")]
    if all(set(its) == {""} for its in traces.values()):
        return [Check("runs", False, _where(ends[0]))]
    named = {}
    if diagnosis.wrong(traces, expected):
        catalogue = diagnosis.mutants(chapter.probe, chapter.cases)
        named = diagnosis.diagnose(traces, expected, catalogue)
    checks = []
    for name in names:
        checks.append(_judge(name, traces, expected, named, first=all(c.ok for c in checks)))
        if checks[-1].check == "runs":
            break
    return checks


def _where(raised):
    return f"{raised.place}: {raised.text}" if raised.place else raised.text


def _judge(name, traces, expected, named, first):
    """Judge one tensor over all cases."""
    places = [title for title in expected if name in expected[title]]
    wrong = [title for title in places if (title, name) in named]
    if not wrong:
        pairs = [(traces[title][name], expected[title][name]) for title in places]
        same = all(np.array_equal(a, b, equal_nan=b.dtype.kind == "f") for a, b in pairs)
        return Check(name, True, "ok, the same bits" if same else "ok, up to rounding")
    title = wrong[0]
    theirs, right = traces[title].get(name), expected[title][name]
    if theirs is None:
        end = traces[title].get("")
        return Check(
            "runs", False, f"{_in(title, places)}{_where(end) if end else 'it ended early'}"
        )
    found = named[title, name]
    kin = None
    if isinstance(theirs, np.ndarray):
        kin = relation(theirs, right, _factors(title, expected))
        if kin and not all(_holds(kin, traces, expected, t, name) for t in wrong[1:]):
            kin = None
    message = describe(theirs, right, kin, found, first)
    return Check(
        name, False, _in(title, places) + message, kin, found, _example(name, title, theirs, right)
    )


def _in(title, places):
    """Say in which case, unless it is the first of all."""
    return "" if title == places[0] else f"with {title}: "


def _factors(title, expected):
    """What a factor between two tensors of a case may be."""
    shapes = [array.shape for array in expected[title].values()]
    return {2.0, *(float(n) for shape in shapes for n in shape if n > 1)}


def _holds(kin, traces, expected, title, name):
    """A relation of any kind holds in another case too; factors may follow the batch."""
    theirs = traces[title].get(name)
    if not isinstance(theirs, np.ndarray):
        return False
    other = relation(theirs, expected[title][name], _factors(title, expected))
    return other == kin or (other and other.endswith(" x") and kin.endswith(" x"))


def describe(theirs, right, kin, found, first):
    """Say what is wrong with a tensor.

    Args:
        theirs, right: the two arrays, or a `NoArray` in place of the first.
        kin: their relation, or None.
        found: the names of the catalogued mistakes that it may be.
        first: whether it is the first wrong one, and its cause has to be here.
    """
    if isinstance(theirs, NoArray):
        return f"wrong. Yours is a {theirs.kind}, not an array."
    if theirs.shape != right.shape:
        text = f"wrong. Yours has the shape {theirs.shape}, not {right.shape}."
    elif theirs.dtype != right.dtype:
        text = f"wrong. Yours is {theirs.dtype}, not {right.dtype}."
    elif kin:
        text = (
            f"wrong. Yours is {kin}."
            if not kin.endswith(" x")
            else f"wrong. Yours is {kin} what it should be, in every element."
        )
    else:
        text = f"wrong. {_difference(theirs, right)}"
    if kin and theirs.shape != right.shape:
        text += f" It is the right one, {kin}."
    if len(found) == 1:
        text += f' That is what this mistake makes of it: "{found[0]}".'
    elif found:
        text += (
            " That is what one of these mistakes makes of it: "
            + ", ".join(f'"{n}"' for n in found)
            + "."
        )
    elif not kin and first:
        text += " The mistake is unknown."
    return text


def _difference(theirs, right):
    """Where, and by how much."""
    if theirs.dtype.kind != "f":
        return f"{np.count_nonzero(theirs != right):,} of {right.size:,} elements differ."
    with np.errstate(invalid="ignore"):
        off = np.abs(theirs.astype(np.float64) - right)
    top = np.abs(right[np.isfinite(right)]).max(initial=0)
    bad = ~(off <= 1e-9 * top)
    if np.isnan(theirs).any() and not np.isnan(right).any():
        return f"{np.isnan(theirs).sum():,} of {right.size:,} elements are not a number."
    place = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), right.shape)
    at = f" at [{', '.join(map(str, place))}]" if right.ndim else ""
    return (
        f"{bad.sum():,} of {right.size:,} elements differ, most{at}: "
        f"{theirs[place]:.6g} in place of {right[place]:.6g}."
    )


def _example(name, title, theirs, right):
    """Both, side by side, if the case is small."""
    if title != SMALL or not isinstance(theirs, np.ndarray) or right.size > 24:
        return ""
    with np.printoptions(precision=4, suppress=True, linewidth=70):
        return f"yours\n{theirs}\nright\n{right}"
