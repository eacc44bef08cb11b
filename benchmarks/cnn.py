"""The convolutional network compared with the same in PyTorch: `python -m benchmarks cnn`.

Epochs of both on one thread, in turn, in one process, from the same weights on the same batches;
then the memory of a training run of ours, in a process of its own. cnn.json keeps every round, and
for ours also the share of each layer.
"""

import tempfile
import time
from collections import defaultdict
from statistics import median

import numpy as np
import threadpoolctl

from benchmarks.harness import environment
from benchmarks.worker import peak_of_training
from scratchnet import SGD, data, kernels, softmax_cross_entropy
from scratchnet.training.config import MODELS, TrainConfig

ROUNDS, IMAGES, BATCH = 7, 12_800, 32
RECIPE = TrainConfig(model="cnn")


def new_network():
    matmul = kernels.get(RECIPE.matmul)
    return MODELS["cnn"](RECIPE.hidden, rng=np.random.default_rng(0), matmul=matmul)


def ours(x, labels, shares=None):
    """Train an epoch; return the last loss and the seconds, and add those of each layer."""
    network = new_network()
    if shares is not None:
        _watch(network, shares)
    sgd = SGD(network, RECIPE.lr, RECIPE.momentum)
    begin = time.perf_counter()
    for images, targets in data.batches(x, labels, BATCH, seed=0, epoch=1):
        loss, dlogits = softmax_cross_entropy(network.forward(images), targets)
        network.backward(dlogits)
        sgd.step()
    return float(loss), time.perf_counter() - begin


def theirs(x, labels):
    """Train the same epoch in PyTorch; return the same."""
    import torch
    from torch import nn

    from torch_ref.model import to_torch

    torch.set_num_threads(1)
    model, criterion = to_torch(new_network()), nn.CrossEntropyLoss()
    sgd = torch.optim.SGD(model.parameters(), RECIPE.lr, RECIPE.momentum)
    begin = time.perf_counter()
    for images, targets in data.batches(x, labels, BATCH, seed=0, epoch=1):
        loss = criterion(model(torch.from_numpy(images)), torch.from_numpy(targets))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    return loss.item(), time.perf_counter() - begin


def _watch(network, shares):
    """Add the seconds of every call to the shares, under the layer's number and class."""

    def timed(method, name):
        def call(*args, **kwargs):
            begin = time.perf_counter()
            result = method(*args, **kwargs)
            shares[name] += time.perf_counter() - begin
            return result

        return call

    for number, layer in enumerate(network.layers, start=1):
        for way in ("forward", "backward"):
            name = f"{number} {type(layer).__name__} {way}"
            setattr(layer, way, timed(getattr(layer, way), name))


def peak_megabytes(quick):
    """The most memory that a training run of an epoch ever held."""
    options = ["--dataset", "sample"] if quick else ["--dataset", "mnist"]
    with tempfile.TemporaryDirectory() as run:
        options += ["--model", "cnn", "--epochs", "1", "--out", run, "--no-plots"]
        return peak_of_training(*options)


def main(quick=False):
    """Check that both train the same network, time them, and return every round and the shares."""
    train = data.load("auto" if quick else "mnist").train
    rounds, n_images = (1, 320) if quick else (ROUNDS, IMAGES)
    x, labels = data.to_unit_interval(train.images[:n_images]), train.labels[:n_images]
    seconds, shares = {"scratchnet": [], "torch": []}, defaultdict(float)
    peak = peak_megabytes(quick)
    with threadpoolctl.threadpool_limits(1):
        # The first compiles, and shows that both train the same network: rounding leaves 1e-6.
        losses = [train(x[:320], labels[:320])[0] for train in (ours, theirs)]
        np.testing.assert_allclose(*losses, rtol=1e-4)
        for _ in range(rounds):
            for name, train in {"scratchnet": ours, "torch": theirs}.items():
                seconds[name].append(train(x, labels)[1])
        ours(x[:6400], labels[:6400], shares)
    for name, taken in seconds.items():
        print(f"{name:10} {median(taken):.2f} s an epoch of {len(x):,}, median of {rounds} rounds")
    for name, taken in sorted(shares.items(), key=lambda share: -share[1])[:8]:
        print(f"{taken / sum(shares.values()):10.1%} {name}")
    results = {
        "environment": environment(),
        "images": len(x),
        "batch_size": BATCH,
        "matmul": RECIPE.matmul,
        "seconds": seconds,
        "peak_mb": peak,
        "shares": dict(shares),
    }
    print(summary(results))
    return results


def summary(results):
    """In words: the median of the rounds' ratios, and the peak memory."""
    ours, theirs = (results["seconds"][name] for name in ("scratchnet", "torch"))
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    return (
        f"An epoch takes {ratio:.2f} times as long as PyTorch's, and a run at most "
        f"{results['peak_mb']:,.0f} MB."
    )
