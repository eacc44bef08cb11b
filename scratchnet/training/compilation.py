"""Kernels are compiled when first called; a training calls them before its first epoch is timed.

A rehearsal takes a step with a batch of every size on a copy, so no bit of the training changes.
"""

import contextlib
import copy
import time

import numpy as np

from scratchnet.nn.losses import softmax_cross_entropy

EVALUATED = 1000  # images that are evaluated at once


@contextlib.contextmanager
def announced():
    """Within `with`, kernels are called for the first time; print how long they took to get ready.

    The line begins before: from a cold start, it takes up to half a minute.
    """
    from scratchnet.kernels.jit import DiskCache  # only here: Numba takes half a second

    print("code    making the kernels ready: ", end="", flush=True)
    before, begin = DiskCache.compilations, time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows here will in the epoch
        yield
    how = "compiled" if DiskCache.compilations > before else "loaded from the cache"
    print(f"{how} in {time.perf_counter() - begin:.1f} s")


def rehearse_evaluation(network, x):
    """Evaluate as many images x (N, inputs) as are evaluated at once, fewer ones repeatedly."""
    copy.deepcopy(network).forward(np.resize(x, (EVALUATED, x.shape[1])))


def rehearse(network, optimiser, x, labels, batch_size):
    """Take a step on x (N, inputs) and labels (N,) with every size of batch, and evaluate."""
    rehearse_evaluation(network, x)
    network, optimiser = copy.deepcopy((network, optimiser))
    for size in batch_sizes(len(x), batch_size):
        _, dlogits = softmax_cross_entropy(network.forward(x[:size]), labels[:size])
        network.backward(dlogits)
        optimiser.step()


def rehearse_gan(gan, x, batch_size, noise):
    """Take the steps of both networks on x (N, 784) with every size of batch, and generate."""
    gan = copy.deepcopy(gan)
    gan.generator.forward(np.zeros((EVALUATED, noise), x.dtype))
    for size in batch_sizes(len(x), batch_size):
        zeros = np.zeros((size, noise), x.dtype)  # (B,Z)
        gan.discriminator_step(x[:size], zeros)
        gan.generator_step(zeros)


def batch_sizes(n_images, batch_size):
    """Return the sizes of the batches of an epoch: the last may be smaller."""
    whole, rest = divmod(n_images, batch_size)
    return {size for size in (batch_size * bool(whole), rest) if size}
