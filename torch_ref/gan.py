"""The same GAN, as any PyTorch user would write it, and its training loop.

In the comments: B images in a batch, Z numbers of noise for each.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from torch_ref.model import copy_weights


class TorchGAN:
    """A generator and a discriminator, each with its Adam."""

    def __init__(self, generator, discriminator, *, lrs, betas=(0.5, 0.999), dtype=torch.float32):
        """Build the layers.

        Args:
            generator, discriminator: widths, for example (64, 128, 784) and (784, 128, 1).
            lrs: the learning rates of both.
        """
        self.generator = nn.Sequential(*_dense(generator, dtype), nn.Tanh())
        self.discriminator = nn.Sequential(*_dense(discriminator, dtype))
        self.combined = nn.Sequential(*self.generator, *self.discriminator)  # from noise to logits
        self.generator_adam, self.discriminator_adam = (
            torch.optim.Adam(network.parameters(), lr=lr, betas=betas)
            for network, lr in zip((self.generator, self.discriminator), lrs, strict=True)
        )


def _dense(sizes, dtype):
    """Return Linear, LeakyReLU, Linear, LeakyReLU, ..., Linear."""
    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out, dtype=dtype), nn.LeakyReLU(0.2)]
    return layers[:-1]


def to_torch(gan, **recipe):
    """Return the twin of a `scratchnet.nn.gan.GAN`, with its weights.

    Args: lrs and betas, as for TorchGAN; those of the GAN, unless they are given.
    """
    adams = gan.generator_adam, gan.discriminator_adam
    networks = gan.generator, gan.discriminator
    theirs = TorchGAN(
        *map(widths, networks),
        **{"lrs": [adam.lr for adam in adams], "betas": adams[0].betas} | recipe,
        dtype=torch.from_numpy(gan.generator.parametric_layers[0].W).dtype,
    )
    for network, model in zip(networks, (theirs.generator, theirs.discriminator), strict=True):
        copy_weights(network, model)
    return theirs


def discriminator_batch(real, fakes):
    """Return the discriminator's batch: images (2B, 784), and targets, 1 real and 0 fake."""
    targets = torch.cat([torch.ones(len(real), 1), torch.zeros(len(fakes), 1)])  # (2B,1)
    return torch.cat([real, fakes.detach()]), targets.to(real.dtype)


def generator_batch(noise):
    """Return the generator's batch: the noise (B, Z), and the target 1, to be taken for real."""
    return noise, torch.ones(len(noise), 1, dtype=noise.dtype)  # (B,1)


def train_epoch(gan, criterion, train_loader, draw):
    """Go once around the training images; return the mean losses (discriminator, generator).

    Args:
        gan: a TorchGAN.
        criterion: `nn.BCEWithLogitsLoss()`.
        train_loader: yields images (B, 1, 28, 28) in [0, 1], and labels, which nobody needs.
        draw: a function of B that returns noise (B, Z).
    """
    totals = np.zeros(2)
    for images, _ in train_loader:
        real = 2 * images.view(-1, 784) - 1  # (B,784), in [-1,1] like the fakes

        fakes = gan.generator(draw(len(real)))  # (B,784)
        x, targets = discriminator_batch(real, fakes)
        discriminator_loss = criterion(gan.discriminator(x), targets)
        gan.discriminator_adam.zero_grad()
        discriminator_loss.backward()
        gan.discriminator_adam.step()

        noise, targets = generator_batch(draw(len(real)))
        generator_loss = criterion(gan.combined(noise), targets)
        gan.generator_adam.zero_grad()
        generator_loss.backward()
        gan.generator_adam.step()

        totals += len(real) * np.array([discriminator_loss.item(), generator_loss.item()])
    return tuple((totals / len(train_loader.dataset)).tolist())


def widths(network):
    """Return the widths of one of the two, inputs first."""
    layers = network.parametric_layers
    return [*(len(layer.W) for layer in layers), len(layers[-1].b)]
