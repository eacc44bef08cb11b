"""Two networks that learn from each other: one draws digits, the other tells them from real ones.

    noise ──generator──> fakes ──┐
                                 ├──discriminator──> logits: real or fake?
    digits of MNIST ─────────────┘

Each takes ordinary training steps on what the other does (Goodfellow et al., "Generative
Adversarial Networks", 2014, Algorithm 1). To the generator, the discriminator is nothing but more
layers: together they are one network from noise to logit, whose gradient comes back through both.

In the comments: B images in a batch, Z numbers of noise for each.
"""

from itertools import pairwise

import numpy as np

from scratchnet.activations import LeakyReLU, Tanh
from scratchnet.adam import Adam, update
from scratchnet.binary import binary_cross_entropy
from scratchnet.layers import Linear
from scratchnet.network import Network

PIXELS = 784
# Both from Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional
# Generative Adversarial Networks", 2016, section 4. Unlike there, the generator leaks as well: once
# the discriminator is ahead, units that are off for good are its death.
SLOPE, BETAS = 0.2, (0.5, 0.999)


class Generator(Network):
    """From noise (B, Z) to images (B, 784) in [-1, 1]: Linear, LeakyReLU, ..., Tanh."""

    def __init__(self, noise, hidden, *, rng, dtype=np.float32, matmul=np.matmul):
        """Build the layers for so many numbers of noise and these hidden widths.

        Args:
            rng, dtype, matmul: handed to every `Linear`; the layers draw from `rng` in order.
        """
        sizes, drawn = (noise, *hidden, PIXELS), {"rng": rng, "dtype": dtype, "matmul": matmul}
        super().__init__([*_dense(sizes, **drawn), Tanh()])


class Discriminator(Network):
    """From images (B, 784) to logits (B, 1), over 0 for real: Linear, LeakyReLU, ..., Linear."""

    def __init__(self, hidden, *, rng, dtype=np.float32, matmul=np.matmul):
        """Build the layers with these hidden widths; the rest as for the `Generator`."""
        sizes, drawn = (PIXELS, *hidden, 1), {"rng": rng, "dtype": dtype, "matmul": matmul}
        super().__init__(_dense(sizes, **drawn))


class GAN:
    """A generator and a discriminator, each with its optimiser."""

    def __init__(self, generator, discriminator, lr, discriminator_lr, betas=BETAS, update=update):
        """Args: the networks; the learning rate of each; betas and update of both `Adam`s."""
        self.generator, self.discriminator = generator, discriminator
        self.both = Network(generator.layers + discriminator.layers)  # from noise to logits
        self.generator_adam = Adam(generator, lr, betas, update=update)
        self.discriminator_adam = Adam(discriminator, discriminator_lr, betas, update=update)

    def tell_apart(self, real, noise):
        """Take a step of the discriminator on real (B, 784) and fake images; return the loss."""
        fakes = self.generator.forward(noise)  # (B,Z) -> (B,784)
        return learn(self.discriminator, self.discriminator_adam, *to_tell_apart(real, fakes))

    def deceive(self, noise):
        """Take a step of the generator, towards fakes that are taken for real; return the loss.

        It climbs log D, rather than descend log(1 - D), which is flat where the discriminator is
        sure (section 3 of the paper).
        """
        return learn(self.both, self.generator_adam, *to_deceive_with(noise))


def learn(network, optimiser, x, targets):
    """Take one training step on x, whose logits should say `targets` (B, 1); return the loss.

    The optimiser may move a part of the network only. What `backward` leaves in the other part is
    overwritten before anybody uses it.
    """
    logits = network.forward(x)  # (B,784) or (B,Z) -> (B,1)
    loss, dlogits = binary_cross_entropy(logits, targets)  # (), (B,1)
    network.backward(dlogits)
    optimiser.step()
    return loss


def to_tell_apart(real, fakes):
    """Return what the discriminator learns from: images (2B, 784), and 1 for real, 0 for fake."""
    x = np.concatenate([real, fakes])  # (2B,784)
    is_real = np.arange(len(x)) < len(real)  # (2B,)
    return x, is_real[:, None].astype(x.dtype)  # (2B,784), (2B,1)


def to_deceive_with(noise):
    """Return what the generator learns from: the noise (B, Z), to be taken for real, 1."""
    return noise, np.ones((len(noise), 1), noise.dtype)  # (B,Z), (B,1)


def _dense(sizes, **drawn):
    """Return Linear, LeakyReLU, Linear, LeakyReLU, ..., Linear."""
    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [Linear(n_in, n_out, **drawn), LeakyReLU(SLOPE)]
    return layers[:-1]
