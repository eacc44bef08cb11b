"""The same seed gives the same bits: whatever the kernel's threads, their library, or the process.

Every kernel trains the same network with one thread and with two, under each of Numba's threading
layers, in two processes at a time. The batches are large enough for the threads to be used. One
kernel is left out: NumPy's BLAS divides the sums themselves among its threads.
"""

import hashlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from scratchnet.cli.options import cores
from scratchnet.kernels import LADDER
from scratchnet.kernels.threads import WORTH_WAKING
from scratchnet.training import checkpoint
from tests.faults.campaigns.kills import MODEL, ROOT, write_digits

BATCH, HIDDEN = 100, 128
assert BATCH * 784 * HIDDEN > WORTH_WAKING
KERNELS = [name for name in LADDER if name != "numpy"]
LAYERS = ("omp", "workqueue")


def start(digits, folder, layer, *options):
    """Start a short training in a process of its own."""
    widths = ("--batch-size", BATCH, "--hidden", HIDDEN, "--epochs", 2)
    words = ("--data-dir", digits, "--out", folder, "--no-plots", *widths, *options)
    return subprocess.Popen(
        [sys.executable, "-m", "scratchnet.train", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"NUMBA_THREADING_LAYER": layer},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def weights_of(process, folder):
    """The SHA-256 of the weights that a training leaves; AssertionError unless it ends well."""
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    tensors, _ = checkpoint.load(Path(folder, MODEL))
    return hashlib.sha256(b"".join(tensors[n].tobytes() for n in sorted(tensors))).hexdigest()


def main(kernels=KERNELS, layers=LAYERS, processes=2):
    """Train in every way, as many at a time as `processes`; return the counts by kernel."""
    ways = {f"--matmul {name}": ("--matmul", name) for name in kernels}
    ways["--engine fused"] = ("--engine", "fused")
    if cores() < 2:
        raise OSError("two threads need two processors")
    settings = list(itertools.product(ways, (1, 2), layers))
    hashes = {way: Counter() for way in ways}
    with TemporaryDirectory() as temporary:
        digits = Path(temporary, "digits")
        digits.mkdir()
        write_digits(digits)
        for way, count, layer in tqdm(settings, disable=not sys.stderr.isatty()):
            folders = [Path(temporary, f"{way}-{count}-{layer}-{n}") for n in range(processes)]
            options = (*ways[way], "--threads", count)
            begun = [start(digits, folder, layer, *options) for folder in folders]
            for process, folder in zip(begun, folders, strict=True):
                hashes[way][weights_of(process, folder)] += 1
    return {
        way: {"runs": found.total(), "distinct weights": len(found)}
        for way, found in hashes.items()
    }
