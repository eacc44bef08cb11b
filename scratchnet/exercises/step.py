"""One training step that somebody saved, from any framework or language: what is wrong with it?

    step.npz: x, labels, W1, b1, ... and whatever the step computed ──> the first wrong tensor,
                                                                        and the mistake that it is

The step is computed again from what it started from: in the file's precision and in float64, which
tells how much rounding explains. `step_file` reads it.

In the comments: B images, I inputs, O outputs, L layers.
"""

import re
from contextlib import suppress

import numpy as np

from scratchnet.checking.bugs import BUGS
from scratchnet.checking.comparison import MAX_LIMIT, compare
from scratchnet.checking.layer_bounds import LOSSES, step_bounds
from scratchnet.checking.trace import short, watch
from scratchnet.exercises import implementation
from scratchnet.exercises.check import Check, describe
from scratchnet.exercises.diagnosis import explain
from scratchnet.exercises.relation import Known, relation
from scratchnet.exercises.step_file import load

__all__ = ["diagnose", "load"]

SLACK = 8  # for errors of inputs that the file does not show: they are estimated, not measured
FILES = {"nn/layers.py", "nn/losses.py", "nn/network.py", "nn/optim.py"}  # that a step runs
UNDECIDED = 64  # ReLUs so near to 0 that rounding decides: both sides are tried of so many, at most


# Computing it again


def recompute(nn, step, dtype, sides=None):
    """Return the trace of the step by an Implementation, in a dtype.

    Args:
        sides: {"z1": mask (B, O)} of ReLUs that are to be on or off, whatever their z.
    """
    sizes = [step.x.shape[1], *(step.before[f"b{i}"].size for i in range(1, step.layers + 1))]
    network = nn.network.MLP(sizes, rng=np.random.default_rng(0), dtype=dtype)
    for name, p in short(network.parameters()).items():
        p[...] = step.before[name]
    optimiser = nn.optim.SGD(network, step.lr or 1.0, step.momentum, step.weight_decay)
    for name, v in short(optimiser.velocities if step.momentum else (), "v").items():
        v[...] = step.before[name]
    for number, layer in enumerate(network.layers):
        mask = (sides or {}).get(f"z{(number + 1) // 2}")
        if number % 2 and mask is not None:
            layer.forward = _sided(layer, layer.forward, mask)

    def learn():
        logits = network.forward(step.x.astype(dtype))
        loss, dlogits = nn.losses.softmax_cross_entropy(logits, step.labels)
        network.backward(dlogits)
        optimiser.step()
        return loss

    with np.errstate(all="ignore"):
        trace = watch(network, optimiser, learn)
    return {
        re.sub(r"^(v?[Wb]\d+)$", r"\1_after", name): array for name, array in trace.items()
    }, network


def _sided(layer, forward, mask):
    def sided(x):
        y = forward(x)
        layer.mask = mask
        return y

    return sided


class Expectation:
    """The right tensors of a step, and how far from them rounding may carry each element."""

    def __init__(self, step, sides=None):
        nn = implementation.ours()
        self.step = step
        self.single, network = recompute(nn, step, step.dtype, sides)
        self.exact, _ = recompute(nn, step, np.float64, sides)
        rounded = {
            name: array.astype(step.dtype) if array.dtype.kind == "f" else array
            for name, array in self.exact.items()
        }
        rounded |= {"labels": step.labels}
        single = self.single | {"labels": step.labels}
        before = step.before
        self.tensors = rounded
        bounds = step_bounds(
            network, LOSSES["softmax_cross_entropy"], lambda *_: {}, before, single, rounded
        )
        self.bounds = {name: bound for name, bound in bounds.items() if bound}
        self.comparisons = {}
        for name in step.given:  # in the order of computation: gradients before updates
            self.comparisons[name] = self._compare(name)

    def wrong(self):
        """Return the names of what is wrong, in the order of computation."""
        return [name for name, comparison in self.comparisons.items() if not comparison.ok]

    def elements_off(self):
        """Count the elements that rounding does not explain."""
        count = 0
        for name in self.wrong():
            theirs, right = self.step.given[name], self.exact[name]
            if theirs.shape == right.shape and theirs.dtype.kind == "f":
                count += int((~(np.abs(theirs - right) <= self.allowed(name))).sum())
        return count

    def allowed(self, name):
        """Return how far rounding may carry each element of a tensor."""
        if name.endswith("_after"):
            return self._allowed_after(name)
        return SLACK * self.bounds[name]()

    def _compare(self, name):
        """Return the Comparison of a given tensor with the right one."""
        theirs, right = self.step.given[name], self.tensors[name]
        if theirs.dtype.kind == "f" and theirs.shape == right.shape:
            theirs = theirs.astype(right.dtype)
        updated = name.endswith("_after")
        return compare(name, theirs, right, lambda: self.allowed(name), updated=updated)

    def _allowed_after(self, name):
        """Of an update its own rounding is excused, and what its gradient may be, or is, off by."""
        step, p = self.step, name.removesuffix("_after").lstrip("v")
        right, eps = self.exact[f"d{p}"], float(np.finfo(self.step.dtype).eps)  # (I,O) or (O,)
        if f"d{p}" in self.comparisons and self.comparisons[f"d{p}"].ok:
            off = np.abs(step.given[f"d{p}"] - right)
        else:
            off = np.maximum(SLACK * self.bounds[f"d{p}"](), MAX_LIMIT * eps * np.abs(right).max())
        before = step.before[p].astype(np.float64)
        v = np.abs(step.before.get(f"v{p}", np.zeros_like(before)).astype(np.float64))
        size = np.abs(right) + step.weight_decay * np.abs(before) + step.momentum * v
        moved = 8 * eps * size + off
        if name[0] != "v":
            moved = 4 * eps * np.abs(before) + (step.lr or 1.0) * moved
        return moved


def expect(step):
    """Return the Expectation of a step, with ReLUs on the side of 0 where the file has them.

    Rounding decides on which side a z within rounding of 0 falls. The file's own z or a tells;
    where it has neither, a ReLU is put on the other side if more of the file is right then.
    """
    plain = Expectation(step)
    sides = {f"z{i}": plain.exact[f"z{i}"] > 0 for i in range(1, step.layers)}
    unknown, moved = [], False
    for i in range(1, step.layers):
        z, side = plain.exact[f"z{i}"], sides[f"z{i}"]  # (B,O)
        near = np.abs(z) <= SLACK * plain.bounds[f"z{i}"]()
        shown = step.given.get(f"z{i}", step.given.get(f"a{i}"))
        if shown is not None and shown.shape == z.shape:
            moved |= bool((near & (side != (shown > 0))).any())
            side[near] = shown[near] > 0
        else:
            near &= (z != 0) | (plain.single[f"z{i}"] != 0)  # an exact 0 is no accident
            unknown += [(side, tuple(place)) for place in np.argwhere(near)]
    best = Expectation(step, sides) if moved or unknown else plain
    off = best.elements_off()
    for side, place in unknown[:UNDECIDED] if off else ():
        side[place] ^= True
        other = Expectation(step, sides)
        if other.elements_off() < off:
            best, off = other, other.elements_off()
        else:
            side[place] ^= True
    return best


# The judgement


def diagnose(step):
    """Return the Checks of the tensors that a step gives, in the order of computation."""
    expectation = expect(step)
    wrong = expectation.wrong()
    named = _replay(step, expectation, wrong)
    checks = []
    for name, comparison in expectation.comparisons.items():
        theirs, right = step.given[name], expectation.exact[name]
        if comparison.ok:
            excess = comparison.excess if comparison.difference else 0
            checks.append(Check(name, True, f"ok, {excess:.1g} of what rounding explains"))
            continue
        kin = relation(_as_float64(theirs), right, _known(name, step, expectation))
        found, first = named.get(name, []), name == wrong[0]
        message = describe(_as_float64(theirs), right, kin, found, first)
        if not first and not found:
            message += f" It may follow from {wrong[0]}."
        checks.append(Check(name, False, message, kin, found))
    unjudged = "not judged: of the last layer it is `logits` and `dlogits`"
    return checks + [Check(name, True, unjudged) for name in step.unjudged]


def _as_float64(array):
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _known(name, step, expectation):
    """Return what is `Known` about a tensor of a step."""
    top = np.abs(expectation.exact[name]).max() or 1.0
    allowed = float(np.max(expectation.allowed(name))) / top
    rounding = min(max(allowed, 64 * float(np.finfo(step.dtype).eps)), 1e-3)
    sizes = {f"b{i}": step.before[f"b{i}"].size for i in range(1, step.layers + 1)}
    sizes |= {"batch": len(step.x), "inputs": step.x.shape[1]}
    rates = {"lr": step.lr or 1.0, "momentum": step.momentum}
    rates["1 - momentum"] = 1 - step.momentum
    factors = {key: float(n) for key, n in (sizes | rates).items() if n not in (0, 1)}
    after = name.endswith("_after")
    start = step.before.get(name.removesuffix("_after")) if after else None
    sources = {"x": step.x, **step.before}
    sources |= {key: array for key, array in expectation.exact.items() if key != name}
    sources = {key: array for key, array in sources.items() if key not in ("loss", "labels")}
    return Known(factors, None, start, sources, rounding)


def _replay(step, expectation, wrong):
    """Return {name: [mistakes]}: which of the catalogue leave all their traces in this step."""

    def replay(*names):
        nn = implementation.with_bugs(*(bug for bug in BUGS if bug.name in names), lr=step.lr)
        exact, _ = recompute(nn, step, np.float64)
        single, _ = recompute(nn, step, step.dtype) if step.dtype != np.float64 else (exact, None)
        return exact, single

    def left(traces):
        return [name for name in step.given if _differs(name, *_of(name, traces), expectation)]

    def same_at(name, traces):
        return _equals(name, step.given[name], *_of(name, traces), expectation)

    catalogue = {}
    for bug in BUGS if wrong else ():
        if bug.model == "mlp" and bug.file in FILES:
            with suppress(ValueError, TypeError, KeyError):  # such would not have come so far
                catalogue[bug.name] = replay(bug.name)
    return explain(wrong, catalogue, left, same_at, replay)


def _of(name, traces):
    return [trace.get(name) for trace in traces]


def _differs(name, mutant, single, expectation):
    right = expectation.exact[name]
    if mutant is None or mutant.shape != right.shape or not np.isfinite(single).all():
        return True
    allowed = _tolerance(name, right, expectation.single[name], expectation)
    return not (np.abs(mutant - right) <= allowed).all()


def _equals(name, theirs, mutant, single, expectation):
    if mutant is None or theirs.shape != mutant.shape or theirs.dtype.kind != "f":
        return False
    finite = np.isfinite(mutant) & np.isfinite(single)
    if not np.array_equal(theirs[~finite], single[~finite], equal_nan=True):
        return False
    allowed = np.broadcast_to(_tolerance(name, mutant, single, expectation), mutant.shape)
    return bool((np.abs(theirs.astype(np.float64) - mutant)[finite] <= allowed[finite]).all())


def _tolerance(name, array, single, expectation):
    """Per element: 512 eps of the largest, of an update less: the eps of what it started from.

    More where the file's precision has done more to it, but never over a thousandth.
    """
    step = expectation.step
    eps = float(np.finfo(step.dtype).eps)
    finite = np.isfinite(array) & np.isfinite(single)
    top = np.abs(array[finite]).max(initial=0)
    lost = np.abs(array - single)[finite].max(initial=0)
    lost = min(4 * lost, top / 1000)
    if name.endswith("_after"):
        p = name.removesuffix("_after").lstrip("v")
        before = np.abs(step.before[p].astype(np.float64))
        scale = (step.lr or 1.0) if name[0] != "v" else 1.0
        steepest = np.abs(expectation.exact[f"d{p}"]).max()
        return np.maximum(8 * eps * before + 64 * eps * scale * steepest, lost)
    return max(512 * eps * top, lost)
