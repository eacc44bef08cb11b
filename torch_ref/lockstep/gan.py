"""A GAN in lockstep: its two steps, as ordinary training steps of two networks.

    discriminator   images, real ones and fakes ──> logits       updated by its Adam
    generator       noise ──> fakes ──> logits                   of which its Adam updates a part

They take turns in the training loop itself, and what is watched are the methods that train. In a
step of the generator the layers of the discriminator count on from its own: with three of weights
each, the fakes are a3, and z4 is the first that the discriminator makes of them.

In its own step, PyTorch's discriminator is shown the fakes that our generator has drawn. That
PyTorch's draws the same, every step of the generator shows. The twin, a whole GAN that is never
synchronised, draws its own.

In the comments: B images in a batch, Z numbers of noise for each.
"""

from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import torch

from scratchnet.checking.trace import watch
from scratchnet.data.batches import gan_batches, to_tanh_range
from scratchnet.kernels.adam import adam_update
from scratchnet.nn.gan import GAN, Discriminator, Generator
from scratchnet.nn.losses import binary_cross_entropy
from scratchnet.training.config import GANConfig
from scratchnet.training.epoch import train_gan_epoch
from torch_ref import data, gan
from torch_ref.lockstep.step import Lockstep


class GANLockstep:
    """A `scratchnet.nn.gan.GAN` and PyTorch's.

    Attributes:
        discriminator, generator: a Lockstep each.
    """

    def __init__(self, ours, loss_function, **recipe):
        """Args: the GAN; its loss, `scratchnet.binary_cross_entropy`; lrs and betas for PyTorch, if
        they are not to be taken from the GAN."""
        theirs, twin = (gan.to_torch(ours, **recipe) for _ in range(2))
        self.ours, self.twin = ours, twin
        self.learn = ours.discriminator_step, ours.generator_step
        self.discriminator = Lockstep(
            *(ours.discriminator, ours.discriminator_adam, loss_function),
            theirs=(theirs.discriminator, theirs.discriminator_adam),
            twin=(twin.discriminator, twin.discriminator_adam),
            title="discriminator",
        )
        self.generator = Lockstep(
            *(ours.combined, ours.generator_adam, loss_function),
            theirs=(theirs.combined, theirs.generator_adam),
            twin=(twin.combined, twin.generator_adam),
            title="generator",
        )

    def __str__(self):
        """The widths of both: 64-256-784 against 784-256-1."""
        networks = self.ours.generator, self.ours.discriminator
        return " against ".join("-".join(map(str, gan.widths(network))) for network in networks)

    @property
    def recipe(self):
        """Both optimisers: Adam with lr 0.0008 and 0.0001, betas (0.5, 0.999)."""
        adams = self.ours.generator_adam, self.ours.discriminator_adam
        return f"Adam with lr {adams[0].lr} and {adams[1].lr}, betas {adams[0].betas}"

    def step(self, real, noise, their_real):
        """Let both GANs train on a batch, ours in the loop of `scratchnet.gan`; return both Steps.

        Args: real images (B, 784), noise (2, B, Z), and PyTorch's real images.
        """
        both, steps = self.watched(noise, their_real)
        train_gan_epoch(both, [(real, noise)], SimpleNamespace(watch=iter, record=lambda *_: None))
        return steps

    def watched(self, noise, their_real):
        """Return what to train in place of our GAN, and the list of the Steps it will have taken.

        Args: those of PyTorch: noise (2, B, Z) and real images.
        """
        our_fakes = torch.from_numpy(self.ours.generator.forward(noise[0]))  # (B,784)
        twins_fakes = self.twin.generator(torch.from_numpy(noise[0]))  # (B,784)
        discriminated = [
            gan.discriminator_batch(their_real, fakes)  # (2B,784), (2B,1)
            for fakes in (our_fakes, twins_fakes)
        ]
        generated = [gan.generator_batch(torch.from_numpy(noise[1]))]  # (B,Z), (B,1)
        steps = []

        def watched(pair, learn, batches):
            def step(*batch):
                ours = partial(watch, pair.network, pair.optimiser, partial(learn, *batch))
                steps.append(pair.watch(ours, *batches))

            return step

        both = SimpleNamespace(
            discriminator_step=watched(self.discriminator, self.learn[0], discriminated),
            generator_step=watched(self.generator, self.learn[1], generated),
        )
        return both, steps


def begin(hidden, lr, **layer_args):
    """Return the GANLockstep of a generator of these hidden widths, a discriminator of the reverse.

    Args:
        lr: of the generator.
        layer_args: rng, dtype and matmul, as for the networks.
    """
    defaults = GANConfig()
    generator = Generator(defaults.noise, hidden, **layer_args)
    discriminator = Discriminator(hidden[::-1], **layer_args)
    lrs = lr, defaults.discriminator_lr
    return GANLockstep(
        GAN(generator, discriminator, *lrs, update=adam_update), binary_cross_entropy
    )


def walk(pair, found, train, batch_size, seed, dtype):
    """Yield a Step of the discriminator and one of the generator for every batch, without end.

    The arguments are those of `torch_ref.lockstep.step.walk`.
    """
    x = to_tanh_range(found.train.images, dtype)  # (N,784)
    torch_dtype = getattr(torch, np.dtype(dtype).name)
    numbers = len(pair.ours.generator.parametric_layers[0].W)
    for epoch in count(1):
        ours = gan_batches(x, batch_size, numbers, seed=seed, epoch=epoch)
        theirs = data.batches(train, batch_size, seed=seed, epoch=epoch, dtype=torch_dtype)
        for (real, noise), (their_real, _) in zip(ours, theirs, strict=True):
            yield from pair.step(real, noise.astype(dtype, copy=False), 2 * their_real - 1)
