"""Comparison of tensors: equal up to rounding, and rounding has a size.

    strict    largest difference <= 128 eps max|t|  and  <= 64 eps ‖t‖   (the loss: <= 8 eps |loss|)
    bound     every element's difference <= its error bound (see `error_bounds`)
    exact     the same bits: images, labels, the number of steps, what no optimiser updates

A tensor has to pass the strict criterion. Where it does not since its terms cancel, such as p - 1
of a confident network, it has to lie within its error bound element by element, and the report says
so. What a step updates, parameters and the state of the optimiser, has to lie within its bound in
any case: a step is small beside the weights, so that a wrong one could pass for their rounding.
Nothing has an absolute tolerance, and a NaN fails each comparison.
"""

from dataclasses import dataclass, replace

import numpy as np

MAX_LIMIT = 128  # eps, of the tensor's largest element
NORM_LIMIT = 64  # eps, of the tensor's Euclidean norm
LOSS_LIMIT = 8  # eps, of the loss


@dataclass(frozen=True)
class Comparison:
    """How one tensor of one step compares with the reference."""

    name: str
    shape: tuple
    difference: float  # the largest, absolute
    of_max: float  # the same, in eps of the largest element
    of_norm: float  # the same, in eps of the Euclidean norm
    strict: float  # the same, as a multiple of what is allowed; passes up to 1
    bound: float | None = None  # the same, of the error bound, if that had to decide
    updated: bool = False  # by the step: then the bound decides alone

    @property
    def cancels(self):
        """Not strictly equal, but as equal as its cancelling terms allow."""
        return not self.strict <= 1 and self.bound is not None and self.bound <= 1

    @property
    def ok(self):
        within = self.bound is not None and self.bound <= 1
        return within if self.updated else self.strict <= 1 or within

    @property
    def excess(self):
        """By what factor the tensor misses the criterion, the kinder one; over 1 fails."""
        if self.updated:
            return self.bound
        factors = [f for f in (self.strict, self.bound) if f is not None]
        return float("inf") if np.isnan(factors).any() else min(factors)

    @property
    def result(self):
        if not self.ok:
            return "FAIL"
        if self.cancels:
            return "ok, cancels"
        return "ok, same bits" if self.difference == 0 else "ok"


def compare(name, ours, theirs, bound=None, *, updated=False):
    """Return the Comparison of two arrays; `theirs` is the reference.

    Args:
        bound: a function of no arguments that returns how far each element may differ, called only
            if it has to decide. None for tensors that must have the same bits.
        updated: whether the bound decides alone, not only where the strict criterion fails.
    """
    if ours is None or ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return Comparison(name, theirs.shape, np.nan, np.nan, np.nan, np.nan)
    if theirs.dtype.kind not in "f" or bound is None:
        same = np.array_equal(ours, theirs)
        off = np.abs(ours.astype(np.float64) - theirs).max()
        return Comparison(name, theirs.shape, off, np.nan, np.nan, 0.0 if same else np.inf)

    eps = float(np.finfo(theirs.dtype).eps)
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is a NaN, and a NaN fails
        gaps = np.asarray(np.abs(ours.astype(np.float64) - theirs))
        difference, top = float(gaps.max()), float(np.abs(theirs).max())
        if difference == 0:
            return Comparison(name, theirs.shape, 0.0, 0.0, 0.0, 0.0)
        of_max = difference / top / eps if top else np.inf
        # The norm in units of the largest element: squares of tiny numbers would underflow.
        of_norm = of_max / float(np.linalg.norm(theirs.astype(np.float64) / top)) if top else np.inf
    if theirs.ndim == 0:
        strict = of_max / LOSS_LIMIT
    else:
        strict = max(of_max / MAX_LIMIT, of_norm / NORM_LIMIT)
    comparison = Comparison(name, theirs.shape, difference, of_max, of_norm, strict)
    if not np.isfinite(difference) or (comparison.ok and not updated):
        return comparison
    with np.errstate(divide="ignore"):  # where nothing is allowed, a difference is ∞ times too much
        worst = float(np.divide(gaps, bound(), out=np.zeros_like(gaps), where=gaps > 0).max())
    return replace(comparison, bound=worst, updated=updated)


def compare_step(bounds, ours, theirs, before):
    """Return the Comparisons of every tensor of two traces of a step, in the order of computation.

    After the first tensor that fails only the strict criterion counts: what follows from a wrong
    tensor has no error bound.

    Args:
        bounds: {name: bound}, as `layer_bounds.step_bounds` returns them.
        ours, theirs: the two traces.
        before: {name: array} of what the step updates.
    """
    comparisons = []
    for name, bound in bounds.items():
        sound = all(comparison.ok for comparison in comparisons)
        bound, updated = (bound, name in before) if sound else (bound and _no_difference, False)
        compared = compare(name, ours.get(name), theirs[name], bound, updated=updated)
        comparisons.append(compared)
    return comparisons


def _no_difference():
    return 0.0
