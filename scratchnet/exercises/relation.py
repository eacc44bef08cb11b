"""The relation of a wrong tensor to the right one: 32 times it, its transpose, its mask off, ...

A relation is named only where it holds for every element up to rounding, and where enough of them
could have contradicted it: any number is a multiple of any other, and two numbers that changed
places need not be a transpose. What could have contradicted a relation is its evidence.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import NamedTuple

import numpy as np

ROUNDING = 4096  # eps of the largest element: far over any order of summation, far under a mistake
FEW = 4  # different numbers that a relation has to get right, at least
SHARP = 1e-4  # relative rounding below which one number is enough for a factor that means something
TINY = np.finfo(np.float64).tiny


def alike(a, b, rounding=None):
    """Tell whether two arrays are equal up to rounding, with NaN and ∞ in the same places."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fc" or b.dtype.kind not in "fc":
        return np.array_equal(a, b)
    finite = np.isfinite(b)
    same_infinities = np.array_equal(a[~finite], b[~finite], equal_nan=True)
    return same_infinities and np.isfinite(a[finite]).all() and excess(a, b, rounding) <= 1


def excess(a, b, rounding=None):
    """Return the largest difference of finite elements, as a multiple of what rounding explains.

    Args:
        rounding: what it explains, relative to the largest element; by default ROUNDING eps.
    """
    finite = np.isfinite(b)
    if not finite.any():
        return 0.0
    if rounding is None:
        rounding = ROUNDING * max(float(np.finfo(t.dtype).eps) for t in (a, b))
    off = float(np.abs(a[finite].astype(np.float64) - b[finite]).max())
    top = float(np.abs(b[finite].astype(np.float64)).max())
    return 0.0 if off == 0 else off / (rounding * top) if top else np.inf


@dataclass(frozen=True)
class Known:
    """What else is known about a wrong tensor."""

    # {what it is: a number that one could multiply or divide by, by mistake}
    factors: dict = field(default_factory=dict)
    before: np.ndarray | None = None  # the right tensor of the batch before
    start: np.ndarray | None = None  # of an update: what it started from
    # {name: array}: other tensors that it might have been computed from
    sources: dict = field(default_factory=dict)
    rounding: float | None = None  # relative to the largest element, as in `excess`


class Found(NamedTuple):
    text: str  # "32 x", "transposed"
    evidence: int  # how many different numbers could have contradicted it


def relation(theirs, right, known=Known()):
    """Return what a wrong tensor is to the right one, such as "32 x" or "transposed", or None."""
    return shared_relation([(theirs, right, known)])


def shared_relation(cases):
    """Return the first relation that holds in all of the cases, of (theirs, right, Known); or None.

    The text is that of the first case: a factor such as the size of the batch may change.
    """
    (first, *rest), others = cases, None
    for kind, (text, evidence) in relations(*first):
        if others is None:
            others = [{} for _ in rest]
            for found, case in zip(others, rest, strict=True):
                for other_kind, one in relations(*case):
                    found.setdefault(other_kind, one)
        held = [found[kind].evidence for found in others if kind in found]
        if len(held) == len(rest) and evidence + sum(held) >= FEW:
            return text
    return None


def relations(theirs, right, known):
    """Yield (kind, Found) for all relations that hold, on however little evidence.

    Args:
        theirs, right: two arrays of numbers; right ones of other kinds than floats have none.
        known: a `Known`.
    """
    if theirs.dtype.kind not in "fiu" or right.dtype.kind != "f":
        return
    if not right.any() or not np.isfinite(right).all():
        return
    if not np.isfinite(theirs).all():
        yield "not finite", Found("not finite", FEW)
        return
    pair = _Pair(theirs, right, known)
    if theirs.shape == right.shape and not theirs.any():
        yield "zero", Found("zero", FEW)
        return
    if theirs.shape != right.shape:
        searches = pair.of_another_shape, pair.of_sources
    elif pair.alike(theirs, right):
        return
    else:
        yield from pair.multiple().items()
        yield from pair.update().items()
        searches = (
            pair.rearranged, pair.masked, pair.of_the_batch_before, pair.of_sources,
            pair.precision, pair.shifted, pair.signs, pair.normalised, pair.added,
            pair.multiple_in_each,
        )  # fmt: skip
    for search in searches:
        for found in search():
            yield found.text, found


def words(kin):
    """Return a relation as a sentence about "Yours"."""
    if kin.startswith("a step of "):
        return f"Yours takes a step that {_too_much(_number(kin.removeprefix('a step of ')))}."
    if kin.endswith(" x"):
        return f"Yours {_too_much(_number(kin))}, in every element."
    return f"Yours is {kin}."


def _number(kin):
    over, _, under = kin.removesuffix(" x").partition("/")
    return float(over) / float(under or 1)


def _too_much(c):
    if c == -1:
        return "has the opposite sign"
    sign = " and has the opposite sign" if c < 0 else ""
    large, small = abs(c), 1 / abs(c)
    if large >= 1.5:
        return f"is {large:.6g} times too large{sign}"
    if small >= 1.5:
        return f"is {small:.6g} times too small{sign}"
    return f"is {large:.6g} times what it should be{sign}"


class _Pair:
    """Two arrays, compared in float64."""

    def __init__(self, theirs, right, known):
        rounding = known.rounding
        if rounding is None:
            kinds = [array.dtype for array in (theirs, right) if array.dtype.kind == "f"]
            rounding = ROUNDING * max(float(np.finfo(dtype).eps) for dtype in kinds)
        self.rounding, self.known = rounding, known
        self.theirs, self.right = theirs.astype(np.float64), right.astype(np.float64)
        self.top = float(np.abs(self.right).max())

    def alike(self, a, b):
        return alike(a, b, self.rounding)

    def evidence(self, predicted, tested=None):
        """Count the different numbers among those `tested` that rounding could not have made."""
        size = np.abs(predicted)
        big = size > 64 * self.rounding * size.max(initial=0)
        if tested is not None:
            big = big & tested
        return _distinct(predicted[big], 8 * self.rounding * (size.max(initial=0) or 1))

    def moved(self, predicted):
        """Count those among the numbers of a prediction that differ from the right ones."""
        if predicted.shape != self.right.shape:
            return self.evidence(predicted)
        apart = np.abs(predicted - self.right) > 8 * self.rounding * self.top
        return self.evidence(predicted, apart)

    @cached_property
    def _difference(self):
        """What theirs is off by, how much of it may be rounding, and where it is most, and some."""
        off = self.theirs - self.right
        noise = 4 * self.rounding * max(self.top, float(np.abs(self.theirs).max()))
        some = np.random.default_rng(0).integers(off.size, size=16)
        return off, noise, np.concatenate([[np.abs(off).argmax()], some])

    def multiple(self):
        """c times the right one, in every element."""
        flat = self.right.ravel()
        c = float(self.theirs.ravel() @ flat / (flat @ flat))
        if not c or not self.alike(self.theirs, c * self.right):
            return {}
        return self._times(c, "{}")

    def update(self):
        """The update, not the tensor, is c times the right one."""
        start = self.known.start
        if start is None or start.shape != self.right.shape:
            return {}
        start = start.astype(np.float64)
        step, right, noise = self.theirs - start, self.right - start, self.rounding * self.top
        if np.abs(right).max() < 1e3 * noise:
            return {}
        if np.abs(step).max() <= noise:
            return {"not updated": Found("what it was before the step", FEW)}
        flat = right.ravel()
        c = float(step.ravel() @ flat / (flat @ flat))
        if not c or (np.abs(step - c * right) > noise * max(1, abs(c))).any():
            return {}
        if abs(c - 1) <= noise / np.abs(right).max():
            return {}
        big = np.abs(right) > 64 * noise
        return self._times(c, "a step of {}", _distinct(right[big], 8 * noise))

    def _times(self, c, form, evidence=None):
        """Under what names a factor is known, and as any factor."""
        if evidence is None:
            evidence = self.evidence(self.right)
        size = np.abs(self.right[self.right != 0])
        all_count = (size > 64 * self.rounding * self.top).all()
        found = {}
        factors = {"1": 1.0, "2": 2.0, **self.known.factors}
        for name, value in factors.items():
            for label, factor in ((name, value), (f"1/{name}", 1 / value)):
                for sign in (1, -1):
                    if sign * factor != 1 and np.isclose(c, sign * factor, self.rounding, atol=0):
                        sure = FEW if self.rounding < SHARP and all_count else evidence
                        text = form.format(_factor(sign * factor))
                        found[f"{form} {sign} {label}"] = Found(text, max(evidence, sure))
        text = next(iter(found.values())).text if found else form.format(_factor(c))
        found[form] = Found(text, evidence - 1)
        return found

    def multiple_in_each(self):
        """c times the right one, with another c in every row, or in every column."""
        theirs, right = self.theirs, self.right
        if right.ndim < 2:
            return
        for axis, place in ((0, "row"), (1, "column")):
            a = np.moveaxis(theirs, axis, 0).reshape(right.shape[axis], -1)
            b = np.moveaxis(right, axis, 0).reshape(right.shape[axis], -1)
            size = (b * b).sum(axis=1)
            c = np.divide((a * b).sum(axis=1), size, out=np.zeros_like(size), where=size > 0)
            if c.all() and self.alike(a, c[:, None] * b):
                evidence = self.evidence(right) - len(c)
                yield Found(f"a multiple of the right one, another in each {place}", evidence)

    def rearranged(self):
        """The right numbers in other places."""
        theirs, right = self.theirs, self.right
        for order in list(permutations(range(right.ndim)))[1:]:
            turned = right.transpose(order)
            if turned.shape == theirs.shape and self.alike(theirs, turned):
                yield Found("transposed", self.moved(turned))
            elif self.alike(theirs, turned.reshape(theirs.shape)):
                yield Found("transposed, then reshaped", self.moved(turned.reshape(theirs.shape)))
        turns = [((axis,), f"axis {axis}") for axis in range(right.ndim)]
        if right.ndim > 1:
            turns.append(((-2, -1), "the last two axes"))
        for axes, along in turns:
            turned = np.flip(right, axes)
            if self.alike(theirs, turned):
                yield Found(f"turned round along {along}", self.moved(turned))

    def masked(self):
        """A mask is on where it should be off, or off where it should be on."""
        theirs, right = self.theirs, self.right
        same = np.abs(theirs - right) <= self.rounding * self.top
        kept = self.evidence(right, same)
        if not theirs[~same].any():
            yield Found("0 in places where it should not be", kept)
        elif not right[~same].any():
            yield Found("not 0 in places where it should be", kept)

    def precision(self):
        theirs, right = self.theirs, self.right
        for dtype, name in ((np.float32, "single"), (np.float16, "half")):
            eps = float(np.finfo(dtype).eps)
            off = np.abs(theirs - right).max() / self.top
            if self.rounding < eps / 64 and off < 64 * eps:
                with np.errstate(over="ignore"):
                    narrow = theirs.astype(dtype).astype(np.float64)
                if np.array_equal(narrow, theirs):
                    yield Found(f"in {name} precision", self.evidence(theirs))

    def of_the_batch_before(self):
        before = self.known.before
        if before is None or before.shape != self.right.shape or not before.any():
            return
        before = before.astype(np.float64)
        if self.alike(self.theirs, before):
            yield Found("that of the batch before", self.moved(before))
        both = self.right + before
        if self.alike(self.theirs, both):
            yield Found("added to that of the batch before", self.moved(both))

    def shifted(self):
        """One row or one column off."""
        theirs, right = self.theirs, self.right
        for axis in range(right.ndim):
            if right.shape[axis] < 3:
                continue
            a, b = np.moveaxis(theirs, axis, 0), np.moveaxis(right, axis, 0)
            for mine, other, still, word in (
                (a[1:], b[:-1], b[1:], "late"),
                (a[:-1], b[1:], b[:-1], "early"),
            ):
                apart = np.abs(other - still) > 8 * self.rounding * self.top
                if self.alike(mine, other):
                    text = f"one place too {word} along axis {axis}"
                    yield Found(text, self.evidence(other, apart))

    def signs(self):
        if self.alike(self.theirs, np.abs(self.right)):
            yield Found("without its signs", self.evidence(self.right, self.right < 0))

    def normalised(self):
        """Its sums are all 1 along another axis, as those of a softmax."""
        if self.right.ndim != 2 or (self.right < 0).any():
            return
        for axis, other in ((1, 0), (0, 1)):
            ours, theirs = self.right.sum(axis=axis), self.theirs.sum(axis=other)
            if np.ptp(ours) <= 1e-6 * ours[0] and np.allclose(theirs, ours[0], 1e-6, 0):
                yield Found(f"normalised along axis {other}, not {axis}", len(theirs))

    def added(self):
        """The same numbers are added in each row; or c times the right one plus d."""
        theirs, right = self.theirs, self.right
        off = theirs - right
        noise = 4 * self.rounding * max(self.top, float(np.abs(theirs).max()))
        if off.ndim > 1 and len(off) > 2 and (np.ptp(off, axis=0) <= noise).all():
            yield Found("off by the same numbers in each row", self.evidence(right) - len(off[0]))
        spread = right - right.mean()
        c = float((spread * theirs).sum() / max((spread * spread).sum(), TINY))
        d = float(theirs.mean() - c * right.mean())
        if abs(c) > SHARP and abs(d) > noise and (np.abs(c * right + d - theirs) <= noise).all():
            times = "" if np.isclose(c, 1) else f"{_factor(c).removesuffix(' x')} times "
            sign = "plus" if d > 0 else "minus"
            evidence = self.evidence(right) - 2
            yield Found(f"{times}the right one {sign} {abs(d):.6g}", evidence)

    def of_sources(self):
        """Another tensor in its place, a sum of it, or a multiple of it that is added."""
        for name, source in self.known.sources.items():
            if source.dtype.kind != "f" or not source.size or not np.isfinite(source).all():
                continue
            source = source.astype(np.float64)
            yield from self._instead(name, source)
            if self.theirs.shape == self.right.shape:
                yield from self._plus_multiple(name, source)

    def _instead(self, name, source):
        theirs = self.theirs
        for shown, array in ((name, source), (f"{name} transposed", source.T)):
            if array.shape == theirs.shape and array.any() and self.alike(theirs, array):
                yield Found(shown, self.moved(array))
        on = theirs != 0
        shapes = source.shape == theirs.shape == self.right.shape
        if shapes and not on.all() and self.alike(theirs, np.where(on, source, 0)):
            yield Found(f"{name} behind another mask", self.evidence(theirs))
        for axis in range(source.ndim if source.ndim > 1 else 0):
            for word, reduce in (("sum", np.sum), ("mean", np.mean)):
                reduced = reduce(source, axis=axis)
                fits = reduced.shape == theirs.shape or reduced.shape == theirs.squeeze().shape
                if fits and self.alike(theirs.reshape(reduced.shape), reduced):
                    yield Found(f"the {word} of {name} along axis {axis}", self.evidence(reduced))

    def _plus_multiple(self, name, source):
        try:
            source = np.broadcast_to(source, self.right.shape)
        except ValueError:
            return
        off, noise, places = self._difference
        most = source.flat[places[0]]
        c = float(off.flat[places[0]] / most) if most else 0.0
        if not c or (np.abs(off.flat[places] - c * source.flat[places]) > 2 * noise).any():
            return
        c = float((off * source).sum() / (source * source).sum())
        if (np.abs(off - c * source) > noise).any():
            return
        big = np.abs(c * source) > 64 * noise
        evidence = _distinct(c * source[big], 8 * noise) - 1
        times = "" if np.isclose(abs(c), 1) else f"{_factor(abs(c)).removesuffix(' x')} times "
        yield Found(f"the right one {'plus' if c > 0 else 'minus'} {times}{name}", evidence)

    def of_another_shape(self):
        theirs, right = self.theirs, self.right
        if theirs.size == right.size:
            for order in permutations(range(theirs.ndim)) if theirs.ndim <= 4 else ():
                turned = theirs.transpose(order)
                if turned.shape == right.shape and self.alike(turned, right):
                    yield Found("transposed", self.evidence(right))
            if self.alike(theirs.ravel(), right.ravel()):
                yield Found("reshaped", FEW)
        for one, other, word in ((theirs, right, "not {}"), (right, theirs, "{}")):
            for axis in range(one.ndim):
                for reduce, done in ((np.sum, "summed"), (np.mean, "averaged")):
                    reduced = reduce(one, axis=axis)
                    if self.alike(reduced.squeeze(), other.squeeze()):
                        text = f"{word.format(done)} along axis {axis}"
                        yield Found(text, self.evidence(one))
        if theirs.ndim == right.ndim:
            common = tuple(slice(min(a, b)) for a, b in zip(theirs.shape, right.shape, strict=True))
            if theirs[common].size and self.alike(theirs[common], right[common]):
                word = "cut off" if theirs.size < right.size else "continued"
                yield Found(f"{word} at the end", self.evidence(right[common]))


def _distinct(values, unit):
    """Count the different numbers, in units, among the first thousand."""
    return len(np.unique(np.round(values[:1000] / unit)))


def _factor(c):
    if abs(c) < 1:
        n = round(1 / abs(c))
        if 1 < n < 1e6 and np.isclose(abs(c) * n, 1, rtol=1e-6, atol=0):
            return f"{'-' if c < 0 else ''}1/{n} x"
    return f"{c:.6g} x"
