"""The test accuracy of the default network, over five seeds: `python -m benchmarks accuracy`.

Every run is the training command as a user types it, in a process of its own; accuracy.json keeps
the test accuracy of each seed.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

from tqdm import tqdm

SEEDS = range(5)
SETTINGS = {
    "MNIST, 10 epochs": "--dataset mnist --val-size 0",
    "MNIST, 30 epochs": "--dataset mnist --val-size 0 --epochs 30",
    "sample, 10 epochs": "--dataset sample",
    "sample, 20 epochs": "--dataset sample --epochs 20",
}


def main(quick=False):
    """Train every setting with every seed, or one with two; return {setting: [test accuracy]}."""
    jobs = [(name, seed) for name in SETTINGS for seed in SEEDS]
    if quick:
        jobs = [("sample, 10 epochs", 0), ("sample, 10 epochs", 1)]
    found = {name: [] for name, _ in jobs}
    for name, seed in tqdm(jobs, desc="training"):
        with tempfile.TemporaryDirectory() as run:
            command = [sys.executable, "-m", "scratchnet.train", *SETTINGS[name].split()]
            options = ["--seed", str(seed), "--out", run, "--no-plots"]
            subprocess.run(command + options, check=True, stdout=subprocess.DEVNULL)
            metrics = json.loads((Path(run) / "metrics.json").read_text())
        found[name].append(metrics["test_accuracy"])
    return found


def table(found):
    """Return a table in Markdown of {setting: [test accuracy of each seed]}."""
    lines = [
        "| trained on | options | mean | lowest | highest | standard deviation |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name, accuracies in found.items():
        numbers = (mean(accuracies), min(accuracies), max(accuracies), stdev(accuracies))
        cells = (name, f"`{SETTINGS[name]}`", *(f"{number:.2%}" for number in numbers))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
