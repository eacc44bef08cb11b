"""The figures and transcripts of the READMEs, by real runs: `python -m benchmarks pictures`.

Every command runs as a reader would type it, in a folder of its own; its figures are copied to
benchmarks/results, and pictures.json keeps the command, what it measured, and what it printed. The
search for options and the GAN take most of the time.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from benchmarks import moving_picture
from benchmarks.harness import RESULTS, environment
from benchmarks.readme import ROOT


class Run(NamedTuple):
    """A command, what --quick adds, and its figures: {file it leaves: file of the results}."""

    command: str
    quick: str
    figures: dict[str, str]


SAMPLE = "--dataset sample"
RUNS = {
    "default": Run(
        "scratchnet.train --out runs/default",
        f"{SAMPLE} --epochs 2",
        {
            "figures/curves.png": "training/curves.png",
            "figures/mistakes.png": "training/mistakes.png",
        },
    ),
    "plain": Run("scratchnet.train --engine fused --out runs/plain", f"{SAMPLE} --epochs 2", {}),
    "augmented": Run(
        "scratchnet.train --engine fused --augment --out runs/augmented", f"{SAMPLE} --epochs 2", {}
    ),
    "cnn": Run(
        "scratchnet.train --model cnn --out runs/cnn",
        f"{SAMPLE} --epochs 1",
        {"figures/features.png": "training/features.png"},
    ),
    "robustness": Run(
        "scratchnet.robustness --model runs/plain runs/augmented runs/cnn --out runs/robustness",
        SAMPLE,
        {"accuracy.png": "robustness/accuracy.png", "digits.png": "robustness/digits.png"},
    ),
    "tune": Run(
        "scratchnet.tune --out runs/tune",
        f"{SAMPLE} --trials 3 --epochs 2",
        {"history.png": "tune/history.png"},
    ),
    "tuned": Run(
        "scratchnet.train --config runs/tune/best.json --out runs/tuned", f"{SAMPLE} --epochs 2", {}
    ),
    "gan": Run(
        "scratchnet.gan --judge runs/cnn --out runs/gan",
        f"{SAMPLE} --epochs 2",
        {"figures/digits.gif": "gan/digits.gif"},
    ),
    "lockstep": Run("torch_ref.lockstep --steps 1875", f"{SAMPLE} --steps 5", {}),
    "free-run": Run(
        "torch_ref.lockstep --steps 1875 --dtype float32 --free-run runs/free-run/drift.png",
        f"{SAMPLE} --steps 5",
        {"drift.png": "free-run.png"},
    ),
}
EVERY, COLOURS = 2, 16  # of the GAN's animation: every second epoch, 16 greys


def run(name, quick, folder):
    """Run a command in the folder, which holds `runs`; return what it measured and printed."""
    left = folder / "runs" / name
    words = RUNS[name].command.split()
    if "--out" not in words:
        left.mkdir(parents=True)  # the command writes into it, and makes none
    extra = RUNS[name].quick.split() if quick else []
    places = os.environ | {"PYTHONPATH": str(ROOT)}
    if "SCRATCHNET_DATA_DIR" in places:
        places["SCRATCHNET_DATA_DIR"] = str(Path(places["SCRATCHNET_DATA_DIR"]).resolve())
    command = [sys.executable, "-m", *words, *extra]
    shown = subprocess.run(
        command, cwd=folder, env=places, stdout=subprocess.PIPE, text=True, check=True
    )
    printed = shown.stdout
    if data_dir := places.get("SCRATCHNET_DATA_DIR"):  # a path of this machine is nobody's business
        printed = printed.replace(data_dir, "$SCRATCHNET_DATA_DIR")
    lines = [line for line in printed.splitlines() if ", Step [" not in line]
    return {
        "command": " ".join(["python -m", *words, *extra]),
        "measured": measured(left),
        "printed": lines,
    }


def measured(left):
    """Return the numbers in what a command left: metrics.json, or the table of its results."""
    if (path := left / "metrics.json").exists():
        return json.loads(path.read_text())
    for table in ("accuracy.csv", "trials.csv"):
        if (path := left / table).exists():
            return list(csv.DictReader(path.read_text().splitlines()))
    return {}


def keep(figure, place):
    """Copy a figure to its place; of an animation keep what is worth its bytes."""
    place.parent.mkdir(exist_ok=True)
    if figure.suffix == ".gif":
        moving_picture.reduce(figure, place, every=EVERY, colours=COLOURS)
    else:
        shutil.copyfile(figure, place)


def main(quick=False, folder=RESULTS):
    """Run every command, copy its figures into the folder, and return what all of them measured."""
    runs = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in RUNS:
            print(f"{name}: {RUNS[name].command}", flush=True)
            runs[name] = run(name, quick, Path(temporary))
            for figure, place in RUNS[name].figures.items():
                keep(Path(temporary, "runs", name, figure), folder / place)
    return {"environment": environment(), "runs": runs}


def accuracies(results):
    """A row for every training of a classifier, with its test accuracy."""
    yield "| command | test accuracy |"
    yield "|---|---:|"
    for found in results["runs"].values():
        if "test_accuracy" in found["measured"]:
            yield f"| `{found['command']}` | {found['measured']['test_accuracy']:.2%} |"


def corruptions(results):
    """A row for every corruption: the mean test accuracy over its strengths, of each network."""
    rows = results["runs"]["robustness"]["measured"]
    names = list(rows[0])[2:]
    yield f"| corruption | {' | '.join(f'`{name}`' for name in names)} |"
    yield f"|---|{'---:|' * len(names)}"
    for kind in dict.fromkeys(row["degradation"] for row in rows):
        scores = [[float(row[n]) for row in rows if row["degradation"] == kind] for n in names]
        yield f"| {kind} | {' | '.join(f'{mean(found):.2%}' for found in scores)} |"


def search(results):
    """In words: how the search for options ended."""
    trials = results["runs"]["tune"]["measured"]
    complete = [float(t["validation_accuracy"]) for t in trials if t["state"] == "complete"]
    pruned = sum(trial["state"] == "pruned" for trial in trials)
    tuned = results["runs"]["tuned"]["measured"]["test_accuracy"]
    return (
        f"Of {len(trials)} trials {pruned} were pruned; the best has a validation accuracy of "
        f"{max(complete):.2%}. Trained with its options on all training images, the network "
        f"reaches a test accuracy of {tuned:.2%}."
    )


def gan_metrics(results):
    """A row for the generated digits, and one for training images to compare with."""
    found = results["runs"]["gan"]["measured"]
    yield "| | confident share | least frequent digit | most frequent digit | Fréchet distance |"
    yield "|---|---:|---:|---:|---:|"
    for name in ("generated", "training_images"):
        digits = found[name]["digits"]
        yield (
            f"| {name.replace('_', ' ')} | {found[name]['recognised']:.1%} | {min(digits):.1%} "
            f"| {max(digits):.1%} | {found[name]['distance']:.2f} |"
        )
