"""GAN metrics by a trained classifier: confident share, share of each digit, Fréchet distance.

    images ──classifier──┬──> probabilities ──> of how many is it confident, and as which digits?
                         └──> features ───────> how far are they from those of real digits?

A generator that draws one perfect 7 again and again passes the first question; the digits it leaves
out and the distance give it away.

In the comments: N images, F features of each.
"""

from typing import NamedTuple

import numpy as np

from scratchnet.data import to_unit_interval
from scratchnet.nn.losses import softmax

CONFIDENT = 0.9  # the classifier is confident of a digit above this probability


class ClassifierScore(NamedTuple):
    """How a classifier scores some images."""

    confident: float  # the share of the images that it is confident of
    digits: list[float]  # the share of the images that it is confident are a 0, a 1, ..., a 9
    distance: float  # the Fréchet distance of their features from those of the real images


class GANMetrics:
    """A trained classifier, and its features of real images to compare with."""

    def __init__(self, network, real):
        """Args: a scratchnet network from 784 pixels to 10 digits; uint8 images (N, 28, 28).

        ValueError for fewer than two images: they have no covariance.
        """
        if len(real) < 2:
            raise ValueError(f"the metrics need two real images to compare with, not {len(real)}")
        self.network = network
        self.real, _ = self._evaluate(real)  # (N,F)

    def __call__(self, images):
        """Return the ClassifierScore of uint8 images (N, 28, 28)."""
        features, probabilities = self._evaluate(images)  # (N,F), (N,10)
        confident = probabilities.max(axis=1) > CONFIDENT  # (N,)
        counts = np.bincount(probabilities[confident].argmax(axis=1), minlength=10)  # (10,)
        shares = (counts / len(images)).tolist()
        distance = frechet_distance(features, self.real)
        return ClassifierScore(float(confident.mean()), shares, distance)

    def confident_share(self, images):
        """Return the confident share of uint8 images (N, 28, 28), without the distance."""
        _, probabilities = self._evaluate(images)  # (N,10)
        return float((probabilities.max(axis=1) > CONFIDENT).mean())

    def _evaluate(self, images):
        """Return the features (N, F), which enter the last layer, and the probabilities (N, 10)."""
        last, parts = self.network.parametric_layers[-1], []
        for i in range(0, len(images), 1000):
            logits = self.network.forward(to_unit_interval(images[i : i + 1000]))
            parts.append((last.x, softmax(logits)))
        features, probabilities = zip(*parts, strict=True)
        return np.concatenate(features), np.concatenate(probabilities)


def frechet_distance(a, b):
    """Return the squared Fréchet distance of two normal distributions fitted to a and b.

    With means m and covariances C (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule
    Converge to a Local Nash Equilibrium", 2017, section 4, on features of another network):

        |m_a - m_b|² + trace(C_a + C_b - 2 (C_a C_b)^½)

    C_a C_b has the eigenvalues of S C_b S with the symmetric root S of C_a, and the trace of its
    root is the sum of their roots.

    Args:
        a, b: features (N, F) and (M, F), both N and M at least 2.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))  # (F,F)
    values, vectors = np.linalg.eigh(cov_a)  # (F,), (F,F)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T  # (F,F)
    common = np.linalg.eigvalsh(root @ cov_b @ root).clip(0)  # (F,); below 0 by rounding only
    apart = a.mean(axis=0) - b.mean(axis=0)  # (F,)
    return float(apart @ apart + np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(common).sum())
