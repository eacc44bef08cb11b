"""The contenders of the benchmarks compute the same network, so nobody wins by doing less."""

from test_network import rng

from benchmarks import bare_numpy
from scratchnet import MLP, SGD, data, softmax_cross_entropy


def test_bare_numpy_ends_at_the_bits_of_the_layered_network(sample):
    x, labels = data.to_unit_interval(sample.train.images), sample.train.labels
    layered, bare = (MLP((784, 128, 64, 10), rng=rng()) for _ in range(2))
    sgd = SGD(layered, lr=0.1)
    for x_batch, labels_batch in data.batches(x, labels, 32, seed=1, epoch=1):
        _, dlogits = softmax_cross_entropy(layered.forward(x_batch), labels_batch)
        layered.backward(dlogits)
        sgd.step()
    parameters = [p for _, p in bare.parameters()]
    bare_numpy.train_epoch(parameters, data.batches(x, labels, 32, seed=1, epoch=1), lr=0.1)
    for p, (name, q) in zip(parameters, layered.parameters(), strict=True):
        assert p.tobytes() == q.tobytes(), name
