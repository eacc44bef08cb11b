"""What every entry of the catalogue must hold, whatever went wrong.

A mistake ends the real command with the exit code of its kind and one line on stderr that names the
thing, no traceback; every file that was there before is there afterwards, byte for byte, and
nothing half written beside it.
"""

import gzip
import json
import os
import resource
import sys
from pathlib import Path

from scratchnet.data import mnist
from tests.conftest import run_module

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24


def contents(folder):
    """{path: bytes} of every file below a folder."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def assert_whole(before, folder):
    """Every file of before is there and the same, and nothing that was not finished is."""
    after = contents(folder)
    assert before.items() <= after.items()
    assert not [path for path in after if path.name.endswith((".partial", ".tmp"))]


def assert_one_line(shown, code, words):
    """The command has ended with this code and one line that holds all the words."""
    assert shown.returncode == code, shown.stderr
    (line,) = shown.stderr.splitlines()
    for word in (words,) if isinstance(words, str) else words:
        assert word in line
    assert "Traceback" not in shown.stdout


def refused(code, words, module, *options, keeping, **kwargs):
    """Run `python -m module options`, which must be refused and harm nothing below `keeping`."""
    before = contents(keeping)
    shown = run_module(module, *options, **kwargs)
    assert_one_line(shown, code, words)
    assert_whole(before, keeping)
    return shown


def train(folder, out, *options):
    """The words of a training command, for the two functions above and for `run_module`."""
    return ("scratchnet.train", "--data-dir", folder, "--out", out, "--no-plots", *options)


def unpacked(folder):
    """{name: bytes} of the four IDX files of a folder, as they are unpacked."""
    return {
        name: gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in mnist.MNIST_SHA256
    }


def with_constants(constants):
    """The words before the options that train with other constants in scratchnet.data.mnist.

    Which mirrors there are, and what they should serve, is no option of the command.
    """
    program = (
        "import json, sys; from scratchnet import train; from scratchnet.cli import entry;"
        "from scratchnet.data import mnist; vars(mnist).update(json.loads(sys.argv.pop(1)));"
        "entry.run(train.main)"
    )
    return [sys.executable, "-c", program, json.dumps(constants)]


def on_a_disk_with(n_bytes):
    """Return what a child does before it starts: no file of its own may grow over so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def as_an_ordinary_user():
    """In a child before it starts: root, too, is bound by permissions now."""
    if os.geteuid() == 0:
        import ctypes

        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability) == 0
