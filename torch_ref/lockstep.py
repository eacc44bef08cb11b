"""Watch two networks, one by hand and one in PyTorch, compute the same numbers, step by step.

    state ──┬─> scratchnet ──> every tensor of the step ──┐
            │                                             ├──> verdicts
            └─> PyTorch ─────> every tensor of the step ──┘
    twin ─────> PyTorch ─────> parameters that are never synchronised ──> drift

Before each step PyTorch is given scratchnet's parameters and velocities, so that every step is
judged by itself. Its twin gets the initial weights only and trains alone from there: how far it
drifts off shows what differences of rounding add up to.

    python -m torch_ref.lockstep --steps 1875 --dtype float64
"""

import sys
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import scratchnet
from scratchnet import cli
from scratchnet.models import MODELS, RECIPES
from scratchnet.train import kernel
from torch_ref import data, model, report, trace, verdict


@dataclass(frozen=True)
class Flip:
    """A unit that took one side in one network and another in the other, by rounding alone.

    A ReLU that is on here and off there, as z lies within rounding of 0; or a window whose largest
    pixel is one here and another there. Then it is their difference that lies so near to 0.
    """

    step: int
    name: str  # of the pre-activation, "z1", or of what was pooled, "a1"
    image: int
    unit: int | tuple  # the tuple: channel, row, column
    ours: float
    theirs: float
    band: float  # how far from 0 rounding can carry it; 0 where nothing is excused

    @property
    def place(self):
        return self.unit if isinstance(self.unit, int) else ", ".join(map(str, self.unit))

    @property
    def excused(self):
        return max(abs(self.ours), abs(self.theirs)) <= self.band


@dataclass(frozen=True)
class Step:
    """What one step of the walk has shown; steps are numbered from 1."""

    number: int
    before: dict  # the state that both sides started from
    ours: dict  # the two traces
    theirs: dict
    verdicts: list
    flips: list
    twin: dict  # the trace of the twin, whose state was its own

    @property
    def ok(self):
        return all(v.ok for v in self.verdicts) and all(flip.excused for flip in self.flips)

    @property
    def drift(self):
        """{parameter: how far the twin's is off, at most}."""
        names = [name for name in self.before if not name.startswith("v")]
        return {name: float(np.abs(self.ours[name] - self.twin[name]).max()) for name in names}


class Lockstep:
    """A scratchnet network with its optimiser and loss, and PyTorch's beside it."""

    def __init__(self, network, optimiser, loss_function=scratchnet.softmax_cross_entropy):
        self.network, self.optimiser, self.loss_function = network, optimiser, loss_function
        self.model, self.twin = model.to_torch(network), model.to_torch(network)
        self.their_optimiser, self.twin_optimiser = (
            torch.optim.SGD(
                network.parameters(),
                optimiser.lr,
                momentum=optimiser.momentum,
                weight_decay=optimiser.weight_decay,
            )
            for network in (self.model, self.twin)
        )
        self.steps = 0

    def step(self, our_batch, their_batch):
        """Take one step with each network on its own (x, labels); return the Step.

        The batches come from two pipelines and are compared like every other tensor.
        """
        self.steps += 1
        model.copy_weights(self.network, self.model)
        model.copy_velocities(self.optimiser, self.their_optimiser)
        before = trace.state(self.network, self.optimiser)
        ours = trace.trace_scratchnet(self.network, self.optimiser, self.loss_function, *our_batch)
        theirs, flipped = trace.trace_torch(
            self.model, self.their_optimiser, *their_batch, sides=ours
        )
        twin, _ = trace.trace_torch(self.twin, self.twin_optimiser, *their_batch)
        verdicts = verdict.compare_step(before, ours, theirs, self.optimiser)
        flips = self._flips(
            flipped, verdict.bands(before, ours, theirs, self.optimiser), ours, theirs
        )
        return Step(self.steps, before, ours, theirs, verdicts, flips, twin)

    def _flips(self, flipped, bands, ours, theirs):
        flips = []
        for name, places in flipped.items():
            # A float64 z as near to 0 as that is no accident of rounding: nothing is excused.
            excusing = ours[name].dtype == np.float32
            band = bands[name]() if excusing else np.zeros_like(ours[name])
            sides = ours[name], theirs[name], band
            if name[0] == "a":
                sides = self._leads(name, *sides)
            for place in places.tolist():
                image, *unit = place
                unit = tuple(unit) if len(unit) > 1 else unit[0]
                at = (float(side[tuple(place)]) for side in sides)
                flips.append(Flip(self.steps, name, image, unit, *at))
        return flips

    def _leads(self, name, ours, theirs, band):
        """By how much, on either side, our largest pixel of each window is ahead of PyTorch's.

        Returns:
            two arrays (B, C, H', W'), and how far rounding can move them: the bands of both pixels.
        """
        layers = self.network.layers
        pool = layers[1 + trace.layer_names(layers).index(name)]
        places = [trace.largest(pool, side) for side in (ours, theirs)]  # (B,C,H',W')

        def at(array, taken):
            flat = array.reshape(*array.shape[:2], -1)  # (B,C,HW)
            return np.take_along_axis(flat, taken.reshape(*flat.shape[:2], -1), 2).reshape(
                taken.shape
            )

        leads = [at(side, places[0]) - at(side, places[1]) for side in (ours, theirs)]
        return *leads, at(band, places[0]) + at(band, places[1])


def walk(lockstep, found, train, batch_size, seed, dtype):
    """Yield a Step for every batch of a shuffled epoch, then of the next, without end.

    Args:
        lockstep: a Lockstep.
        found, train: the same images, as a `scratchnet.data.Dataset` and torchvision's data set.
    """
    x = scratchnet.data.to_unit_interval(found.train.images, dtype)  # (N,784)
    torch_dtype = getattr(torch, np.dtype(dtype).name)
    for epoch in count(1):
        ours = scratchnet.data.batches(x, found.train.labels, batch_size, seed=seed, epoch=epoch)
        theirs = data.batches(train, batch_size, seed=seed, epoch=epoch, dtype=torch_dtype)
        for our_batch, their_batch in zip(ours, theirs, strict=True):
            yield lockstep.step(our_batch, their_batch)


def main(argv=None):
    """Run the command; exit code 1 if a criterion fails."""
    options = parser().parse_args(argv)
    if options.free_run and not Path(options.free_run).resolve().parent.is_dir():
        raise cli.UsageError(f"--free-run: there is no folder for {options.free_run}")
    train, _, found = data.load(options.dataset, options.data_dir)
    vars(options).update(
        {name: default for name, default in RECIPES[options.model].items() if name in options}
        | {name: value for name, value in vars(options).items() if value is not None}
    )
    network = MODELS[options.model](
        options.hidden,
        rng=np.random.default_rng(options.seed),
        dtype=options.dtype,
        matmul=kernel(options.matmul),
    )
    sgd = scratchnet.SGD(network, options.lr, options.momentum, options.weight_decay)
    print(report.heading(network, sgd, found, options))

    summary = report.Summary()
    steps = walk(
        Lockstep(network, sgd), found, train, options.batch_size, options.seed, options.dtype
    )
    # NumPy's and PyTorch's threads, each spinning while the other works, would halve the speed.
    # An overflow needs no warning beside the verdict.
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
        for step in tqdm(islice(steps, options.steps), total=options.steps, disable=None):
            if not np.isfinite(step.theirs["loss"]):
                raise cli.NumericError(
                    f"PyTorch's own loss is {step.theirs['loss']} in step {step.number}, "
                    "so there is nothing to compare; try a lower --lr"
                )
            if step.number == 1 or (summary.ok and not step.ok):
                tqdm.write(report.table(step, sgd))
            summary.add(step)
    print(summary)
    if options.free_run:
        print(summary.free_run())
        report.draw_drift(summary).savefig(options.free_run, format="png")
        print(f"  curve: {options.free_run}")
    if not summary.ok:
        sys.exit(1)


def parser():
    """The options; they mean what they mean to `scratchnet.train`, and have its defaults."""
    p = cli.Parser("python -m torch_ref.lockstep", description=__doc__.split("\n")[0])
    size, amount = cli.whole_number(1), cli.real_number(0)
    p.add_argument("--model", choices=MODELS, default="mlp")
    p.add_argument("--steps", type=size, default=100, help="batches to walk (%(default)s)")
    p.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    p.add_argument("--matmul", default="numpy", metavar="NAME", help="the kernel of our side")
    p.add_argument("--hidden", type=size, nargs="*", metavar="WIDTH")
    p.add_argument("--batch-size", type=size, default=32)
    p.add_argument("--lr", type=cli.real_number(0, exclusive=True))
    p.add_argument("--momentum", type=amount)
    p.add_argument("--weight-decay", type=amount, default=0.0)
    p.add_argument("--seed", type=cli.whole_number(0), default=0)
    p.add_argument("--dataset", choices=["auto", "mnist", "sample"], default="auto")
    p.add_argument("--data-dir", metavar="FOLDER", help="where the four IDX files are")
    p.add_argument(
        "--free-run",
        nargs="?",
        const="free-run.png",
        metavar="PNG",
        help="also tell how the twin drifts off, and draw the curve (%(const)s)",
    )
    return p


if __name__ == "__main__":
    cli.run(main)
