"""scratchnet as its README shows it: layers, a loss, an optimiser, and five lines that train."""

import numpy as np

from scratchnet import MLP, SGD, data, softmax_cross_entropy


def prepare(images, labels, parameters, *, batch_size, lr, matmul):
    x = data.to_unit_interval(images)
    network = network_with(parameters, product(matmul))
    sgd = SGD(network, lr)

    def train_epoch(order):
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            _, dlogits = softmax_cross_entropy(network.forward(x[chosen]), labels[chosen])
            network.backward(dlogits)
            sgd.step()
        return [p for _, p in network.parameters()]

    return train_epoch


def product(name):
    """Return the matrix product of that name."""
    if name == "numpy":
        return np.matmul
    from scratchnet import kernels  # only here: importing Numba takes half a second

    return kernels.get(name)


def network_with(parameters, matmul=np.matmul):
    """Return an MLP with these weights."""
    sizes = len(parameters[0]), *(len(b) for b in parameters[1::2])
    network = MLP(sizes, rng=np.random.default_rng(0), matmul=matmul)
    for (_, mine), given in zip(network.parameters(), parameters, strict=True):
        mine[:] = given
    return network
