"""A file that is no checkpoint of ours, or not of this network: 4, in one line, and no code run."""

import json
import pickle
import struct
import sys

import numpy as np
import pytest
import safetensors.numpy

from scratchnet.errors import CheckpointError
from scratchnet.training import checkpoint
from tests.conftest import ROOT, run_module
from tests.faults.catalogue import as_an_ordinary_user, refused


def shift(content, **header):
    """The safetensors file with another header, its length before it."""
    n = struct.unpack("<Q", content[:8])[0]
    text = json.dumps(json.loads(content[8 : 8 + n]) | header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + n :]


class Bomb:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self):
        return (exec, ("open('unpickled', 'w')",))


# What becomes of the bytes of a good checkpoint, and what the refusal says beside its name.
BYTES = {
    "empty": (lambda b: b"", "damaged"),
    "truncated": (lambda b: b[: len(b) // 2], "damaged"),
    "cut off by a byte": (lambda b: b[:-1], "damaged"),
    "a byte too long": (lambda b: b + b"\0", "damaged"),
    "one bit of a weight": (lambda b: b[:-1000] + bytes([b[-1000] ^ 1]) + b[-999:], "SHA-256"),
    "a pickle": (lambda b: pickle.dumps(Bomb()), "damaged"),
    "a header of 2^60 bytes": (lambda b: struct.pack("<Q", 2**60) + b[8:], "damaged"),
    "a header longer than the file": (lambda b: struct.pack("<Q", len(b)) + b[8:], "damaged"),
    "a tensor larger than the file": (
        lambda b: shift(b, huge={"dtype": "F32", "shape": [2**60], "data_offsets": [0, 2**62]}),
        "damaged",
    ),
    "no metadata": (lambda b: shift(b, __metadata__={}), "not written by scratchnet"),
}


@pytest.mark.parametrize("damage", BYTES)
def test_a_damaged_file_is_4(trained, tmp_path, digits_folder, damage):
    change, words = BYTES[damage]
    path = trained / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))
    options = ("--resume", path, "--data-dir", digits_folder)
    refused(4, [str(path), words], "scratchnet.train", *options, keeping=tmp_path)
    assert not (ROOT / "unpickled").exists()


def tensors_but(**changes):
    def change(tensors, state):
        for name, array in changes.items():
            name = name.replace("_", ".")
            if array is None:
                del tensors[name]
            else:
                tensors[name] = array(tensors.get(name))

    return change


def renamed(tensors, state):
    tensors["linear1.weight"] = tensors.pop("linear1.W")


# What becomes of the content of a good checkpoint, whose SHA-256 is then taken anew.
CONTENTS = {
    "a tensor missing": (tensors_but(linear2_b=None), "linear2.b is missing there"),
    "a tensor too many": (tensors_but(linear9_W=lambda _: np.ones(3)), "linear9.W"),
    "a tensor renamed": (renamed, "linear1.W is missing"),
    "another shape": (tensors_but(linear1_W=lambda W: W.T), "linear1.W is (8, 784)"),
    "another dtype": (tensors_but(linear2_W=lambda W: W.astype("f8")), "float64') there"),
    "NaN weights": (tensors_but(linear2_W=lambda W: W * np.nan), "linear2.W holds numbers"),
    "another architecture": (
        lambda tensors, state: state["config"].update(hidden=[9]),
        "linear1.W is (784, 8), (784, 9)",
    ),
    "a network of a petabyte": (
        lambda tensors, state: state["config"].update(hidden=[10**12]),
        "its hidden: 1000000000000 must be from 1 to 1000000",
    ),
    "an unknown kind of network": (
        lambda tensors, state: state["config"].update(model="rnn"),
        "no checkpoint of a digit classifier",
    ),
    "an epoch that is no number": (
        lambda tensors, state: state.update(epoch="2"),
        "no checkpoint of a digit classifier",
    ),
    "half an epoch under way": (
        lambda tensors, state: state.update(under_way={}),
        "no checkpoint of a digit classifier",
    ),
    "seconds that are no number": (
        lambda tensors, state: state["under_way"].update(seconds=float("nan")),
        "its seconds: nan must be a finite number",
    ),
    "a width for a list of widths": (
        lambda tensors, state: state["config"].update(hidden=8),
        "no checkpoint of a digit classifier",
    ),
    "a list for a learning rate": (
        lambda tensors, state: state["config"].update(lr=[0.1]),
        "no checkpoint of a digit classifier: its lr: invalid number value: [0.1]",
    ),
    "a batch of no image": (
        lambda tensors, state: state["config"].update(batch_size=0),
        "its batch_size: 0 must be at least 1",
    ),
    "a batch of two and a half images": (
        lambda tensors, state: state["config"].update(batch_size=2.5),
        "its batch_size: invalid whole number value: 2.5",
    ),
    "a million threads": (
        lambda tensors, state: state["config"].update(threads=1_000_000),
        "its threads: 1000000 must be from 1 to",
    ),
    "a yes for true": (
        lambda tensors, state: state["config"].update(augment="yes"),
        "its augment: invalid value, neither true nor false: 'yes'",
    ),
    "a kernel of no rung": (
        lambda tensors, state: state["config"].update(matmul=None),
        "its matmul: invalid choice: None",
    ),
    "no seed": (lambda tensors, state: state["config"].pop("seed"), "its seed is missing"),
    "data without a name": (
        lambda tensors, state: state["config"].update(data={"sha256": {}}),
        "it has no 'name'",
    ),
    "no run's": (lambda tensors, state: state.clear(), "no checkpoint of a digit classifier"),
    "without a config": (lambda tensors, state: state["config"].clear(), "no checkpoint of a"),
}


@pytest.mark.parametrize("damage", CONTENTS)
@pytest.mark.parametrize("module", ["scratchnet.train", "scratchnet.predict"])
def test_a_whole_file_of_another_content_is_4(trained, tmp_path, digits_folder, damage, module):
    change, words = CONTENTS[damage]
    path = trained / "model.safetensors"
    tensors, state = checkpoint.load(path)
    change(tensors, state)
    checkpoint.save(path, tensors, state)
    options = {
        "scratchnet.train": ("--resume", path, "--data-dir", digits_folder),
        "scratchnet.predict": ("image.png", "--model", path),
    }
    refused(4, [str(path), words], module, *options[module], keeping=tmp_path)


def test_a_newer_format_is_4(trained, tmp_path, monkeypatch):
    path = trained / "model.safetensors"
    tensors, state = checkpoint.load(path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
        checkpoint.save(path, tensors, state)
    refused(4, "another version", "scratchnet.train", "--resume", path, keeping=tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "{", "{}", "[" * 100_000], ids=lambda t: t[:3])
def test_a_state_that_is_none_is_refused(trained, text):
    path = trained / "model.safetensors"
    tensors, _ = checkpoint.load(path)
    metadata = {checkpoint.METADATA_KEY: checkpoint._digest(tensors, text) + text}
    path.write_bytes(safetensors.numpy.save(tensors, metadata))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        checkpoint.load(path)


@pytest.mark.skipif(sys.platform != "linux", reason="takes Linux's capabilities from root")
def test_a_file_that_may_not_be_read_is_4(trained, tmp_path):
    path = trained / "model.safetensors"
    path.chmod(0)
    refused(
        *(4, [str(path), "Permission denied"], "scratchnet.train", "--resume", path),
        keeping=tmp_path / "others",  # this one cannot be read to be compared
        preexec_fn=as_an_ordinary_user,
    )
    path.chmod(0o600)
    checkpoint.load(path)


@pytest.mark.parametrize("history", ["nonsense\n1\n", "epoch,train_loss\n1,2\n", "\0"], ids=ascii)
def test_a_damaged_history_beside_it_is_4_and_no_history_is_none(trained, digits_folder, history):
    options = ("--resume", trained / "model.safetensors", "--data-dir", digits_folder, "--no-plots")
    (trained / "history.csv").write_text(history)
    refused(4, "history.csv is damaged", "scratchnet.train", *options, keeping=trained)
    (trained / "history.csv").unlink()
    shown = run_module("scratchnet.train", *options)
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 epochs done" in shown.stdout
