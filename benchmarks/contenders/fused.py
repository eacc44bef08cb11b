"""scratchnet's fused engine: the same network, an epoch of it one call of a compiled function."""

from benchmarks.contenders.layered import network_with
from scratchnet import SGD
from scratchnet.kernels.fused import FusedEngine


def prepare(images, labels, parameters, *, batch_size, lr):
    network = network_with(parameters)
    engine = FusedEngine(network, SGD(network, lr), images, labels, batch_size)

    def train_epoch(order):
        engine.train(order)
        return [p for _, p in network.parameters()]

    return train_epoch
