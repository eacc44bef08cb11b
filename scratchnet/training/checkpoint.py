"""Checkpoints: a trained network as a file, whole or not at all, and never another than was saved.

    {name: array}, state ──save──> model.safetensors ──load──> {name: array}, state

The file is a plain safetensors file, so other tools can read the weights, and loading runs no
code. The format checks lengths but no content; therefore a SHA-256 over every name, dtype, shape,
byte and the state stands in its metadata and is checked on loading.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from scratchnet.errors import CheckpointError
from scratchnet.files import write_atomically

FORMAT = 1
# One metadata entry only: safetensors keeps several in no fixed order, and equal runs shall leave
# equal files.
METADATA_KEY = "scratchnet"


def save(path, tensors, state):
    """Write the arrays {name: array} and the JSON-able dict `state`; OSError as there."""
    # safetensors writes the memory as it lies: anything but C order would come back scrambled
    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    text = json.dumps({"format": FORMAT, **state}, sort_keys=True)
    metadata = {METADATA_KEY: _digest(tensors, text) + text}
    write_atomically(path, safetensors.numpy.save(tensors, metadata))


def path_of(run):
    """Return the path of a run's checkpoint, given its folder or the checkpoint itself.

    CheckpointError for a folder without one.
    """
    path = Path(run)
    if not path.is_dir():
        return path
    if not (path / "model.safetensors").exists():
        raise CheckpointError(f"{path} holds no model.safetensors; name the folder of a run")
    return path / "model.safetensors"


def load(path):
    """Return the (tensors, state) that `save` was given.

    Raises:
        CheckpointError: no file, not one of ours, damaged, of a later format, or with weights that
            are not finite.
    """
    try:
        open(path, "rb").close()  # safetensors calls any file that it cannot open a missing one
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA_KEY, "")
            if not text:
                raise CheckpointError(f"{path} was not written by scratchnet")
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist; name a run or its model.safetensors"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except (safetensors.SafetensorError, TypeError) as error:  # TypeError: no dtype of NumPy
        what = f"no safetensors file, or damaged ({error})"
        raise CheckpointError(
            f"{path} is {what}; name the checkpoint of a run, or train anew"
        ) from error
    digest, text = text[:64], text[64:]
    if digest != _digest(tensors, text):
        way_out = "take a copy of it, or train anew"
        raise CheckpointError(f"{path} is damaged: it does not match its SHA-256; {way_out}")
    try:
        state = json.loads(text)
        written = state.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} was not written by scratchnet: {error}") from error
    if written != FORMAT:
        raise CheckpointError(f"{path} was written by another version of scratchnet")
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} holds numbers that are not finite")
    return tensors, state


def restore(targets, tensors, path):
    """Copy the loaded arrays into the arrays of `targets` {name: array}, in place.

    Raises:
        CheckpointError: names, shapes or dtypes differ: the file is of another network. Nothing
            has been copied then.
    """
    wanted = {name: (array.shape, str(array.dtype)) for name, array in targets.items()}
    found = {name: (array.shape, str(array.dtype)) for name, array in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointError(
                f"{path} is of another network: {name} is {found.get(name, 'missing')} there, "
                f"{wanted.get(name, 'unknown')} here"
            )
    for name, array in targets.items():
        array[...] = tensors[name]


def _digest(tensors, text):
    sha256 = hashlib.sha256(text.encode())
    for name, array in sorted(tensors.items()):
        # the line ends the header of each array, so no two contents give the same stream
        sha256.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        sha256.update(array.tobytes())
    return sha256.hexdigest()
