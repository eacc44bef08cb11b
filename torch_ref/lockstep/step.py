"""One step of two networks that go in lockstep, one by hand and one in PyTorch.

    state ──┬─> scratchnet ──> every tensor of the step ──┐
            │                                             ├──> comparisons
            └─> PyTorch ─────> every tensor of the step ──┘
    twin ─────> PyTorch ─────> parameters that are never synchronised ──> drift

Before each step PyTorch is given scratchnet's parameters and the state of its optimiser, so that
every step is compared by itself. Its twin gets the initial weights only and trains alone from
there: how far it drifts off shows what differences of rounding add up to.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn import functional as F

from scratchnet.checking.comparison import compare_step
from scratchnet.checking.layer_bounds import LOSSES, layer_names, step_bounds
from scratchnet.checking.trace import short, state, trace_scratchnet, watch, watched
from scratchnet.data.batches import batches, to_unit_interval
from scratchnet.nn.losses import softmax_cross_entropy
from scratchnet.training.epoch import train_epoch
from torch_ref import data, model
from torch_ref.lockstep import optim, trace

# PyTorch's losses, as functions of logits and labels, by the names of ours.
CRITERIA = {
    "softmax_cross_entropy": F.cross_entropy,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
}


@dataclass(frozen=True)
class Flip:
    """A unit that took one side in one network and another in the other, by rounding alone.

    A ReLU that is on here and off there, as z lies within rounding of 0; or a window whose largest
    pixel is one here and another there. Then it is their difference that lies so near to 0.
    """

    step: int
    name: str  # of the pre-activation, "z1", or of what was pooled, "a1"
    image: int
    unit: tuple  # its number, or channel, row, column
    ours: float
    theirs: float
    bound: float  # how far from 0 rounding can carry it; 0 where nothing is excused

    @property
    def place(self):
        return ", ".join(map(str, self.unit))

    @property
    def excused(self):
        return max(abs(self.ours), abs(self.theirs)) <= self.bound


@dataclass(frozen=True)
class Step:
    """The comparison of one training step; steps are numbered from 1."""

    lockstep: "Lockstep"
    number: int
    before: dict  # the state that both sides started from
    ours: dict  # the two traces
    theirs: dict
    comparisons: list
    flips: list
    twin: dict | None  # the trace of the twin, whose state was its own

    @property
    def ok(self):
        return all(c.ok for c in self.comparisons) and all(flip.excused for flip in self.flips)

    @property
    def drift(self):
        """{parameter: how far the twin's is off, at most}."""
        names = [name for name in self.before if name[0] in "Wb"]
        return {name: float(np.abs(self.ours[name] - self.twin[name]).max()) for name in names}


class Lockstep:
    """A scratchnet network with its optimiser and loss, and the same in PyTorch.

    Attributes:
        adapter: the OptimiserAdapter.
        updated: the names of the parameters that the optimiser updates.
    """

    def __init__(
        self,
        network,
        optimiser,
        loss_function=softmax_cross_entropy,
        *,
        theirs=None,
        twin=None,
        title="",
    ):
        """Build PyTorch's side and a twin.

        Args:
            network, optimiser, loss_function: scratchnet's; the optimiser may update only the first
                layers of the network.
            theirs: PyTorch's (network, optimiser), if there are any.
            twin: the same of the twin; without it there is none beside `theirs`.
            title: what the reports call it, if there is more than one.
        """
        self.network, self.optimiser, self.loss_function = network, optimiser, loss_function
        self.loss_name = loss_function.__name__
        self.adapter = optim.adapter(optimiser)
        self.model, self.their_optimiser = theirs or self._theirs()
        self.twin = twin if theirs else self._theirs()
        each = optim.updated(self.their_optimiser, self.model)
        self.updated = list(short((name, tensor) for name, tensor, _ in each))
        self.title = title
        self.steps = 0

    def step(self, our_batch, their_batch):
        """Take one step with each network on its own (x, labels); return the Step.

        The batches come from two pipelines and are compared like every other tensor.
        """
        setting = self.network, self.optimiser, self.loss_function
        return self.watch(partial(trace_scratchnet, *setting, *our_batch), their_batch)

    def watch(self, take_ours, their_batch, twins_batch=None):
        """Take one step with each network; return the Step.

        Args:
            take_ours: a function of no arguments that takes ours and returns the trace.
            their_batch: (x, labels) for PyTorch.
            twins_batch: the same for the twin, if that has another.
        """
        before = self.synchronise()
        return self.compare(before, take_ours(), their_batch, twins_batch)

    @contextmanager
    def watched(self, batch):
        """Watch the step that layers take on a batch; the trace then holds all but the loss."""
        _, labels = batch
        with watched(self.network, self.optimiser) as trace:
            yield trace
        trace["labels"] = labels.copy()

    def synchronise(self):
        """Give PyTorch our parameters and the state of our optimiser; return copies of them."""
        model.copy_weights(self.network, self.model)
        self.adapter.copy_state(self.their_optimiser, self.model)
        return state(self.network, self.optimiser)

    def compare(self, before, ours, their_batch, twins_batch=None):
        """Take PyTorch's step, beside ours that has been taken from `before`; return the Step."""
        self.steps += 1
        theirs, flipped = self._trace(self.model, self.their_optimiser, their_batch, ours)
        twin = self.twin and self._trace(*self.twin, twins_batch or their_batch)[0]
        bounds = self.bounds(before, ours, theirs)
        comparisons = compare_step(bounds, ours, theirs, before)
        flips = self._flips(flipped, bounds, ours, theirs)
        return Step(self, self.steps, before, ours, theirs, comparisons, flips, twin)

    def bounds(self, before, ours, theirs):
        """Return the error bound of every tensor that is compared, as `step_bounds`."""
        loss_bounds = LOSSES[self.loss_name]
        return step_bounds(self.network, loss_bounds, self._updated_bounds, before, ours, theirs)

    def _theirs(self):
        network = model.to_torch(self.network)
        return network, self.adapter.to_torch(network.parameters())

    def _updated_bounds(self, p, pair, before):
        return self.adapter.bounds(p, pair, before) if p in self.updated else {p: None}

    def _trace(self, network, optimiser, batch, sides=None):
        theirs, flipped = trace.trace_torch(
            network, optimiser, *batch, sides, criterion=CRITERIA[self.loss_name]
        )
        return theirs | self.adapter.their_state(optimiser, network), flipped

    def _flips(self, flipped, bounds, ours, theirs):
        flips = []
        for name, places in flipped.items():
            # A float64 z as near to 0 as that is no accident of rounding: nothing is excused.
            excusing = ours[name].dtype == np.float32
            bound = bounds[name]() if excusing else np.zeros_like(ours[name])
            sides = ours[name], theirs[name], bound
            if name[0] == "a":
                sides = self._leads(name, *sides)
            for place in places.tolist():
                image, *unit = place
                at = (float(side[tuple(place)]) for side in sides)
                flips.append(Flip(self.steps, name, image, tuple(unit), *at))
        return flips

    def _leads(self, name, ours, theirs, bound):
        """By how much, on either side, our largest pixel of each window is ahead of PyTorch's.

        Returns:
            two arrays (B, C, H', W'), and how far rounding can move them: both pixels' bounds.
        """
        layers = self.network.layers
        pool = layers[1 + layer_names(layers).index(name)]
        places = [trace.argmax(pool, side) for side in (ours, theirs)]  # (B,C,H',W')

        def at(array, taken):
            flat = array.reshape(*array.shape[:2], -1)  # (B,C,HW)
            found = np.take_along_axis(flat, taken.reshape(*flat.shape[:2], -1), 2)
            return found.reshape(taken.shape)

        leads = [at(side, places[0]) - at(side, places[1]) for side in (ours, theirs)]
        return *leads, at(bound, places[0]) + at(bound, places[1])


def walk(lockstep, found, train, batch_size, seed, dtype):
    """Yield a Step for every batch of a shuffled epoch, then of the next, without end.

    Args:
        lockstep: a Lockstep.
        found, train: the same images, as a `scratchnet.data.Dataset` and torchvision's data set.
    """
    x = to_unit_interval(found.train.images, dtype)  # (N,784)
    torch_dtype = getattr(torch, np.dtype(dtype).name)
    for epoch in count(1):
        ours = batches(x, found.train.labels, batch_size, seed=seed, epoch=epoch)
        theirs = data.batches(train, batch_size, seed=seed, epoch=epoch, dtype=torch_dtype)
        for our_batch, their_batch in zip(ours, theirs, strict=True):
            yield lockstep.watch(partial(_train, lockstep, *our_batch), their_batch)


def _train(lockstep, x, labels):
    """Take a step in the loop of `scratchnet.train`; return its trace."""
    setting, losses = (lockstep.network, lockstep.optimiser), []
    progress = SimpleNamespace(watch=iter, record=lambda loss, n_images: losses.append(loss))

    def learn():
        train_epoch(*setting, [(x, labels)], progress)
        return losses.pop()

    return watch(*setting, learn) | {"labels": labels.copy()}
