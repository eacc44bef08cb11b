"""The test accuracy of the default networks, over several seeds: `python -m benchmarks accuracy`.

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

# name -> the options, and how many seeds
SETTINGS = {
    "MNIST, 10 epochs": ("--dataset mnist --val-size 0", 5),
    "MNIST, 30 epochs": ("--dataset mnist --val-size 0 --epochs 30", 5),
    "MNIST, CNN, 5 epochs": ("--model cnn --dataset mnist", 5),
    "sample, 10 epochs": ("--dataset sample", 5),
    "sample, 20 epochs": ("--dataset sample --epochs 20", 5),
}


def main(quick=False):
    """Train every setting with each seed, or one with two; return {setting: [test accuracy]}."""
    jobs = [(name, seed) for name, (_, seeds) in SETTINGS.items() for seed in range(seeds)]
    if quick:
        jobs = [("sample, 10 epochs", 0), ("sample, 10 epochs", 1)]
    found = {name: [] for name, _ in jobs}
    for name, seed in tqdm(jobs, desc="training"):
        with tempfile.TemporaryDirectory() as run:
            command = [sys.executable, "-m", "scratchnet.train", *SETTINGS[name][0].split()]
            options = ["--seed", str(seed), "--out", run, "--no-plots"]
            subprocess.run(command + options, check=True, stdout=subprocess.DEVNULL)
            metrics = json.loads((Path(run) / "metrics.json").read_text())
        found[name].append(metrics["test_accuracy"])
    return found


def table(found):
    """Return a table in Markdown of {setting: [test accuracy of each seed]}, for those measured."""
    lines = [
        "| trained on | options | mean | lowest | highest | standard deviation |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name, accuracies in found.items():
        numbers = (mean(accuracies), min(accuracies), max(accuracies), stdev(accuracies))
        cells = (name, f"`{SETTINGS[name][0]}`", *(f"{number:.2%}" for number in numbers))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
