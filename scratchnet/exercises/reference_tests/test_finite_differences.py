"""Gradient checking: every gradient agrees with the slope of the loss that is computed."""

import numpy as np
import pytest
from cnn import CNN
from gan import GAN, Discriminator, Generator
from losses import binary_cross_entropy, softmax_cross_entropy
from network import MLP

from scratchnet.checking.gradcheck import check_network

LABELS = np.array([3, 1, 4, 1, 5])
TARGETS = np.array([[1.0], [0], [1], [0], [1]])


def layer_args():
    return {"rng": np.random.default_rng(0), "dtype": np.float64}


def adversaries():
    pair = Generator(6, (8,), **layer_args()), Discriminator((8,), **layer_args())
    return GAN(*pair, 1e-3, 1e-3)


@pytest.mark.parametrize(
    ("build", "inputs", "loss", "targets"),
    [
        (lambda: MLP((12, 8, 6, 10), **layer_args()), 12, softmax_cross_entropy, LABELS),
        (
            lambda: CNN((8, 10), image=(1, 8, 8), channels=(2, 3), size=3, **layer_args()),
            64,
            softmax_cross_entropy,
            LABELS,
        ),
        (lambda: adversaries().discriminator, 784, binary_cross_entropy, TARGETS),
        (lambda: adversaries().combined, 6, binary_cross_entropy, TARGETS),
    ],
    ids=["mlp", "cnn", "discriminator", "generator"],
)
def test_gradients_are_the_slopes_of_the_loss(build, inputs, loss, targets):
    x = np.random.default_rng(1).standard_normal((len(targets), inputs))
    checks = check_network(build(), loss, x, targets, rng=np.random.default_rng(2), probes=30)
    assert all(check.ok for check in checks.values()), checks
