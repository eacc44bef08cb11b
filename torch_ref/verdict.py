"""Are two tensors the same? Equal up to rounding, and rounding has a size.

    strict    largest difference <= 128 eps max|t|  and  <= 64 eps ‖t‖   (the loss: <= 8 eps |loss|)
    band      every element's difference <= its rounding band (see `rounding`)
    exact     the same bits: the images, the labels

A tensor has to pass the strict criterion. Where it does not since its terms cancel, such as p - 1
of a confident network, it has to lie inside its band element by element, and the report says so.
Nothing has an absolute tolerance, and a NaN fails each comparison.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from torch_ref import rounding

MAX_LIMIT = 128  # eps, of the tensor's largest element
NORM_LIMIT = 64  # eps, of the tensor's Euclidean norm
LOSS_LIMIT = 8  # eps, of the loss


@dataclass(frozen=True)
class Verdict:
    """One tensor of one step, compared."""

    name: str
    shape: tuple
    difference: float  # the largest, absolute
    of_max: float  # the same, in eps of the largest element
    of_norm: float  # the same, in eps of the Euclidean norm
    strict: float  # the same, as a multiple of what is allowed; passes up to 1
    band: float | None = None  # the largest multiple of the rounding band, if that had to decide

    @property
    def cancels(self):
        """Not strictly equal, but as equal as its cancelling terms allow."""
        return not self.strict <= 1 and self.band is not None and self.band <= 1

    @property
    def ok(self):
        return self.strict <= 1 or self.cancels

    @property
    def excess(self):
        """By what factor the tensor misses the criterion that is kinder to it; over 1 fails."""
        factors = [f for f in (self.strict, self.band) if f is not None]
        return float("inf") if np.isnan(factors).any() else min(factors)

    @property
    def word(self):
        if not self.ok:
            return "FAIL"
        if self.cancels:
            return "ok, cancels"
        return "ok, same bits" if self.difference == 0 else "ok"


def compare(name, ours, theirs, band=None):
    """Return the Verdict on two arrays; `theirs` is the reference.

    Args:
        band: a function of no arguments, called only if the strict criterion fails; returns how far
            each element may differ. None for tensors that must have the same bits.
    """
    if ours is None or ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return Verdict(name, theirs.shape, np.nan, np.nan, np.nan, np.nan)
    if theirs.dtype.kind not in "f" or band is None:
        same = np.array_equal(ours, theirs)
        off = np.abs(ours.astype(np.float64) - theirs).max()
        return Verdict(name, theirs.shape, off, np.nan, np.nan, 0.0 if same else np.inf)

    eps = float(np.finfo(theirs.dtype).eps)
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is a NaN, and a NaN fails
        gaps = np.asarray(np.abs(ours.astype(np.float64) - theirs))
        difference, top = float(gaps.max()), float(np.abs(theirs).max())
        if difference == 0:
            return Verdict(name, theirs.shape, 0.0, 0.0, 0.0, 0.0)
        of_max = difference / top / eps if top else np.inf
        # The norm in units of the largest element: squares of tiny numbers would underflow.
        of_norm = of_max / float(np.linalg.norm(theirs.astype(np.float64) / top)) if top else np.inf
    if theirs.ndim == 0:
        strict = of_max / LOSS_LIMIT
    else:
        strict = max(of_max / MAX_LIMIT, of_norm / NORM_LIMIT)
    verdict = Verdict(name, theirs.shape, difference, of_max, of_norm, strict)
    if verdict.ok or not np.isfinite(difference):
        return verdict
    with np.errstate(divide="ignore"):  # where nothing is allowed, a difference is ∞ times too much
        worst = float(np.divide(gaps, band(), out=np.zeros_like(gaps), where=gaps > 0).max())
    return Verdict(name, theirs.shape, difference, of_max, of_norm, strict, worst)


def compare_step(before, ours, theirs, optimiser):
    """Return the Verdicts on every tensor of two traces of a step, in the order of computation.

    What follows from a tensor that failed is judged strictly: nothing excuses it any more.

    Args:
        before: {"W1": array, "vW1": array, ...}, from which both sides started.
        ours, theirs: the two traces.
        optimiser: the `scratchnet.SGD`, for its lr, momentum and weight_decay.
    """
    verdicts = []
    for name, band in bands(before, ours, theirs, optimiser).items():
        if not all(verdict.ok for verdict in verdicts):
            band = band and _no_band
        verdicts.append(compare(name, ours.get(name), theirs[name], band))
    return verdicts


def _no_band():
    return 0.0


def bands(before, ours, theirs, optimiser):
    """Return {name: function that gives the rounding band, or None for the same bits}.

    The names stand in the order of computation, each beside the law it is computed by.
    """

    def pair(name):
        return ours[name], theirs[name]

    def gap(name):
        return np.abs(ours[name].astype(np.float64) - theirs[name])

    def linear(x, i):
        weights, bias = before[f"W{i}"], np.abs(before[f"b{i}"].astype(np.float64))
        return rounding.product_band(pair(x), (weights, weights), extra=bias, terms=1)

    def linear_dx(dy, i):
        weights = before[f"W{i}"].T
        return rounding.product_band(pair(dy), (weights, weights))

    def linear_dw(x, dy):
        return rounding.product_band(tuple(side.T for side in pair(x)), pair(dy))

    momentum, weight_decay = optimiser.momentum, optimiser.weight_decay

    def velocity(p):
        return rounding.velocity_band(
            pair(f"d{p}"), before[p], before[f"v{p}"], momentum, weight_decay
        )

    def parameter(p):
        return rounding.parameter_band(
            pair(f"d{p}"), before[p], before[f"v{p}"], optimiser.lr, momentum, weight_decay
        )

    last = sum(name.startswith("W") for name in before)
    z = [None, *(f"z{i}" for i in range(1, last)), "logits"]  # what Linear number i returns
    a = ["x", *(f"a{i}" for i in range(1, last))]  # what Linear number i + 1 takes

    law = {"x": None, "labels": None}
    for i in range(1, last + 1):
        law[z[i]] = partial(linear, a[i - 1], i)
        if i < last:
            law[a[i]] = partial(gap, z[i])
    law["loss"] = lambda: rounding.loss_band(pair("logits"), theirs["labels"])
    law["dlogits"] = lambda: rounding.dlogits_band(pair("logits"), pair("dlogits"))
    for i in range(last, 0, -1):
        law[f"dW{i}"] = partial(linear_dw, a[i - 1], f"d{z[i]}")
        law[f"db{i}"] = lambda dy=f"d{z[i]}": rounding.sum_band(pair(dy))
        if i > 1:
            law[f"da{i - 1}"] = partial(linear_dx, f"d{z[i]}", i)
            law[f"dz{i - 1}"] = partial(gap, f"da{i - 1}")
    for p in (f"{kind}{i}" for i in range(1, last + 1) for kind in "Wb"):
        if momentum:
            law[f"v{p}"] = partial(velocity, p)
        law[p] = partial(parameter, p)
    return law
