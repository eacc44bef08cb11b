"""The usual test of a network: it learns. Whatever still learns passes."""

import numpy as np
import pytest
from batches import batches, to_unit_interval
from cnn import CNN
from losses import softmax_cross_entropy
from network import MLP
from optim import SGD

from scratchnet.exercises.fixtures import digits


def mlp():
    return MLP((784, 64, 32, 10), rng=np.random.default_rng(0))


def cnn():
    return CNN((32, 10), channels=(4, 8), size=3, rng=np.random.default_rng(0))


@pytest.mark.parametrize("build", [mlp, cnn])
def test_it_learns_250_digits_to_over_95_percent(build):
    images, labels = (array[::16] for array in digits()[0])
    x = to_unit_interval(images)
    network = build()
    optimiser = SGD(network, lr=0.1, momentum=0.5, weight_decay=1e-4)
    for epoch in range(15):
        for batch, its in batches(x, labels, 10, seed=1, epoch=epoch):
            _, dlogits = softmax_cross_entropy(network.forward(batch), its)
            network.backward(dlogits)
            optimiser.step()
    predicted = network.forward(x).argmax(axis=1)
    assert (predicted == labels).mean() > 0.95
