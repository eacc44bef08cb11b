"""Are two tensors the same? Equal up to rounding, and rounding has a size.

    strict    largest difference <= 128 eps max|t|  and  <= 64 eps ‖t‖   (the loss: <= 8 eps |loss|)
    band      every element's difference <= its rounding band (see `rounding`)
    exact     the same bits: images, labels, what is counted, what no optimiser moves

A tensor has to pass the strict criterion. Where it does not since its terms cancel, such as p - 1
of a confident network, it has to lie inside its band element by element, and the report says so.
Nothing has an absolute tolerance, and a NaN fails each comparison.
"""

from dataclasses import dataclass

import numpy as np

from scratchnet.checking.trace import layer_names
from torch_ref.lockstep.layer_bounds import LAWS

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


def compare_step(lockstep, before, ours, theirs):
    """Return the Verdicts on every tensor of two traces of a step, in the order of computation.

    What follows from a tensor that failed is judged strictly: nothing excuses it any more.

    Args:
        lockstep: the two networks, each with its optimiser, and the loss.
        before: {"W1": array, "vW1": array, ...}, from which both sides started.
        ours, theirs: the two traces.
    """
    verdicts = []
    for name, band in bands(lockstep, before, ours, theirs).items():
        if not all(verdict.ok for verdict in verdicts):
            band = band and _no_band
        verdicts.append(compare(name, ours.get(name), theirs[name], band))
    return verdicts


def _no_band():
    return 0.0


def bands(lockstep, before, ours, theirs):
    """Return {name: function that gives the rounding band, or None for the same bits}.

    The names stand in the order of computation, each beside the law it is computed by.
    """

    def pair(name):
        return ours[name], theirs[name]

    layers = list(lockstep.network.layers)
    while not hasattr(layers[-1], "W"):  # the logits are the last sums; more is a mistake
        layers.pop()
    outputs = layer_names(layers)
    inputs = ["x", *outputs[:-1]]
    numbers = np.cumsum([hasattr(layer, "W") for layer in layers]).tolist()
    laws = [
        LAWS[type(layer).__name__](pair, layer, x, f"d{y}", before[f"W{i}"], before[f"b{i}"])
        for layer, x, y, i in zip(layers, inputs, outputs, numbers, strict=True)
    ]

    law = dict.fromkeys(name for name in ("x", "labels") if name in ours)
    law |= {y: of["y"] for y, of in zip(outputs, laws, strict=True)}
    law["loss"] = lambda: lockstep.loss.value(pair("logits"), theirs["labels"])
    law["dlogits"] = lambda: lockstep.loss.gradient(pair("logits"), pair("dlogits"))
    for x, i, of in reversed(list(zip(inputs, numbers, laws, strict=True))):
        law |= {f"{kind}{i}": of[kind] for kind in ("dW", "db") if kind in of}
        if x != "x":  # nobody needs the gradient of the images
            law[f"d{x}"] = of["dx"]
    law |= dict.fromkeys(lockstep.beside.counts)
    for p in (f"{kind}{i}" for i in range(1, numbers[-1] + 1) for kind in "Wb"):
        law |= lockstep.beside.bands(p, pair, before) if p in lockstep.moved else {p: None}
    return law
