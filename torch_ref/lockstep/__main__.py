"""Watch two networks, one by hand and one in PyTorch, compute the same numbers, step by step.

    python -m torch_ref.lockstep --steps 1875 --dtype float64
    python -m torch_ref.lockstep --model gan

What a step is stands in `step`, the criteria in `scratchnet.checking.comparison`; the two networks
of a GAN take turns, as `gan` tells. Here they walk through batches of real digits.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import scratchnet
from scratchnet.cli import entry
from scratchnet.cli.options import Parser, add_options, kernel, whole_number
from scratchnet.errors import NumericError, UsageError
from scratchnet.training.config import MODELS, GANConfig, TrainConfig
from torch_ref import data
from torch_ref.lockstep import gan, report
from torch_ref.lockstep.step import Lockstep, walk

# The options that mean what they mean to the training commands, and have their defaults.
TRAINING = ["batch_size", "lr", "momentum", "weight_decay", "hidden", "seed", "matmul"]
TRAINING += ["dataset", "data_dir"]


def main(argv=None):
    """Run the command; exit code 1 if a criterion fails."""
    options = parse(argv)
    if options.free_run and not Path(options.free_run).resolve().parent.is_dir():
        raise UsageError(f"--free-run: there is no folder for {options.free_run}")
    if options.model == "gan" and (options.momentum or options.weight_decay or options.free_run):
        raise UsageError("--momentum, --weight-decay and --free-run are not for --model gan")
    train, _, found = data.load(options.dataset, options.data_dir)
    start = begin_gan if options.model == "gan" else begin_walk
    heading, steps, taken_a_batch = start(options, found, train)
    print(heading)

    summaries = {}
    # NumPy's and PyTorch's threads, each spinning while the other works, would halve the speed.
    # An overflow needs no warning beside the comparison.
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
        wanted = options.steps * taken_a_batch
        for step in tqdm(islice(steps, wanted), total=wanted, disable=None):
            if not np.isfinite(step.theirs["loss"]):
                raise NumericError(
                    f"PyTorch's own loss is {step.theirs['loss']} in step {step.number}, "
                    "so there is nothing to compare; try a lower --lr"
                )
            title = step.lockstep.title
            summary = summaries.setdefault(title, report.Summary(title))
            if step.number == 1 or (summary.ok and not step.ok):
                tqdm.write(report.table(step))
            summary.add(step)
    print(*summaries.values(), sep="\n")
    if options.free_run:
        (summary,) = summaries.values()
        print(summary.free_run())
        report.draw_drift(summary).savefig(options.free_run, format="png")
        print(f"  curve: {options.free_run}")
    if not all(summary.ok for summary in summaries.values()):
        sys.exit(1)


def begin_walk(options, found, train):
    """Return the heading, the Steps of the network that the options ask for, and 1 for a batch."""
    network = MODELS[options.model](options.hidden, **_layer_args(options))
    sgd = scratchnet.SGD(network, options.lr, options.momentum, options.weight_decay)
    pair = Lockstep(network, sgd)
    steps = walk(pair, found, train, options.batch_size, options.seed, options.dtype)
    return report.heading(network, pair.adapter, found, options), steps, 1


def begin_gan(options, found, train):
    """Return the heading, the Steps of a GAN in turn, and 2 for a batch."""
    pair = gan.begin(options.hidden, options.lr, **_layer_args(options))
    steps = gan.walk(pair, found, train, options.batch_size, options.seed, options.dtype)
    return report.heading(pair, pair.recipe, found, options), steps, 2


def _layer_args(options):
    return {
        "rng": np.random.default_rng(options.seed),
        "dtype": options.dtype,
        "matmul": kernel(options.matmul),
    }


def parse(argv):
    """Return the options of the command line, with the defaults of the training commands."""
    p = Parser("python -m torch_ref.lockstep", description=__doc__.split("\n")[0])
    models = {"choices": [*MODELS, "gan"], "default": "mlp"}
    about = "the networks; gan: with the defaults of scratchnet.gan (default: %(default)s)"
    p.add_argument("--model", **models, help=about)
    steps = {"default": 100, "help": "batches to walk (default: %(default)s)"}
    p.add_argument("--steps", **steps, **whole_number(1).arguments)
    dtypes = {"choices": ["float32", "float64"], "default": "float64"}
    p.add_argument("--dtype", **dtypes, help="of both networks (default: %(default)s)")
    add_options(p, TrainConfig, *TRAINING)
    p.add_argument(
        "--free-run",
        nargs="?",
        const="free-run.png",
        metavar="PNG",
        help="also tell how an unsynchronised twin drifts off; its curve is drawn into this file, "
        "or into %(const)s",
    )
    given = vars(p.parse_args(argv))
    model = given["model"]
    defaults = GANConfig() if model == "gan" else TrainConfig(model=model)
    return argparse.Namespace(**{n: getattr(defaults, n, None) for n in TRAINING} | given)


if __name__ == "__main__":
    entry.run(main)
