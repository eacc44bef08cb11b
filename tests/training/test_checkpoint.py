"""A checkpoint comes back bit for bit or not at all."""

import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchnet.errors import CheckpointError
from scratchnet.files import write_atomically
from scratchnet.training import checkpoint

STATE = {"config": {"hidden": [3]}, "epoch": 2, "under_way": {"batch": 7}}


def small_tensors():
    generator = np.random.default_rng(0)
    return {
        "linear1.W": generator.normal(size=(3, 2)).astype(np.float32),
        "linear1.b": generator.normal(size=2).astype(np.float32),
    }


@pytest.fixture
def path(tmp_path):
    """A small checkpoint."""
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, small_tensors(), STATE)
    return path


def test_what_was_saved_comes_back_bit_for_bit(path):
    tensors, state = checkpoint.load(path)
    assert state == STATE
    assert tensors.keys() == small_tensors().keys()
    for name, array in small_tensors().items():
        assert tensors[name].dtype == array.dtype
        assert tensors[name].tobytes() == array.tobytes()


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
        elements=st.floats(-1e9, 1e9, width=32),
    )
)
def test_an_array_of_any_layout_in_memory_is_saved_as_it_reads(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("layouts") / "model.safetensors"
    views = {"as it is": array, "transposed": array.T, "every other": array[::-2, ::2]}
    checkpoint.save(path, views, {})
    tensors, _ = checkpoint.load(path)
    for name, view in views.items():
        np.testing.assert_array_equal(tensors[name], view)


def test_equal_contents_make_equal_files(path, tmp_path):
    again = tmp_path / "again.safetensors"
    checkpoint.save(again, dict(reversed(small_tensors().items())), STATE)
    assert again.read_bytes() == path.read_bytes()


def test_any_tool_that_knows_safetensors_can_read_the_weights(path):
    weights = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(weights["linear1.W"], small_tensors()["linear1.W"])


def test_no_flipped_bit_is_ever_loaded(path):
    content = path.read_bytes()
    for i in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[i // 8] ^= 1 << i % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            checkpoint.load(path)


@pytest.mark.parametrize(
    "forged", [(b"[3,2]", b"[2,3]"), (b'"F32","shape":[2]', b'"I32","shape":[2]')]
)
def test_the_same_bytes_of_another_shape_or_dtype_are_never_loaded(path, forged):
    content = path.read_bytes()
    assert content.count(forged[0]) == 1
    path.write_bytes(content.replace(*forged))
    with pytest.raises(CheckpointError, match="does not match its SHA-256"):
        checkpoint.load(path)


def test_no_file_cut_off_anywhere_is_ever_loaded(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            checkpoint.load(path)


def test_a_missing_file_a_folder_and_a_foreign_file_are_refused(tmp_path):
    for name, message in (("missing", "does not exist"), (".", "cannot be read|no checkpoint")):
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(tmp_path / name)
    foreign = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file(small_tensors(), foreign)
    with pytest.raises(CheckpointError, match="not written by scratchnet"):
        checkpoint.load(foreign)


def test_weights_that_are_not_finite_are_refused(path):
    for wrong in (np.nan, np.inf):
        checkpoint.save(path, {"W": np.array([1, wrong])}, STATE)
        with pytest.raises(CheckpointError, match="W holds numbers that are not finite"):
            checkpoint.load(path)


def test_a_later_format_is_refused(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    checkpoint.save(path, small_tensors(), STATE)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="another version"):
        checkpoint.load(path)


class TestRestoring:
    def test_fills_the_arrays_in_place(self):
        targets = {name: np.zeros_like(array) for name, array in small_tensors().items()}
        kept = targets["linear1.W"]
        checkpoint.restore(targets, small_tensors(), "file")
        np.testing.assert_array_equal(kept, small_tensors()["linear1.W"])

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param({"linear1.W": np.zeros((2, 3), "f4")}, id="transposed"),
            pytest.param({"linear1.W": np.zeros((3, 2))}, id="another dtype"),
            pytest.param({"linear2.W": np.zeros((3, 2), "f4")}, id="one too many"),
            pytest.param({"linear1.b": None}, id="one too few"),
        ],
    )
    def test_of_another_network_is_refused_and_changes_nothing(self, wrong):
        targets = {name: np.zeros_like(array) for name, array in small_tensors().items()}
        found = {n: a for n, a in (small_tensors() | wrong).items() if a is not None}
        with pytest.raises(CheckpointError, match="of another network: linear"):
            checkpoint.restore(targets, found, "file")
        assert not any(array.any() for array in targets.values())


class TestWriting:
    def test_replaces_a_file_as_a_whole_and_leaves_nothing_else(self, path):
        write_atomically(path, b"new")
        assert path.read_bytes() == b"new"
        assert list(path.parent.iterdir()) == [path]

    def test_that_fails_leaves_the_old_file_and_no_part_of_the_new(self, path, monkeypatch):
        before = path.read_bytes()

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left") as raised:
            checkpoint.save(path, small_tensors(), STATE | {"epoch": 3})
        assert raised.value.filename == str(path)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]


def test_a_file_in_no_folder_is_named_in_the_error(tmp_path):
    path = tmp_path / "missing" / "model.safetensors"
    with pytest.raises(FileNotFoundError) as failed:
        write_atomically(path, b"content")
    assert failed.value.filename == str(path)


def test_the_state_is_readable_in_the_file(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        text = file.metadata()[checkpoint.METADATA_KEY]
    assert json.loads(text[64:])["epoch"] == 2
