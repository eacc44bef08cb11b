"""The check of a chapter: what is right, what is wrong first, and which mistake that is."""

import itertools
import os
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from scratchnet.checking.gradcheck import check_layer
from scratchnet.exercises import diagnosis, implementation, runner
from scratchnet.exercises.diagnosis import NoArray, OutOfTime, Raised
from scratchnet.exercises.probes import SMALL, digits, pixels
from scratchnet.exercises.relation import Known, shared_relation, words


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
    if missing := missing_file(folder, chapter.files):
        return Result(chapter, [missing])
    outcome = runner.run(
        _run_folder, os.path.abspath(folder), chapter, runner.SECONDS, seconds=2 * runner.SECONDS
    )
    if outcome.stopped:
        return Result(chapter, [Check("runs", False, outcome.stopped)], outcome.printed)
    traces, slopes = outcome.value
    checks = judge(chapter, traces)
    if all(check.ok for check in checks):
        checks += [_slope_check(name, slope) for name, slope in slopes.items()]
    return Result(chapter, checks, outcome.printed)


def missing_file(folder, names):
    """Return the Check that fails since one of the files, without ".py", is not there, or None."""
    for name in names:
        path = Path(folder, f"{name}.py")
        if not path.is_file():
            is_what = "is no file" if path.exists() else "is missing"
            return Check("runs", False, f"{path} {is_what}")
    return None


def _run_folder(folder, chapter, seconds):
    """In a process of its own: what the learner's code computes, and the slopes of its loss.

    After so many seconds it is interrupted, in the line where it is.
    """
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    cases = chapter.cases()
    try:
        nn = implementation.of_folder(folder)
    except (OSError, ValueError) as error:
        return {title: {"": Raised(str(error))} for title in cases}, {}
    traces, slopes = diagnosis.trace(nn, chapter.probe, cases), {}
    for its in traces.values():
        if "" in its and its[""].unwritten and (function := nn.function_at(its[""].place)):
            its[""] = replace(its[""], text=f"{function} is not written yet")
    if chapter.gradients and not any("" in its for its in traces.values()):
        layer, x = chapter.gradients(nn)
        slopes = check_layer(layer, x, rng=np.random.default_rng(0), parameters=("W", "b"))
    signal.setitimer(signal.ITIMER_REAL, 0)
    return traces, slopes


def _out_of_time(*_):
    raise OutOfTime("stopped, as it takes so long: is there an endless loop?")


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
        return [Check("written", False, _where(ends[0]))]
    if all(set(its) == {""} for its in traces.values()):
        return [Check("runs", False, _where(ends[0]))]
    named = diagnosis.diagnose(traces, chapter.probe, chapter.cases)
    checks = []
    for name in names:
        checks.append(_judge(name, chapter, traces, named, first=all(c.ok for c in checks)))
        if checks[-1].check in ("runs", "written"):
            break
    return checks


def _where(raised):
    if raised.place and raised.unwritten:
        return f"{raised.text} ({raised.place})"
    return f"{raised.place}: {raised.text}" if raised.place else raised.text


def _judge(name, chapter, traces, named, first):
    """Judge one tensor over all cases."""
    expected = diagnosis.right(chapter.probe, chapter.cases)
    places = [title for title in expected if name in expected[title]]
    wrong = [title for title in places if (title, name) in named]
    if not wrong:
        pairs = [(traces[title][name], expected[title][name]) for title in places]
        same = all(np.array_equal(a, b, equal_nan=b.dtype.kind == "f") for a, b in pairs)
        return Check(name, True, "ok, the same bits" if same else "ok, up to rounding")
    title = wrong[0]
    theirs, right, found = traces[title].get(name), expected[title][name], named[title, name]
    if theirs is None:
        end = traces[title].get("")
        if end and end.unwritten:
            return Check("written", False, _where(end))
        message = _in(title, places) + (_where(end) if end else "wrong. There is none.")
        return Check("runs" if end else name, False, message, None, found)
    kin = _relation(name, chapter, traces, wrong)
    if not kin and not found and _of_other_images(name, theirs, right):
        kin = "not in the order of `shuffled`"
    message = describe(theirs, right, kin, found, first, name)
    return Check(
        name, False, _in(title, places) + message, kin, found, _example(name, title, theirs, right)
    )


def _of_other_images(name, theirs, right):
    """Tell whether a batch of chapter 8 holds images that are right, and belong elsewhere."""
    if not name.startswith("x of ") or getattr(theirs, "dtype", None) != right.dtype:
        return False
    rows = {row.tobytes() for row in pixels(len(digits()[0]), right.dtype)}
    return theirs.shape == right.shape and {row.tobytes() for row in theirs} <= rows


def _in(title, places):
    """Say in which case, unless it is the first of all."""
    return "" if title == places[0] else f"with {title}: "


def _relation(name, chapter, traces, wrong):
    """Return the relation of a tensor to the right one that holds in all cases, or None.

    Those in float64 decide, where there are any: rounding hides little there.
    """
    expected = diagnosis.right(chapter.probe, chapter.cases)
    double = [title for title in wrong if expected[title][name].dtype == np.float64]
    pairs = []
    for title in double or wrong:
        theirs = traces[title].get(name)
        if not isinstance(theirs, np.ndarray):
            return None
        known = _known(name, chapter.probe, chapter.cases()[title], expected[title])
        pairs.append((theirs, expected[title][name], known))
    return shared_relation(pairs)


def _known(name, probe, case, right):
    """Return what is `Known` about a tensor of a case: its right traces, and its inputs."""
    given = vars(case)
    arrays = {key: value for key, value in given.items() if isinstance(value, np.ndarray)}
    factors = {
        f"{key}, axis {axis}": float(n)
        for key, array in {**arrays, **right}.items()
        for axis, n in enumerate(array.shape)
        if n > 1
    }
    factors |= {
        key: value for key, value in given.items() if isinstance(value, float) and 0 < value != 1
    }
    before = start = None
    if "before" in given:
        before = diagnosis.trace(implementation.ours(), probe, {"": case.before})[""].get(name)
    if name[-1:].isdigit() and "after step" in name:  # of an optimiser: "W after step 2"
        text, _, number = name.rpartition(" ")
        start = right.get(f"{text} {int(number) - 1}")
    others = {key: value for key, value in right.items() if key != name and "after" not in key}
    sources = arrays | others
    sources |= {
        f"{a} @ {b}.T": sources[a] @ sources[b].T
        for a, b in itertools.permutations(sources, 2)
        if np.ndim(sources[a]) == np.ndim(sources[b]) == 2
        and (len(sources[a]), len(sources[b])) == right[name].shape
        and sources[a].shape[1] == sources[b].shape[1]
    }
    if given.get("momentum"):
        still = SimpleNamespace(**given | {"momentum": 0.0})
        without = diagnosis.trace(implementation.ours(), probe, {"": still})[""]
        sources["what it would be without momentum"] = without[name]
    return Known(factors, before, start, sources)


def describe(theirs, right, kin, found, first, name=""):
    """Say what is wrong with a tensor.

    Args:
        theirs, right: the two arrays, or a `NoArray` in place of the first.
        kin: their relation, or None.
        found: the names of the catalogued mistakes that it may be.
        first: whether it is the first wrong one, and its cause has to be here.
        name: that of the tensor.
    """
    if isinstance(theirs, NoArray):
        return f"wrong. Yours is {theirs.kind}{'' if theirs.kind.endswith('?') else '.'}"
    explained = kin or "afterwards" in name
    if theirs.shape != right.shape:
        text = f"wrong. Yours has the shape {theirs.shape}, not {right.shape}."
        text += f" It is the right one, {kin}." if kin else ""
    elif theirs.dtype != right.dtype:
        text, explained = f"wrong. Yours is {theirs.dtype}, not {right.dtype}.", True
    else:
        text = f"wrong. {words(kin) if kin else _difference(theirs, right)}"
    if "afterwards" in name and not found:
        text += f" Your code changes {name.split()[0]}, which is not its own."
    elif len(found) == 1:
        text += f' That is what this mistake makes of it: "{found[0]}".'
    elif found:
        names = ", ".join(f'"{one}"' for one in found)
        text += f" That is what one of these mistakes makes of it: {names}."
    elif first and not explained:
        text += " The mistake is unknown."
    return text


def _difference(theirs, right):
    """Where, and by how much."""
    if right.size == 1:
        return "It is {} in place of {}.".format(*_told_apart(theirs.item(), right.item(), 9))
    if theirs.dtype.kind != "f":
        return f"{np.count_nonzero(theirs != right):,} of {right.size:,} elements differ."
    with np.errstate(invalid="ignore"):
        off = np.abs(theirs.astype(np.float64) - right)
    top = np.abs(right[np.isfinite(right)]).max(initial=0)
    bad = ~(off <= 1e-9 * top)
    bad = bad if bad.any() else off > 0
    if np.isnan(theirs).any() and not np.isnan(right).any():
        return f"{np.isnan(theirs).sum():,} of {right.size:,} elements are not a number."
    place = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), right.shape)
    at = f" at [{', '.join(map(str, place))}]" if right.ndim else ""
    mine, other = _told_apart(theirs[place], right[place], 6)
    return f"{bad.sum():,} of {right.size:,} elements differ, most{at}: {mine} in place of {other}."


def _told_apart(a, b, digits):
    """Return two numbers as text, with so many digits, or more if they look the same."""
    for enough in range(digits, 18):
        pair = f"{a:.{enough}g}", f"{b:.{enough}g}"
        if pair[0] != pair[1]:
            break
    return pair


def _example(name, title, theirs, right):
    """Both, side by side, if the case is small."""
    if title != SMALL or not isinstance(theirs, np.ndarray) or right.size > 24:
        return ""
    with np.printoptions(precision=4, suppress=True, linewidth=70):
        return f"yours\n{theirs}\nright\n{right}"
