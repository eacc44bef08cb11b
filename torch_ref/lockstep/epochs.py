"""Epochs of a training command in lockstep, in its own loop.

    train_one_epoch(epoch, progress)              the engine, from `scratchnet.training.epoch`
        for batch in progress.watch(batches):     before: PyTorch is given our state
            ...                                   after: PyTorch takes the step, both are compared

All that a loop knows of the world is its progress: whoever stands in for that sees every step.
"""

from itertools import zip_longest

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR

from scratchnet.data import corruptions
from scratchnet.data.batches import draw_noise
from torch_ref import data, model


class WatchedProgress:
    """Stands in for the `Progress` of an epoch, whose every step it has PyTorch take as well.

    Attributes:
        batch: batches done before: none, the epoch is a whole one.
    """

    batch = 0

    def __init__(self, pair, their_batches, see):
        """Args: a Lockstep with a method `watched`; PyTorch's batches; who gets every Step.

        `see` gets a None where one side has a batch and the other none; the epoch ends there.
        """
        self.pair, self.their_batches, self.see = pair, their_batches, see
        self.recorded = []

    def watch(self, pieces):
        """Yield the batches of the loop, as `Progress.watch`."""
        for piece, their_batch in zip_longest(pieces, self.their_batches):
            if piece is None or their_batch is None:
                self.see(None)
                return
            before = self.pair.synchronise()
            self.recorded.clear()
            with self.pair.watched(piece) as trace:
                yield piece
            if self.recorded:
                loss, _ = self.recorded[-1]
                trace["loss"] = np.array(loss, trace["x"].dtype)
            self.see(self.pair.compare(before, trace, their_batch))

    def record(self, *row):
        """Take what the loop records of a step: its loss, and the number of images."""
        self.recorded.append(row)


class WatchedGANProgress:
    """The same for an epoch of a GAN: its steps are watched one by one, as `lockstep.gan` tells."""

    batch = 0

    def __init__(self, pair, their_batches, see):
        """Args: a GANLockstep; PyTorch's images (B, 784) in [-1, 1] and noise (2, B, Z); `see`."""
        self.pair, self.their_batches, self.see = pair, their_batches, see

    def watch(self, pieces):
        """Yield the batches of the loop, as `Progress.watch`."""
        for piece, their_batch in zip_longest(pieces, self.their_batches):
            if piece is None or their_batch is None:
                self.see(None)
                return
            their_real, noise = their_batch
            watched, steps = self.pair.watched(noise, their_real)
            vars(self.pair.ours).update(vars(watched))  # in place of the methods
            yield piece
            for step in steps:
                self.see(step)

    def record(self, *row):
        """The losses are among what is watched."""


def begin(kind, network, optimiser, loss_function, config):
    """Return a Lockstep of that kind, whose PyTorch side is built from the options of the command.

    Args:
        network, optimiser, loss_function: scratchnet's.
        config: a TrainConfig; nothing of PyTorch's recipe is taken from our optimiser.
    """
    theirs = model.to_torch(network)
    rates = {"momentum": config.momentum, "weight_decay": config.weight_decay}
    sgd = torch.optim.SGD(theirs.parameters(), config.lr, **rates)
    return kind(network, optimiser, loss_function, theirs=(theirs, sgd))


def walk(pair, train_one_epoch, split, config, see):
    """Let both train for the epochs of the command.

    Args:
        pair: what `begin` returned.
        train_one_epoch: the engine, on the images of the split, uint8 (N, 28, 28).
        see: a function that gets every Step, as WatchedProgress tells.
    """
    dtype = next(pair.model.parameters()).dtype
    order = {"seed": config.seed, "dtype": dtype}
    schedule = LambdaLR(pair.their_optimiser, lambda done: config.lr_decay**done)
    for epoch in range(1, config.epochs + 1):
        images = split.images
        if config.augment:
            images = corruptions.augmented(images, seed=config.seed, epoch=epoch)
        pictures = data.pictures(images, split.labels)
        batches = data.batches(pictures, config.batch_size, epoch=epoch, **order)
        train_one_epoch(epoch, WatchedProgress(pair, batches, see))
        schedule.step()


def walk_gan(pair, train_one_epoch, images, config, see):
    """Let both GANs train for the epochs of the command.

    Args:
        pair: a GANLockstep, of float32.
        train_one_epoch, config, see: as for `walk`, of `scratchnet.gan`.
        images: uint8 (N, 28, 28).
    """
    pictures = data.pictures(images, np.arange(len(images)))

    def batches(epoch):
        order = {"seed": config.seed, "epoch": epoch}
        reals = data.batches(pictures, config.batch_size, **order)
        for batch, (real, _) in enumerate(reals, start=1):
            shape = 2, len(real), config.noise
            yield 2 * real - 1, draw_noise(shape, batch=batch, **order)

    for epoch in range(1, config.epochs + 1):
        train_one_epoch(epoch, WatchedGANProgress(pair, batches(epoch), see))
