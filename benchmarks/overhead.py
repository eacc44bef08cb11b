"""What readable classes cost: `python -m benchmarks overhead`.

An epoch of `scratchnet.train` (60,000 images, batch 32, float32, NumPy's BLAS on one thread) is
compared with the same loop in bare NumPy, in one process, in turn; overhead.json keeps every round.
"""

import contextlib
import io
import time
from statistics import median

import numpy as np
import threadpoolctl

from benchmarks.contenders import bare_numpy
from scratchnet import MLP, SGD, data
from scratchnet.training.epoch import train_epoch
from scratchnet.training.progress import GracefulStop, Progress

ROUNDS = 15


def new_network():
    return MLP((784, 128, 64, 10), rng=np.random.default_rng(0))


def bare(x, labels):
    """Train in bare NumPy; return the parameters and the seconds."""
    parameters = [p for _, p in new_network().parameters()]
    begin = time.perf_counter()
    bare_numpy.train_epoch(parameters, data.batches(x, labels, 32, seed=0, epoch=1), lr=0.1)
    return parameters, time.perf_counter() - begin


def layered(x, labels):
    """Train as `scratchnet.train` does, its lines of progress included; return the same."""
    network = new_network()
    sgd = SGD(network, lr=0.1)
    begin = time.perf_counter()
    with GracefulStop() as stop, contextlib.redirect_stdout(io.StringIO()):
        progress = Progress("Epoch [1/1]", len(x), 32, 500, stop)
        train_epoch(network, sgd, data.batches(x, labels, 32, seed=0, epoch=1), progress)
    return [p for _, p in network.parameters()], time.perf_counter() - begin


def main(quick=False):
    """Time both and check that they agree bit for bit; return {name: [seconds of each round]}."""
    train = data.load("auto" if quick else "mnist").train
    rounds = 1 if quick else ROUNDS
    x, labels = data.to_unit_interval(train.images), train.labels
    seconds = {"bare": [], "layered": []}
    with threadpoolctl.threadpool_limits(1):
        for _ in range(rounds):
            weights, taken = bare(x, labels)
            seconds["bare"].append(taken)
            others, taken = layered(x, labels)
            seconds["layered"].append(taken)
            assert all((p == q).all() for p, q in zip(weights, others, strict=True))
    for name, taken in seconds.items():
        print(f"{name:8} {median(taken):.3f} s an epoch, median of {rounds} rounds")
    print(summary(seconds))
    return seconds


def summary(seconds):
    """In words: the median of the rounds' ratios."""
    ratio = median(b / a for a, b in zip(seconds["bare"], seconds["layered"], strict=True))
    return f"An epoch of `scratchnet.train` takes {ratio:.2f} times as long as in bare NumPy."
