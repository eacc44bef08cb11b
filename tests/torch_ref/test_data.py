"""torchvision reads the same digits, out of whatever folder they lie in."""

import gzip
import hashlib
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import scratchnet
from torch_ref import data


def random_digits(tmp_path, pack):
    """Write a small data set of IDX files into tmp_path; return the folder."""
    rng = np.random.default_rng(0)
    for name in scratchnet.data.mnist.MNIST_SHA256:
        n = 50 if name.startswith("train") else 20
        array = rng.integers(256 if "images" in name else 10, size=(n, 28, 28), dtype=np.uint8)
        if "labels" in name:
            array = array[:, 0, 0]
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        pack(tmp_path, name, header + array.tobytes())
    return tmp_path


def flat_gzipped(folder, name, content):
    (folder / f"{name}.gz").write_bytes(gzip.compress(content))


def flat(folder, name, content):
    (folder / name).write_bytes(content)


def in_torchvisions_place(folder, name, content):
    (folder / "MNIST" / "raw").mkdir(parents=True, exist_ok=True)
    flat(folder / "MNIST" / "raw", name, content)


def fingerprint(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


@pytest.mark.parametrize("pack", [flat_gzipped, flat, in_torchvisions_place])
def test_any_folder_is_read_and_none_is_written_to(tmp_path, pack):
    folder = random_digits(tmp_path, pack)
    before = fingerprint(folder)

    train, test, found = data.load(data_dir=folder)

    assert (len(train), len(test)) == (50, 20)
    assert found.name == "custom"
    np.testing.assert_array_equal(train.data.numpy(), found.train.images)
    np.testing.assert_array_equal(test.targets.numpy(), found.test.labels)
    assert fingerprint(folder) == before


@pytest.fixture(scope="module")
def both_samples():
    """torchvision's reading of the sample, and ours."""
    return data.load("sample")


def test_torchvision_reads_the_sample_too(both_samples):
    train, test, found = both_samples

    assert (len(train), len(test)) == (4000, 1000)
    np.testing.assert_array_equal(train.data.numpy(), found.train.images)
    np.testing.assert_array_equal(test.targets.numpy(), found.test.labels)


def test_every_pixel_of_totensor_is_ours_bit_for_bit(digits):
    with data.torchvision_folder(digits) as root:
        test = data.datasets.MNIST(root, train=False, transform=data.transforms.ToTensor())
    loader = data.DataLoader(test, batch_size=1000)

    theirs = torch.cat([images.view(-1, 784) for images, _ in loader])  # (N,784)
    labels = torch.cat([labels for _, labels in loader])  # (N,)

    ours = scratchnet.data.to_unit_interval(digits.test.images)  # (N,784)
    np.testing.assert_array_equal(theirs.numpy(), ours)
    np.testing.assert_array_equal(labels.numpy(), digits.test.labels)


@pytest.mark.parametrize("batch_size", [1, 32, 4000, 5000])
def test_both_pipelines_shuffle_alike(both_samples, batch_size):
    train, _, found = both_samples
    x = scratchnet.data.to_unit_interval(found.train.images)  # (N,784)
    recipe = {"seed": 3, "epoch": 2}

    pairs = zip(
        scratchnet.data.batches(x, found.train.labels, batch_size, **recipe),
        data.batches(train, batch_size, **recipe),
        strict=batch_size > 1,
    )
    seen = 0
    for (images, labels), (their_images, their_labels) in pairs:
        np.testing.assert_array_equal(images, their_images.numpy())
        np.testing.assert_array_equal(labels, their_labels.numpy())
        seen += len(labels)
        if batch_size == 1 and seen == 100:
            break
    assert seen == (100 if batch_size == 1 else 4000)


@pytest.mark.parametrize(("n_images", "batch_size", "last"), [(70, 32, 6), (65, 64, 1), (5, 9, 5)])
def test_the_smaller_last_batch_is_dropped_in_neither_pipeline(sample, n_images, batch_size, last):
    images, labels = (part[:n_images] for part in sample.train)
    recipe = {"batch_size": batch_size, "seed": 0, "epoch": 1}

    ours = list(scratchnet.data.batches(scratchnet.data.to_unit_interval(images), labels, **recipe))
    theirs = list(data.batches(data.pictures(images, labels), **recipe))

    for batches in (ours, theirs):
        sizes = [len(batch_labels) for _, batch_labels in batches]
        assert sizes == [batch_size] * (n_images // batch_size) + [last]
        seen = np.concatenate([np.asarray(batch_labels) for _, batch_labels in batches])
        np.testing.assert_array_equal(np.sort(seen), np.sort(labels))
    np.testing.assert_array_equal(ours[-1][0], theirs[-1][0].numpy())


def python(code, *, path=None):
    """Run code in a Python of its own."""
    prepend = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    return subprocess.run(
        [sys.executable, "-c", prepend + code], capture_output=True, text=True, check=False
    )


def test_the_real_torchvision_is_imported():
    result = python("from torch_ref import data; print(data.torchvision.__version__)")

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("0.28.0")


def test_the_missing_operators_are_declared_only_when_the_import_asks_for_them(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("datasets = transforms = None")

    result = python("from torch_ref import data; print(hasattr(data, '_operators'))", path=tmp_path)

    assert result.stdout.strip() == "False", result.stderr


def test_another_error_of_the_import_is_not_swallowed(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('out of order')")

    result = python("from torch_ref import data", path=tmp_path)

    assert result.returncode == 1
    assert "RuntimeError: out of order" in result.stderr


def test_torchvision_reads_the_files_themselves_and_not_what_we_made_of_them(digits_folder):
    found = scratchnet.data.load("auto", digits_folder)
    blank = replace(found, train=found.train._make(0 * part for part in found.train))

    with data.torchvision_folder(blank) as root:
        read = data.datasets.MNIST(root, train=True)

    assert (read.data.numpy() == found.train.images).all()
    assert (read.targets.numpy() == found.train.labels).all()
