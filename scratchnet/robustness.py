"""Accuracy of trained networks on corrupted test images: `python -m scratchnet.robustness`.

    test images ──corrupt, by name and strength──> images ──every network──> accuracy

Every network sees the same corrupted images, a function of the seed alone.
"""

import time
from pathlib import Path

import numpy as np
import threadpoolctl
from tqdm import tqdm

from scratchnet import data
from scratchnet.cli import entry
from scratchnet.cli.options import parse
from scratchnet.cli.summary import print_data
from scratchnet.data.corruptions import CORRUPTIONS, corrupt, occluded_squares
from scratchnet.evaluation.metrics import evaluate
from scratchnet.files import write_csv
from scratchnet.training.classifier_run import load_network
from scratchnet.training.config import RobustnessConfig

CLEAN = ("clean", 0)


def corrupted(images, seed):
    """Yield ((name, strength), images) for the clean images, then all thirty corrupted ones.

    The five strengths of a corruption share their random numbers: what grows is the strength only.
    """
    yield CLEAN, images
    for name, corruption in CORRUPTIONS.items():
        for strength in corruption.strengths:
            yield (name, strength), corrupt(images, name, strength, generator(name, seed))


def generator(name, seed):
    """Return the random generator of a corruption."""
    return np.random.default_rng((seed, list(CORRUPTIONS).index(name)))


def measure(networks, test, seed):
    """Return {(name, strength): [accuracy of each network]} on the test images."""
    scores = {}
    total = 1 + sum(len(corruption.strengths) for corruption in CORRUPTIONS.values())
    for key, images in tqdm(corrupted(test.images, seed), total=total, leave=False, disable=None):
        x = data.to_unit_interval(images)  # (N,784)
        scores[key] = [evaluate(network, x, test.labels)[1] for network in networks]
    return scores


def print_table(scores, names):
    """Print the accuracies: a row a corruption and strength, a column a network."""
    width = max(8, *map(len, names))
    print(f"\n{'':12}{'strength':>8}  " + "  ".join(f"{name:>{width}}" for name in names))
    before = None
    for (kind, strength), row in scores.items():
        title = kind if kind != before else ""
        cells = "  ".join(f"{score:>{width}.2%}" for score in row)
        print(f"{title:12}{strength or '':>8}  {cells}")
        before = kind


def main(argv=None):
    """Run the command; the errors it raises are those that `cli.entry.run` knows."""
    description = "Measure trained networks on corrupted test images."
    given = parse(RobustnessConfig, "python -m scratchnet.robustness", description, argv)
    config = RobustnessConfig(**given)
    dataset = data.load(config.dataset, config.data_dir)
    networks = {name: load_network(name, dataset) for name in config.model}
    test, names = dataset.test, list(networks)
    print_data(dataset, f"{len(test.labels):,} test images")
    for name, network in networks.items():
        total = sum(array.size for _, array in network.parameters())
        print(f"model   {name}: {total:,} parameters")
    folder = Path(config.out or f"runs/robustness-{time.strftime('%Y-%m-%d-%H%M%S')}")
    folder.mkdir(parents=True, exist_ok=True)

    with threadpoolctl.threadpool_limits(config.threads, "blas"):
        scores = measure(networks.values(), test, config.seed)
    print_table(scores, names)
    columns = ("degradation", "strength", *names)
    write_csv(folder / "accuracy.csv", columns, [(*key, *row) for key, row in scores.items()])

    from scratchnet.evaluation import plots  # only here: importing matplotlib takes a while

    first = np.array([np.flatnonzero(test.labels == digit)[0] for digit in set(test.labels)])
    shown = dict(corrupted(test.images[first], config.seed))
    squares = {
        side: occluded_squares(len(first), side, generator("occlusion", config.seed))
        for side in CORRUPTIONS["occlusion"].strengths
    }
    plots.save(plots.corrupted_digits(shown, squares), folder / "digits.png")
    plots.save(plots.robustness(scores, names), folder / "accuracy.png")
    print(f"files   accuracy.csv, accuracy.png, digits.png in {folder}")


if __name__ == "__main__":
    entry.run(main)
