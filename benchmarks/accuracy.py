"""How well the default network reads digits: `python -m benchmarks.accuracy`, over five seeds.

Every run is the training command as a user types it, in a process of its own; the raw scores of
all seeds go into results/accuracy.json.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

SEEDS = range(5)
SETTINGS = {
    "mnist, 10 epochs": ("--dataset", "mnist", "--val-size", "0"),
    "mnist, 30 epochs": ("--dataset", "mnist", "--val-size", "0", "--epochs", "30"),
    "sample, 10 epochs": ("--dataset", "sample"),
    "sample, 20 epochs": ("--dataset", "sample", "--epochs", "20"),
}
RESULTS = Path(__file__).parent / "results" / "accuracy.json"


def main():
    """Train every setting with every seed and store the test scores."""
    scores = {name: [] for name in SETTINGS}
    jobs = [(name, seed) for name in SETTINGS for seed in SEEDS]
    for name, seed in tqdm(jobs, desc="training"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "scratchnet.train", *SETTINGS[name]]
            options = ["--seed", str(seed), "--out", folder, "--no-plots"]
            subprocess.run(command + options, check=True, stdout=subprocess.DEVNULL)
            metrics = json.loads((Path(folder) / "metrics.json").read_text())
        scores[name].append({"seed": seed, "test_accuracy": metrics["test_accuracy"]})
    RESULTS.parent.mkdir(exist_ok=True)
    commands = {name: " ".join(options) for name, options in SETTINGS.items()}
    RESULTS.write_text(json.dumps({"options": commands, "scores": scores}, indent=1) + "\n")


if __name__ == "__main__":
    main()
