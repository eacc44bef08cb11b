"""Generative adversarial networks (GANs): a generator makes digits that a discriminator tests.

    noise ──generator──> fakes ──┐
                                 ├──discriminator──> logits: real or fake?
    digits of MNIST ─────────────┘

Both are trained in turn, by binary cross-entropy (Goodfellow et al., "Generative Adversarial
Networks", 2014, Algorithm 1). To the generator, the discriminator is nothing but more layers:
together they are one network from noise to logit, and backpropagation goes through both.

In the comments: B images in a batch, Z numbers of noise for each.
"""

from itertools import pairwise

import numpy as np

from scratchnet.nn.activations import LeakyReLU, Tanh
from scratchnet.nn.layers import Linear
from scratchnet.nn.losses import binary_cross_entropy
from scratchnet.nn.network import Network
from scratchnet.nn.optim import Adam, adam_update

PIXELS = 784
# Both from Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional
# Generative Adversarial Networks", 2016, section 4. Unlike there, the generator has leaky ReLUs as
# well: once the discriminator is ahead, dead units would keep it from ever catching up.
SLOPE, BETAS = 0.2, (0.5, 0.999)


class Generator(Network):
    """From noise (B, Z) to images (B, 784) in [-1, 1]: Linear, LeakyReLU, ..., Tanh."""

    def __init__(self, noise, hidden, *, rng, dtype=np.float32, matmul=np.matmul):
        """Build the layers.

        Args:
            noise, hidden: the size Z of the noise vectors, and the hidden widths in order.
            rng, dtype, matmul: handed to every `Linear`; the layers draw from `rng` in order.
        """
        sizes, layer_args = (noise, *hidden, PIXELS), {"rng": rng, "dtype": dtype, "matmul": matmul}
        super().__init__([*_dense(sizes, **layer_args), Tanh()])


class Discriminator(Network):
    """From images (B, 784) to logits (B, 1), positive for real: Linear, LeakyReLU, ..., Linear."""

    def __init__(self, hidden, *, rng, dtype=np.float32, matmul=np.matmul):
        """Build the layers with these hidden widths; the rest as for the `Generator`."""
        sizes, layer_args = (PIXELS, *hidden, 1), {"rng": rng, "dtype": dtype, "matmul": matmul}
        super().__init__(_dense(sizes, **layer_args))


class GAN:
    """A generator and a discriminator, each with its optimiser."""

    def __init__(
        self, generator, discriminator, lr, discriminator_lr, betas=BETAS, update=adam_update
    ):
        """Args: the networks; the learning rate of each; betas and update of both `Adam`s."""
        self.generator, self.discriminator = generator, discriminator
        self.combined = Network(generator.layers + discriminator.layers)  # from noise to logits
        self.generator_adam = Adam(generator, lr, betas, update=update)
        self.discriminator_adam = Adam(discriminator, discriminator_lr, betas, update=update)

    def discriminator_step(self, real, noise):
        """Train the discriminator a step on real images (B, 784) and fakes; return its loss."""
        fakes = self.generator.forward(noise)  # (B,Z) -> (B,784)
        batch = discriminator_batch(real, fakes)  # (2B,784), (2B,1)
        return train_step(self.discriminator, self.discriminator_adam, *batch)

    def generator_step(self, noise):
        """Train the generator a step by the non-saturating loss, -log D(fake); return it.

        The paper's minimax loss, log(1 - D(fake)), saturates: it is flat where the discriminator is
        confident (section 3).
        """
        batch = generator_batch(noise)  # (B,Z), (B,1)
        return train_step(self.combined, self.generator_adam, *batch)


def train_step(network, optimiser, x, targets):
    """Train for one step on x and its targets (B, 1), by binary cross-entropy; return the loss.

    The optimiser may update a part of the network only. The gradients that `backward` leaves in the
    other part are overwritten before anybody uses them.
    """
    logits = network.forward(x)  # (B,784) or (B,Z) -> (B,1)
    loss, dlogits = binary_cross_entropy(logits, targets)  # (), (B,1)
    network.backward(dlogits)
    optimiser.step()
    return loss


def discriminator_batch(real, fakes):
    """Return the discriminator's batch: images (2B, 784), and their targets, 1 real and 0 fake."""
    x = np.concatenate([real, fakes])  # (2B,784)
    is_real = np.arange(len(x)) < len(real)  # (2B,)
    return x, is_real[:, None].astype(x.dtype)  # (2B,784), (2B,1)


def generator_batch(noise):
    """Return the generator's batch: the noise (B, Z), and its targets (B, 1), all 1 for real."""
    return noise, np.ones((len(noise), 1), noise.dtype)  # (B,Z), (B,1)


def _dense(sizes, **layer_args):
    """Return Linear, LeakyReLU, Linear, LeakyReLU, ..., Linear."""
    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [Linear(n_in, n_out, **layer_args), LeakyReLU(SLOPE)]
    return layers[:-1]
