"""One training step that somebody saved, from any framework or language: what is wrong with it?

    step.npz: x, labels, W1, b1, ... and whatever the step computed ──> the first wrong tensor,
                                                                        and the mistake that it is

The step is computed again from what it started from: in the file's precision and in float64, which
tells how much rounding explains. `step_file` reads it.

In the comments: B images, I inputs, O outputs, L layers.
"""

import re
from itertools import product

import numpy as np

from scratchnet.checking.bugs import BUGS
from scratchnet.checking.comparison import compare
from scratchnet.checking.layer_bounds import LOSSES, step_bounds
from scratchnet.checking.trace import watch
from scratchnet.exercises import implementation
from scratchnet.exercises.check import Check, describe
from scratchnet.exercises.diagnosis import explain
from scratchnet.exercises.relation import Known, relation
from scratchnet.exercises.step_file import load, names

__all__ = ["diagnose", "load"]

SLACK = 8  # for errors of inputs that the file does not show: they are estimated, not measured
FILES = {"nn/layers.py", "nn/losses.py", "nn/network.py", "nn/optim.py"}  # that a step runs
UNDECIDED = 4  # ReLUs so near to 0 that rounding decides: both sides are tried of so many, at most


# Computing it again


def recompute(nn, step, dtype, sides=None):
    """Return the trace of the step by an Implementation, in a dtype.

    Args:
        sides: {"z1": mask (B, O)} of ReLUs that are to be on or off, whatever their z.
    """
    sizes = [step.x.shape[1], *(step.before[f"b{i}"].size for i in range(1, step.layers + 1))]
    network = nn.network.MLP(sizes, rng=np.random.default_rng(0), dtype=dtype)
    for name, p in network.parameters():
        p[...] = step.before[_short(name)]
    optimiser = nn.optim.SGD(network, step.lr or 1.0, step.momentum, step.weight_decay)
    for name, v in optimiser.velocities if step.momentum else ():
        v[...] = step.before["v" + _short(name)]
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


def _short(name):
    """ "linear1.W" -> "W1"."""
    layer, letter = name.split(".")
    return letter + re.sub(r"\D", "", layer)


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

    def compare(self, name):
        """Return the Comparison of a given tensor with the right one."""
        theirs = self.step.given[name]
        right = self.tensors[name]
        if theirs.dtype.kind in "f" and theirs.shape == right.shape:
            theirs = theirs.astype(right.dtype)
        if name.endswith("_after"):
            return self._updated(name, theirs)
        return compare(name, theirs, right, lambda: SLACK * self.bounds[name]())

    def _updated(self, name, theirs):
        """Of an update only its own rounding is excused, and that of the gradient it was given."""
        step, p = self.step, name.removesuffix("_after").lstrip("v")
        g = step.given.get(f"d{p}")
        right = self.exact[f"d{p}"]  # (I,O) or (O,)
        off = SLACK * self.bounds[f"d{p}"]()
        if g is not None and g.shape == right.shape:
            off = np.minimum(off, np.abs(g - right))
        before = step.before[p].astype(np.float64)
        v = np.abs(step.before.get(f"v{p}", np.zeros_like(before)).astype(np.float64))
        size = np.abs(right) + step.weight_decay * np.abs(before) + step.momentum * v
        eps = float(np.finfo(step.dtype).eps)
        moved = 8 * eps * size + off
        if name[0] != "v":
            moved = 4 * eps * np.abs(before) + (step.lr or 1.0) * moved
        return _within(name, theirs, self.exact[name], moved)


def _within(name, theirs, right, allowed):
    """Return a Comparison by an error bound alone."""
    comparison = compare(
        name,
        theirs,
        right.astype(theirs.dtype) if theirs.dtype.kind == "f" else right,
        lambda: allowed,
    )
    if np.isnan(comparison.strict):
        return comparison
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = np.abs(theirs.astype(np.float64) - right)
        ratio = np.divide(gaps, allowed, out=np.zeros_like(gaps), where=gaps > 0)
    worst = float(ratio.max()) if np.isfinite(theirs).all() else np.inf
    return type(comparison)(
        name, right.shape, comparison.difference, comparison.of_max, comparison.of_norm, worst
    )


def expectations(step):
    """Yield the Expectation, and again for each other side that rounding may have put a ReLU on."""
    plain = Expectation(step)
    undecided = []
    for i in range(1, step.layers):
        z = plain.exact[f"z{i}"]  # (B,O)
        near = np.abs(z) <= SLACK * plain.bounds[f"z{i}"]()
        near &= (z != 0) | (plain.single[f"z{i}"] != 0)  # an exact 0 is no accident
        undecided += [(f"z{i}", *place) for place in np.argwhere(near).tolist()]
    yield plain
    if not undecided or step.dtype == np.float64 or len(undecided) > UNDECIDED:
        return
    for flips in product((False, True), repeat=len(undecided)):
        if any(flips):
            sides = {f"z{i}": plain.exact[f"z{i}"] > 0 for i in range(1, step.layers)}
            for (name, *place), flip in zip(undecided, flips, strict=True):
                sides[name][tuple(place)] ^= flip
            yield Expectation(step, sides)


# The judgement


def diagnose(step):
    """Return the Checks of the tensors that a step gives, in the order of computation."""
    names = [name for name in names(step.layers) if name in step.given]
    best = None
    for expectation in expectations(step):
        comparisons = [expectation.compare(name) for name in names]
        right = sum(c.ok for c in comparisons)
        if best is None or right > best[0]:
            best = right, expectation, comparisons
        if right == len(names):
            break
    _, expectation, comparisons = best
    wrong = [c.name for c in comparisons if not c.ok]
    named = _replay(step, expectation, names, wrong) if wrong else {}
    checks = []
    for comparison in comparisons:
        name, theirs, right = (
            comparison.name,
            step.given[comparison.name],
            expectation.exact[comparison.name],
        )
        if comparison.ok:
            excess = comparison.excess if comparison.difference else 0
            checks.append(Check(name, True, f"ok, {excess:.1g} of what rounding explains"))
            continue
        kin = relation(_as_float64(theirs), right, _factors(step), rounding=_rounding(step))
        found = named.get(name, [])
        first = name == wrong[0]
        message = describe(theirs, right, kin, found, first)
        if not first and not found:
            message += f" It may follow from {wrong[0]}."
        checks.append(Check(name, False, message, kin, found))
    return checks


def _as_float64(array):
    return array.astype(np.float64) if array.dtype.kind in "fiu" else array


def _rounding(step):
    """Relative to the largest element, what rounding may have done in the precision of the file."""
    return 1e-3 if step.dtype == np.float32 else 1e-10


def _factors(step):
    lengths = {
        len(step.x),
        step.x.shape[1],
        *(step.before[f"b{i}"].size for i in range(1, step.layers + 1)),
    }
    factors = {2.0, *(float(n) for n in lengths if n > 1)}
    factors |= {step.lr} if step.lr else set()
    return factors | ({step.momentum, 1 - step.momentum} if step.momentum else set())


def _replay(step, expectation, names, wrong):
    """Return {name: [mistakes]}: which of the catalogue leave all their traces in this step."""
    found = {name: [] for name in wrong}
    for bug in BUGS:
        if bug.model != "mlp" or bug.file not in FILES:
            continue
        try:
            trace, _ = recompute(implementation.with_bug(bug, step.lr), step, np.float64)
        except (ValueError, TypeError, KeyError):
            continue  # such a mistake would not have got as far as this file
        traces = [name for name in names if _differs(name, trace.get(name), expectation)]
        if traces and all(
            name in found and _equals(name, step.given[name], trace[name], expectation)
            for name in traces
        ):
            for name in traces:
                found[name].append(bug.name)
    return found


def _differs(name, array, expectation):
    right = expectation.exact[name]
    return (
        array is None
        or array.shape != right.shape
        or not (np.abs(array - right) <= _tolerance(name, right, expectation)).all()
    )


def _equals(name, theirs, mutant, expectation):
    if mutant is None or theirs.shape != mutant.shape or theirs.dtype.kind != "f":
        return False
    finite = np.isfinite(mutant)
    if not np.array_equal(theirs[~finite], mutant[~finite], equal_nan=True):
        return False
    allowed = np.broadcast_to(_tolerance(name, mutant, expectation), mutant.shape)
    return bool((np.abs(theirs.astype(np.float64) - mutant)[finite] <= allowed[finite]).all())


def _tolerance(name, array, expectation):
    """Per element: 512 eps of the largest, of an update less: the eps of what it started from."""
    step = expectation.step
    eps = float(np.finfo(step.dtype).eps)
    if name.endswith("_after"):
        p = name.removesuffix("_after").lstrip("v")
        before = np.abs(step.before[p].astype(np.float64))
        scale = (step.lr or 1.0) if name[0] != "v" else 1.0
        top = np.abs(expectation.exact[f"d{p}"]).max()
        return 8 * eps * before + 64 * eps * scale * top
    finite = array[np.isfinite(array)]
    return 512 * eps * np.abs(finite).max(initial=0)
