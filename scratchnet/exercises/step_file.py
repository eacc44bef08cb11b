"""The file of a training step that somebody saved, from any framework or language.

    step.npz: x, labels, W1, b1, ... and whatever the step computed ──> SavedStep

README.md beside this file says which names a file may hold.

In the comments: B images, I inputs, O outputs.
"""

import re
import zipfile
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np

from scratchnet.errors import DataError, UsageError


@dataclass(frozen=True)
class SavedStep:
    """A step as a file has it, with weights as (I, O) and rows of pixels."""

    x: np.ndarray  # (B,I)
    labels: np.ndarray  # (B,)
    before: dict  # W1, b1, ..., and vW1, vb1, ...
    given: dict  # the tensors to be judged, in the order of computation
    lr: float | None
    momentum: float
    weight_decay: float
    unjudged: tuple = ()  # names of what follows the last layer: z3 of three layers

    @property
    def layers(self):
        return sum(name[0] == "W" for name in self.before)

    @property
    def dtype(self):
        return self.before["W1"].dtype


def load(path, weights=None):
    """Read a step from an .npz file.

    Args:
        weights: "io" if they are (inputs, outputs), "oi" if they are (outputs, inputs); None to
            find out by their shapes.

    Raises:
        DataError: no such file, or one that holds no step, nothing to judge or a name that is
            unknown; the message says what is missing or wrong.
        UsageError: square weights, which may be either.
    """
    arrays = _arrays(path)
    last = 1
    while f"W{last + 1}" in arrays:
        last += 1
    _refuse_unknown(path, arrays, last)
    for name in ("x", "labels", "W1", "b1"):
        if name not in arrays:
            raise DataError(f"{path} holds no {name!r}: x, labels, W1, b1, W2, ... are needed")
    _squeeze(arrays)
    dtype = arrays["W1"].dtype
    if dtype not in (np.float32, np.float64):
        raise DataError(f"{path}: W1 is {dtype}, not float32 or float64")
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
    given = {name: arrays[name] for name in names(last) if name in arrays}
    if not given:
        raise DataError(f"{path} holds nothing to judge: no logits, loss, dW1, W1_after, ...")
    if turned:
        for tensors in (before, given):
            for name, array in tensors.items():
                if re.fullmatch(r"v?d?W\d+(_after)?", name) and array.ndim == 2:
                    tensors[name] = array.T
    velocity = next((name for name in given if name[0] == "v"), None)
    if velocity and not scalars["momentum"]:
        raise DataError(f"{path} holds {velocity}, and no 'momentum' that is not 0")
    if scalars["lr"] is None and any(name.endswith("_after") for name in given):
        raise DataError(f"{path} holds parameters after the step, and no 'lr'")
    _check_shapes(path, x, before, last)
    _check_labels(path, labels, classes=before[f"b{last}"].size)
    return SavedStep(
        x,
        labels,
        before,
        given,
        scalars["lr"],
        scalars["momentum"] or 0.0,
        scalars["weight_decay"] or 0.0,
        tuple(name for name in _of_the_output(last) if name in arrays),
    )


def _arrays(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path}: {error.strerror}") from error
        raise DataError(f"{path} is no .npz file of arrays; numpy.savez writes one") from error


def _refuse_unknown(path, arrays, last):
    """A misspelt name would pass for one that was left out, and so for right."""
    start = [f"{kind}{i}" for kind in ("W", "b", "vW", "vb") for i in range(1, last + 1)]
    known = ["x", "labels", "lr", "momentum", "weight_decay", *start, *names(last)]
    for name in sorted(arrays.keys() - {*known, *_of_the_output(last)}):
        nearest = max(
            known, key=lambda one: SequenceMatcher(None, name.lower(), one.lower()).ratio()
        )
        raise DataError(
            f"{path}: {name!r} is the name of nothing in a step of a network with "
            f"{last} layer{'s' * (last > 1)}; the nearest one is {nearest!r}"
        )


def _of_the_output(last):
    """The names that z, a and their gradients would have in the last layer: logits has its place.

    Some save them, with or without a ReLU or a softmax; so they are not judged.
    """
    return [f"{kind}{last}" for kind in ("z", "a", "da", "dz")]


def _squeeze(arrays):
    """A loss may be (1,), and biases may be rows (1, O), if all that belongs to them is as well."""
    if "loss" in arrays and arrays["loss"].size == 1:
        arrays["loss"] = arrays["loss"].reshape(())
    for name in [name for name in arrays if re.fullmatch(r"b\d+", name)]:
        if arrays[name].ndim == 2 and 1 in arrays[name].shape:
            shape = arrays[name].shape
            for key in (name, f"v{name}", f"d{name}", f"{name}_after", f"v{name}_after"):
                if key in arrays and arrays[key].shape == shape:
                    arrays[key] = arrays[key].ravel()


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
    if labels.ndim == 2 and labels.shape[0] == len(x):
        onehot = labels.shape[1] > 1
        labels = labels.argmax(axis=1) if onehot else labels[:, 0]  # (B,C) or (B,1) -> (B,)
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


def _check_labels(path, labels, classes):
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        shifted = f": are they from 1 to {classes}?" if low > 0 and high == classes else ""
        raise DataError(
            f"{path}: labels go from {low} to {high}, not from 0 to {classes - 1}{shifted}"
        )


def names(last):
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
