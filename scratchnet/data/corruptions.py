"""Six ways to make a digit harder to read, each in five strengths.

    images uint8 (N,28,28) ──corrupt(name, strength)──> uint8 (N,28,28)

The idea is that of ImageNet-C (Hendrycks & Dietterich, "Benchmarking neural network robustness to
common corruptions and perturbations", 2019): a network is trained on clean images, and its accuracy
drawn over the strength of what it has never seen. `augmented` lets it see the mildest ones after
all.

In the comments: N images.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage


class Corruption(NamedTuple):
    """What is done to images, in which five strengths, and the unit of those."""

    apply: object  # (images float32 (N,28,28) in 0..255, strength, rng) -> the same, or beyond
    strengths: tuple
    unit: str


def noise(images, sigma, rng):
    """Add normal noise with a standard deviation of `sigma` times white."""
    return images + 255 * sigma * rng.standard_normal(images.shape, np.float32)


def blur(images, sigma, rng):
    """Convolve with a Gaussian of standard deviation `sigma`, in pixels."""
    return ndimage.gaussian_filter(images, sigma, axes=(1, 2))


def shift(images, distance, rng):
    """Move each digit so many pixels in a direction of its own; what comes in is black."""
    angles = rng.uniform(0, 2 * np.pi, len(images))  # (N,)
    steps = distance * np.stack([np.sin(angles), np.cos(angles)], axis=1)  # (N,2)
    moved = np.empty_like(images)
    for image, step, out in zip(images, steps, moved, strict=True):
        ndimage.shift(image, step, out, order=1)
    return moved


def rotate(images, angle, rng):
    """Turn each digit by so many degrees about the centre, to one side or the other."""
    signs = rng.choice([-1, 1], len(images))  # (N,)
    turned = np.empty_like(images)
    for sign in (-1, 1):
        chosen = signs == sign  # (N,)
        turned[chosen] = ndimage.rotate(
            images[chosen], sign * angle, (1, 2), reshape=False, order=1
        )
    return turned


def reduce_contrast(images, share, rng):
    """Take away a share of the contrast: pixels move towards the mean of their image."""
    mean = images.mean(axis=(1, 2), keepdims=True)  # (N,1,1)
    return images + share * (mean - images)


def occlude(images, side, rng):
    """Black out a square of so many pixels a side, wherever it fits (DeVries & Taylor, 2017)."""
    tops, lefts = occluded_squares(len(images), side, rng)  # (N,), (N,)
    hidden = images.copy()
    for image, top, left in zip(hidden, tops, lefts, strict=True):
        image[top : top + side, left : left + side] = 0
    return hidden


def occluded_squares(n, side, rng):
    """Return the top rows and left columns, int64 (2, N), of the squares that `occlude` covers."""
    return rng.integers(0, 28 - side + 1, (2, n))


CORRUPTIONS = {
    "noise": Corruption(noise, (0.1, 0.2, 0.35, 0.5, 0.7), "standard deviation, white = 1"),
    "blur": Corruption(blur, (0.5, 1.0, 1.5, 2.0, 2.5), "standard deviation in pixels"),
    "shift": Corruption(shift, (1, 2, 3, 4, 5), "pixels"),
    "rotation": Corruption(rotate, (10, 20, 30, 40, 50), "degrees"),
    "contrast": Corruption(reduce_contrast, (0.3, 0.5, 0.7, 0.8, 0.9), "share taken away"),
    "occlusion": Corruption(occlude, (6, 9, 12, 14, 16), "pixels a side"),
}
MILD = 2  # strengths of each, from the weakest, that training sees


def corrupt(images, name, strength, rng):
    """Return images uint8 (N, 28, 28) corrupted; `strength` is in the unit of CORRUPTIONS[name]."""
    corrupted = CORRUPTIONS[name].apply(images.astype(np.float32), strength, rng)  # (N,28,28)
    return np.rint(corrupted.clip(0, 255)).astype(np.uint8)


def augmented(images, *, seed, epoch):
    """Return the training images (N, 28, 28) as an epoch sees them, by (seed, epoch) alone.

    Each image is dealt one of 1 + 6 · MILD lots: to stay as it is, or a corruption and strength.
    """
    rng = np.random.default_rng((seed, epoch, 2))
    lots = [(name, s) for name, c in CORRUPTIONS.items() for s in c.strengths[:MILD]]
    dealt = rng.integers(0, 1 + len(lots), len(images))  # (N,)
    seen = images.copy()
    for lot, (name, strength) in enumerate(lots, start=1):
        seen[dealt == lot] = corrupt(images[dealt == lot], name, strength, rng)
    return seen
