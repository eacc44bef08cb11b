"""From images to shuffled batches, and the keys that random numbers are drawn from.

    uint8 (N,28,28) ──to_unit_interval──> float32 (N,784) in [0, 1]
                    ──batches(seed, epoch)──> x (B,784), labels (B,)

A draw is a pure function of its key: nothing depends on what was drawn before it, so a run resumes
without any generator's state. No two uses in a run share a key:

    (seed, epoch)      the order of an epoch
    classifier         (seed, 0, 1) what is held out, (seed, epoch, 2) `corruptions.augmented`
    GAN                (seed, epoch, batch) the noise; epoch 0 is what digits are shown with

In the comments: N images, B images in a batch, Z numbers of noise for each.
"""

import math
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Images uint8 (N, 28, 28), 0 for the background, and their labels int64 (N,), 0 to 9."""

    images: np.ndarray
    labels: np.ndarray


def to_unit_interval(images, dtype=np.float32):
    """Scale images uint8 (N, 28, 28) to (N, 784) in [0, 1], bit for bit as torchvision's ToTensor.

    Computed in float32 whatever `dtype`, so that every precision starts from the same pixels.
    """
    x = images.reshape(len(images), math.prod(images.shape[1:]))  # (N,28,28) -> (N,784)
    x = x.astype(np.float32)  # (N,784)
    x /= 255  # in place: a second copy of the training set would cost 188 MB
    return x.astype(dtype, copy=False)


def to_tanh_range(images, dtype=np.float32):
    """Scale images uint8 (N, 28, 28) to (N, 784) in [-1, 1], as far as a Tanh reaches."""
    x = to_unit_interval(images, dtype)  # (N,784)
    x *= 2
    x -= 1
    return x


def hold_out(split, size, seed):
    """Return (training, validation): `size` images drawn without replacement, by the seed alone.

    Both keep the order of the file. ValueError unless at least one image is left to train on.
    """
    n = len(split.labels)
    if not 0 <= size < n:
        raise ValueError(f"{size:,} validation images cannot be held out of {n:,} training images")
    held_out = np.zeros(n, bool)
    held_out[np.random.default_rng((seed, 0, 1)).permutation(n)[:size]] = True
    return tuple(Split(split.images[k], split.labels[k]) for k in (~held_out, held_out))


def shuffled(n, *, seed, epoch):
    """Return the numbers of n images in the order of an epoch, a pure function of the arguments."""
    return np.random.default_rng((seed, epoch)).permutation(n)  # (N,)


def batches(x, labels, batch_size, *, seed, epoch, start=0):
    """Yield (x (B, 784), labels (B,)) once around the data, in the order of `shuffled`.

    A run that stopped after batch k resumes with `start=k`. The last batch holds what is left, so
    every image is seen once an epoch. ValueError if x and labels differ in length.
    """
    x, labels = np.asarray(x), np.asarray(labels)
    if len(x) != len(labels):
        raise ValueError(f"{len(x):,} images and {len(labels):,} labels are not of one data set")
    order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)
    for first in range(start * batch_size, len(x), batch_size):
        chosen = order[first : first + batch_size]  # (B,)
        yield x[chosen], labels[chosen]


def gan_batches(x, batch_size, noise, *, seed, epoch, start=0):
    """Yield (real (B, 784), noise (2, B, Z)) once around the images x, in the order of `batches`.

    Args:
        noise: Z, the numbers that a fake is made from; of the two, one is for each network's step.
    """
    numbers = np.arange(len(x))  # (N,), in place of labels
    reals = batches(x, numbers, batch_size, seed=seed, epoch=epoch, start=start)
    for batch, (real, _) in enumerate(reals, start=start + 1):  # (B,784)
        yield real, draw_noise((2, len(real), noise), seed=seed, epoch=epoch, batch=batch)


def draw_noise(shape, *, seed, epoch, batch):
    """Return normal noise, float32: another for each batch, and the same when it comes again."""
    return np.random.default_rng((seed, epoch, batch)).standard_normal(shape, np.float32)
