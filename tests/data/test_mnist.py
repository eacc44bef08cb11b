"""MNIST: decoded exactly, verified, found where it is promised to be looked for, never mistaken."""

import contextlib
import gzip
import shutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchnet import data
from scratchnet.data import idx, mnist
from scratchnet.data.mnist import MNIST_SHA256
from scratchnet.errors import DataError
from tests.conftest import write_idx_folder

idx_arrays = st.sampled_from(
    [np.dtype(d).newbyteorder("=") for d in idx.IDX_DTYPES.values()]
).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=5)
    )
)


class TestDecodingIdx:
    @given(idx_arrays)
    def test_gives_back_every_array_of_any_type_rank_and_shape_bit_for_bit(self, array):
        decoded = idx.decode_idx(idx.encode_idx(array))
        assert decoded.dtype == array.dtype
        assert decoded.shape == array.shape
        assert decoded.tobytes() == array.tobytes()

    def test_takes_every_number_for_a_big_endian_one(self):
        content = bytes([0, 0, 0x0B, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0x01, 0x02, 0xFF, 0xFE])
        assert idx.decode_idx(content).tolist() == [[0x0102], [-2]]
        content = bytes([0, 0, 0x0C, 1, 0, 0, 0, 1, 1, 2, 3, 4])
        assert idx.decode_idx(content).tolist() == [0x01020304]
        content = bytes([0, 0, 0x0D, 1, 0, 0, 0, 1, 0x3F, 0xC0, 0, 0])
        assert idx.decode_idx(content).tolist() == [1.5]

    def test_knows_the_types_by_the_bytes_of_the_format(self):
        types = {8: "uint8", 9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}
        for code, dtype in types.items():
            content = bytes([0, 0, code, 1, 0, 0, 0, 3, *bytes(3 * np.dtype(dtype).itemsize)])
            decoded = idx.decode_idx(content)
            assert (decoded.dtype, decoded.shape) == (dtype, (3,))
            assert idx.encode_idx(decoded) == content

    @given(idx_arrays, st.data())
    def test_refuses_a_file_that_is_cut_off_anywhere(self, array, draw):
        content = idx.encode_idx(array)
        length = draw.draw(st.integers(0, len(content) - 1))
        with pytest.raises(DataError):
            idx.decode_idx(content[:length])

    @given(idx_arrays, st.binary(min_size=1, max_size=9))
    def test_refuses_bytes_behind_the_last_element(self, array, tail):
        with pytest.raises(DataError, match="follow"):
            idx.decode_idx(idx.encode_idx(array) + tail)

    @given(st.binary(max_size=64))
    def test_never_fails_on_any_bytes_but_with_its_own_error(self, content):
        with contextlib.suppress(DataError):
            idx.decode_idx(content)


def test_of_a_file_that_unpacks_to_too_much_no_more_is_unpacked_than_tells_so(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(idx, "IDX_MAX_BYTES", 1000)
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(20_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bomb\.gz unpacks to more than 1,000 bytes"):
            idx.read_file(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


class TestScaling:
    def test_gives_torchvisions_totensor_bit_for_bit(self, sample):
        from torch_ref.data import transforms

        ours = data.to_unit_interval(sample.test.images)
        theirs = [
            transforms.ToTensor()(image[:, :, None]).numpy().ravel() for image in sample.test.images
        ]
        assert ours.dtype == np.float32
        assert ours.tobytes() == np.stack(theirs).tobytes()

    def test_starts_float64_from_the_pixels_of_float32(self, sample):
        single = data.to_unit_interval(sample.test.images[:10])
        double = data.to_unit_interval(sample.test.images[:10], np.float64)
        assert double.dtype == np.float64
        assert (double == single).all()

    def test_takes_no_image_at_all(self):
        assert data.to_unit_interval(np.zeros((0, 28, 28), np.uint8)).shape == (0, 784)

    def test_leaves_the_images_as_they_are(self, sample):
        before = sample.test.images[:10].copy()
        data.to_unit_interval(sample.test.images[:10])
        assert (sample.test.images[:10] == before).all()


class TestHoldingOut:
    @given(st.integers(1, 50), st.integers(0, 2**40), st.data())
    def test_shares_out_every_image_once_with_its_label(self, n, seed, draw):
        size = draw.draw(st.integers(0, n - 1))
        images = np.arange(n * 784).reshape(n, 28, 28)
        parts = data.hold_out(data.Split(images, np.arange(n)), size, seed)
        assert [len(part.labels) for part in parts] == [n - size, size]
        assert sorted(np.concatenate([part.labels for part in parts])) == list(range(n))
        for part in parts:
            assert (part.images == images[part.labels]).all()

    def test_is_decided_by_the_seed_alone(self, sample):
        first, again, other = (data.hold_out(sample.train, 100, seed)[1] for seed in (3, 3, 4))
        assert (first.images == again.images).all()
        assert not (first.images == other.images).all()

    def test_draws_from_a_stream_that_no_epoch_draws_from(self):
        images = np.zeros((1000, 1, 1), np.uint8)
        for seed in range(3):
            held_out = data.hold_out(data.Split(images, np.arange(1000)), 100, seed)[1].labels
            for epoch in range(4):
                first = data.shuffled(1000, seed=seed, epoch=epoch)[:100]
                assert set(held_out) != set(first)

    @pytest.mark.parametrize("size", [-1, 4000])
    def test_refuses_to_leave_nothing_to_train_on(self, sample, size):
        with pytest.raises(ValueError, match="4,000"):
            data.hold_out(sample.train, size, seed=0)


class TestBatches:
    @given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**40), st.integers(1, 9))
    def test_show_every_image_once_an_epoch_with_its_label(self, n, batch_size, seed, epoch):
        x, labels = 10 * np.arange(n)[:, None], np.arange(n)
        shown = list(data.batches(x, labels, batch_size, seed=seed, epoch=epoch))
        sizes = [len(batch) for _, batch in shown]
        assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
        assert sum(sizes) == n
        assert sorted(np.concatenate([batch for _, batch in shown])) == list(range(n))
        for x_batch, labels_batch in shown:
            assert (x_batch[:, 0] == 10 * labels_batch).all()

    @given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 9))
    def test_go_on_where_an_interrupted_epoch_stopped(self, n, batch_size, start):
        x, labels = np.zeros((n, 1)), np.arange(n)
        whole = [list(b) for _, b in data.batches(x, labels, batch_size, seed=1, epoch=2)]
        rest = data.batches(x, labels, batch_size, seed=1, epoch=2, start=start)
        assert [list(b) for _, b in rest] == whole[start:]

    def test_come_in_another_order_with_other_members_each_epoch_and_seed(self):
        x, labels = np.zeros((1000, 1)), np.arange(1000)

        def first_batch(seed, epoch):
            _, chosen = next(data.batches(x, labels, 32, seed=seed, epoch=epoch))
            return frozenset(chosen)

        drawn = {first_batch(seed, epoch) for seed in range(3) for epoch in range(1, 4)}
        assert len(drawn) == 9
        assert first_batch(1, 2) == first_batch(1, 2)


class TestTheSample:
    def test_holds_400_and_100_real_digits_of_each_class(self, sample):
        assert (np.bincount(sample.train.labels) == 400).all()
        assert (np.bincount(sample.test.labels) == 100).all()
        assert sample.train.images.shape == (4000, 28, 28)
        assert sample.name == "sample"

    def test_shares_no_image_between_training_and_test(self, sample):
        training = {image.tobytes() for image in sample.train.images}
        assert not any(image.tobytes() in training for image in sample.test.images)

    def test_consists_of_images_of_mnists_training_set(self, sample, mnist):
        known = {
            (image.tobytes(), int(label))
            for image, label in zip(mnist.train.images, mnist.train.labels, strict=True)
        }
        for split in (sample.train, sample.test):
            for image, label in zip(split.images, split.labels, strict=True):
                assert (image.tobytes(), int(label)) in known


class TestAFolder:
    def test_of_the_full_mnist_is_known_by_its_content(self, mnist):
        assert mnist.name == "mnist"
        assert mnist.notice == ""
        assert mnist.train.images.shape == (60_000, 28, 28)
        assert mnist.test.images.shape == (10_000, 28, 28)
        assert np.bincount(mnist.test.labels).tolist() == [
            *(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
        ]
        assert mnist.sha256 == MNIST_SHA256

    @pytest.mark.parametrize("zipped", [True, False])
    @pytest.mark.parametrize("below", ["", "MNIST/raw"])
    def test_may_be_packed_or_not_and_laid_out_as_torchvision_does(
        self, sample, tmp_path, zipped, below
    ):
        (tmp_path / below).mkdir(parents=True, exist_ok=True)
        write_idx_folder(tmp_path / below, sample.train, sample.test, zipped=zipped)
        found = data.load("auto", tmp_path)
        assert (found.train.images == sample.train.images).all()
        assert (found.test.labels == sample.test.labels).all()

    def test_of_other_digits_is_said_not_to_be_mnist(self, digits_folder):
        found = data.load("auto", digits_folder)
        assert found.name == "custom"
        assert "not those of MNIST" in found.notice

    def test_of_other_digits_is_refused_where_mnist_is_asked_for(self, digits_folder):
        with pytest.raises(DataError, match="not MNIST's"):
            data.load("mnist", digits_folder)

    def test_is_taken_from_the_environment_when_none_is_named(self, digits_folder, monkeypatch):
        monkeypatch.setenv("SCRATCHNET_DATA_DIR", str(digits_folder))
        assert data.load().origin == str(digits_folder)
        with pytest.raises(DataError, match="missing"):
            data.load("auto", digits_folder / "missing")

    def test_that_is_missing_or_empty_is_no_reason_to_take_other_data(self, tmp_path):
        with pytest.raises(DataError, match="no folder"):
            data.load("auto", tmp_path / "missing")
        with pytest.raises(DataError, match="holds neither"):
            data.load("auto", tmp_path)


@pytest.fixture
def cache(tmp_path, no_data_dir, monkeypatch):
    """An empty cache folder of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "scratchnet"


@pytest.fixture
def mirror(mirror_server, monkeypatch):
    """The mirror of this machine in place of those of MNIST."""
    for name, value in mirror_server.constants.items():
        monkeypatch.setattr(mnist, name, value)
    return mirror_server


class TestDownloading:
    def test_fetches_verifies_and_keeps_the_four_files(self, mirror, cache):
        assert data.load("mnist").name == "mnist"
        assert sorted(path.name for path in cache.iterdir()) == sorted(
            f"{name}.gz" for name in mnist.MNIST_SHA256
        )
        mirror.answers = [500] * 100  # nothing is fetched a second time
        assert data.load("auto").origin == str(cache)

    def test_that_fails_leaves_the_good_files_that_were_there(self, mirror, cache, digits_folder):
        cache.mkdir()
        for name in (mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS, mnist.TEST_IMAGES):
            packed = (digits_folder / f"{name}.gz").read_bytes()
            (cache / name).write_bytes(gzip.decompress(packed))
        before = sorted(cache.iterdir())
        mirror.answers = [503] * 2
        with pytest.raises(DataError, match=mnist.TEST_LABELS):
            data.load("mnist")
        assert sorted(cache.iterdir()) == before
        assert data.load("mnist").name == "mnist"  # only the missing one is fetched
        assert len(mirror.answers) == 0

    def test_is_no_way_out_for_a_folder_of_mnist_that_was_tampered_with(
        self, mirror, digits_folder, tmp_path
    ):
        content = bytearray(
            gzip.decompress((digits_folder / f"{mnist.TEST_LABELS}.gz").read_bytes())
        )
        content[-1] = (content[-1] + 1) % 10
        shutil.copytree(digits_folder, tmp_path / "altered")
        (tmp_path / "altered" / mnist.TEST_LABELS).write_bytes(content)
        assert data.load("auto", digits_folder).name == "mnist"
        with pytest.raises(DataError, match="not MNIST's"):
            data.load("auto", tmp_path / "altered")

    def test_takes_the_place_of_an_unpacked_file_that_is_wrong(self, mirror, cache):
        cache.mkdir()
        (cache / mnist.TEST_LABELS).write_bytes(b"wrong")
        assert data.load("mnist").name == "mnist"
        assert not (cache / mnist.TEST_LABELS).exists()

    def test_that_fails_gives_the_sample_and_says_so_unless_mnist_is_a_must(self, mirror, cache):
        mirror.answers = [503] * 100
        found = data.load("auto")
        assert found.name == "sample"
        assert "HTTP 503" in found.notice
