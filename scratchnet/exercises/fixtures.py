"""What tests that are scored may use: real digits, and a training step by whichever engine.

    from scratchnet.exercises.fixtures import digits, training_step

The other imports of such a test are those of a learner's folder: `from layers import Linear`.
"""

import functools

import numpy as np

from scratchnet import data
from scratchnet.data import Split

_archive = None  # a file with the digits, so that not every run of the tests has to unpack them


@functools.cache
def digits():
    """Return (train, test), of 4,000 and 1,000 real digits.

    Each is a pair of images uint8 (N, 28, 28) and labels int64 (N,), sorted by label.
    """
    if _archive:
        with np.load(_archive) as file:
            return tuple(
                Split(file[f"{name}-images"], file[f"{name}-labels"]) for name in ("train", "test")
            )
    found = data.load("sample")
    return found.train, found.test


def training_step(network, optimiser, images, labels):
    """Train an MLP for a step of its SGD; return the loss before the step, a float.

    The parameters and velocities are then those after the step. Nothing else is promised: a fused
    engine leaves no dW behind.

    Args:
        network, optimiser: `network.MLP` and `optim.SGD`.
        images, labels: a batch, uint8 (B, 28, 28) and int64 (B,).
    """
    from batches import to_unit_interval  # those of the folder that the test is in
    from losses import softmax_cross_entropy

    dtype = network.parametric_layers[0].W.dtype
    logits = network.forward(to_unit_interval(images, dtype))  # (B,784) -> (B,10)
    loss, dlogits = softmax_cross_entropy(logits, labels)  # (B,10), (B,) -> (), (B,10)
    network.backward(dlogits)
    optimiser.step()
    return float(loss)
