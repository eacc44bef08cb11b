"""kill -9 at random moments of real runs: what is left goes on to the bits of one never killed.

A run of twenty epochs of a few batches, each of which saves, spends most of its time in saving. A
process is killed here, not the machine: that the bytes are on the disk before they get the name is
`fsync`'s doing, and no test of this kind can show it.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from scratchnet import data
from scratchnet.data import idx, mnist
from scratchnet.training import checkpoint

ROOT = Path(__file__).parents[3]
COMMANDS = {
    "scratchnet.train": ("--epochs", 20, "--hidden", 8, "--momentum", 0.5, "--no-plots"),
    "scratchnet.gan": ("--epochs", 20, "--hidden", 8, "--discriminator-hidden", 8),
}
MODEL = "model.safetensors"
MISSES = 10  # in a row, after which the campaign is not killing at all


def write_digits(folder):
    """Write 200 training and 50 test digits of the sample as IDX files into the folder."""
    sample = data.load("sample")
    for split, step, names in (
        (sample.train, 20, (mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS)),
        (sample.test, 20, (mnist.TEST_IMAGES, mnist.TEST_LABELS)),
    ):
        for name, array in zip(names, split, strict=True):
            content = idx.encode_idx(array[::step].astype(np.uint8))
            (folder / name).write_bytes(content)


def start(digits, *options, module="scratchnet.train"):
    """Start the real command in a process of its own."""
    command = [sys.executable, "-m", module, "--data-dir", digits, *COMMANDS[module], *options]
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_training(process):
    """Return when the run has said where its files will lie, the last thing before it trains."""
    for line in process.stdout:
        if line.startswith("run "):
            return


def finish(process):
    """Let the process end; AssertionError unless it ends well and in silence."""
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert stderr == "", stderr


def time_until_the_end(process, begun):
    """Let it run undisturbed; return the seconds from when `begun(process)` returned."""
    begun(process)
    begin = time.perf_counter()
    finish(process)
    return time.perf_counter() - begin


def outcome(folder):
    """All that a finished run has left, but for the times: {name of the file: content}."""
    left = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rows = csv.DictReader(left["history.csv"].decode().splitlines())
    left["history.csv"] = [list(row.values())[:4] for row in rows]
    left["metrics.json"] = json.loads(left["metrics.json"])
    del left["metrics.json"]["train_seconds"]
    return left


def kill_one(digits, folder, moment, module):
    """Kill a run that many seconds into its training; return what it left, None if it had ended."""
    with start(digits, "--out", folder, module=module) as process:
        wait_for_training(process)
        time.sleep(moment)
        process.kill()
    if process.returncode != -signal.SIGKILL:
        return None
    names = os.listdir(folder)
    if any(name.endswith(".partial") for name in names):
        return "in the middle of writing a file"
    return "after an epoch was saved" if MODEL in names else "before the first epoch was saved"


def go_on(digits, folder, *options, module="scratchnet.train"):
    """Resume what was killed, or begin again where nothing had been saved yet."""
    if (folder / MODEL).exists():
        checkpoint.load(folder / MODEL)
        finish(start(digits, "--resume", folder / MODEL, *options, module=module))
    else:
        finish(start(digits, "--out", folder, *options, module=module))


def main(kills, seed=0, module="scratchnet.train"):
    """Kill that many runs of a command and resume each; return the counts.

    A moment after the end of its run kills nobody and is not counted; RuntimeError for `MISSES` of
    those in a row.
    """
    rng, missed = np.random.default_rng(seed), 0
    with TemporaryDirectory() as temporary:
        digits, undisturbed = Path(temporary, "digits"), Path(temporary, "undisturbed")
        digits.mkdir()
        write_digits(digits)
        process = start(digits, "--out", undisturbed, module=module)
        seconds = time_until_the_end(process, wait_for_training)
        expected = outcome(undisturbed)

        where, same = Counter(), 0
        with tqdm(total=kills, desc="kill -9", disable=not sys.stderr.isatty()) as bar:
            while where.total() < kills:
                with TemporaryDirectory(dir=temporary) as folder:
                    left = kill_one(digits, Path(folder), rng.uniform(0, seconds), module)
                    missed = missed + 1 if left is None else 0
                    if missed == MISSES:
                        raise RuntimeError(f"{missed} runs in a row ended before they were killed")
                    if left is None:
                        continue
                    where[left] += 1
                    go_on(digits, Path(folder), module=module)
                    same += outcome(Path(folder)) == expected
                    bar.update()
    return {"killed": kills, "resumed to the same bits": same, "where": dict(where)}
