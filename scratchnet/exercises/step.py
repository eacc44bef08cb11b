"""One training step that somebody saved, from any framework or language: what is wrong with it?

    step.npz: x, labels, W1, b1, ... and whatever the step computed ──> the first wrong tensor,
                                                                        and the mistake that it is

The step is computed again from what it started from: in the file's precision and in float64, which
tells how much rounding explains. README.md beside this file says which names a file may hold.

In the comments: B images, I inputs, O outputs, L layers.
"""

import re
import zipfile
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from scratchnet.checking.bugs import BUGS
from scratchnet.checking.comparison import compare
from scratchnet.checking.layer_bounds import LOSSES, step_bounds
from scratchnet.checking.trace import watch
from scratchnet.errors import DataError, UsageError
from scratchnet.exercises import implementation
from scratchnet.exercises.check import Check, describe
from scratchnet.exercises.relation import relation

SLACK = 8  # for errors of inputs that the file does not show: they are estimated, not measured
FILES = {"nn/layers.py", "nn/losses.py", "nn/network.py", "nn/optim.py"}  # that a step runs
UNDECIDED = 4  # ReLUs so near to 0 that rounding decides: both sides are tried of so many, at most


@dataclass(frozen=True)
class SavedStep:
    """A step as a file has it, with weights as (I, O) and rows of pixels."""

    x: np.ndarray  # (B,I)
    labels: np.ndarray  # (B,)
    before: dict  # W1, b1, ..., and vW1, vb1, ...
    given: dict  # the tensors to be judged
    lr: float | None
    momentum: float
    weight_decay: float

    @property
    def layers(self):
        return sum(name[0] == "W" for name in self.before)

    @property
    def dtype(self):
        return self.before["W1"].dtype


# Reading a file


def load(path, weights=None):
    """Read a step from an .npz file.

    Args:
        weights: "io" if they are (inputs, outputs), "oi" if they are (outputs, inputs); None to
            find out by their shapes.

    Raises:
        DataError: no such file, or one that holds no step; the message says what is missing.
        UsageError: square weights, which may be either.
    """
    arrays = _arrays(path)
    for name in ("x", "labels", "W1", "b1"):
        if name not in arrays:
            raise DataError(f"{path} holds no {name!r}: x, labels, W1, b1, W2, ... are needed")
    dtype = arrays["W1"].dtype
    if dtype not in (np.float32, np.float64):
        raise DataError(f"{path}: W1 is {dtype}, not float32 or float64")
    last = 1
    while f"W{last + 1}" in arrays:
        last += 1
    scalars = {
        key: _scalar(path, arrays.pop(key, None), key) for key in ("lr", "momentum", "weight_decay")
    }
    x, labels = _batch(path, arrays, dtype)
    before, given = {}, {}
    turned = _outputs_first(path, arrays, x.shape[1], last, weights)
    for i in range(1, last + 1):
        for letter in "Wb":
            name = f"{letter}{i}"
            if name not in arrays:
                raise DataError(f"{path} holds W{i} and no b{i}")
            before[name] = arrays.pop(name).astype(dtype)
            velocity = arrays.pop(f"v{name}", None)
            if scalars["momentum"]:
                start = np.zeros_like(before[name]) if velocity is None else velocity
                before[f"v{name}"] = start.astype(dtype)
    given = {name: arrays[name] for name in _names(last) if name in arrays}
    if turned:
        for tensors in (before, given):
            for name, array in tensors.items():
                if re.fullmatch(r"v?d?W\d+(_after)?", name) and array.ndim == 2:
                    tensors[name] = array.T
    if scalars["lr"] is None and any(name.endswith("_after") for name in given):
        raise DataError(f"{path} holds parameters after the step, and no 'lr'")
    _check_shapes(path, x, before, last)
    return SavedStep(
        x,
        labels,
        before,
        given,
        scalars["lr"],
        scalars["momentum"] or 0.0,
        scalars["weight_decay"] or 0.0,
    )


def _arrays(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path}: {error.strerror}") from error
        raise DataError(f"{path} is no .npz file of arrays; numpy.savez writes one") from error


def _scalar(path, value, name):
    if value is None:
        return None
    if value.size != 1 or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise DataError(f"{path}: {name} is {value.dtype} {value.shape}, not one finite number")
    return float(value.reshape(()))


def _batch(path, arrays, dtype):
    x, labels = arrays.pop("x"), arrays.pop("labels")
    if x.dtype.kind not in "fiu" or x.ndim < 2 or not len(x):
        raise DataError(f"{path}: x is {x.dtype} {x.shape}, not images (B, inputs)")
    x = x.reshape(len(x), -1).astype(dtype)  # (B,I)
    if labels.ndim == 2 and labels.shape[0] == len(x) and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)  # onehot (B,C) -> (B,)
    if labels.shape != (len(x),) or not np.array_equal(labels, labels.astype(np.int64)):
        raise DataError(
            f"{path}: labels are {labels.dtype} {labels.shape}, not integers ({len(x)},)"
        )
    return x, labels.astype(np.int64)


def _outputs_first(path, arrays, inputs, last, weights):
    """Tell whether the weights are (O, I), by --weights or by their shapes."""
    if weights:
        return weights == "oi"
    fits = {"io": True, "oi": True}
    for i in range(1, last + 1):
        W, b = arrays[f"W{i}"], arrays.get(f"b{i}")
        if b is None:
            raise DataError(f"{path} holds W{i} and no b{i}")
        fits["io"] &= W.shape == (inputs, b.size)
        fits["oi"] &= W.shape == (b.size, inputs)
        inputs = b.size
    if fits["io"] and fits["oi"]:
        raise UsageError("all weights are square: say --weights io for (inputs, outputs), or oi")
    if not fits["io"] and not fits["oi"]:
        shapes = ", ".join(f"W{i} {arrays[f'W{i}'].shape}" for i in range(1, last + 1))
        raise DataError(f"{path}: the weights do not follow one another: {shapes}")
    return fits["oi"]


def _check_shapes(path, x, before, last):
    sizes = [x.shape[1], *(before[f"b{i}"].size for i in range(1, last + 1))]
    for i, shape in enumerate(pairwise(sizes), start=1):
        for name, expected in ((f"W{i}", shape), (f"b{i}", shape[1:])):
            for kind in ("", "v"):
                array = before.get(kind + name)
                if array is not None and array.shape != expected:
                    raise DataError(
                        f"{path}: {kind + name} has the shape {array.shape}, not {expected}"
                    )
        if not all(np.isfinite(before[f"{k}{i}"]).all() for k in "Wb"):
            raise DataError(f"{path}: W{i} or b{i} is not finite before the step")


def _names(last):
    """The tensors that a step of so many layers computes, in the order of computation."""
    numbers = range(1, last + 1)
    names = [name for i in numbers[:-1] for name in (f"z{i}", f"a{i}")]
    names += ["logits", "loss", "dlogits"]
    for i in reversed(numbers):
        names += [f"dW{i}", f"db{i}"]
        if i > 1:
            names += [f"da{i - 1}", f"dz{i - 1}"]
    for i in numbers:
        names += [f"vW{i}_after", f"vb{i}_after", f"W{i}_after", f"b{i}_after"]
    return names


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
    names = [name for name in _names(step.layers) if name in step.given]
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
