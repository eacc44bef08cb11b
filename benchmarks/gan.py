"""The GAN compared with the same in PyTorch: `python -m benchmarks gan`.

Epochs of both on one thread, in turn, in one process, from the same weights on the same images and
noise, which lie in memory; PyTorch's once with Adam as it comes, once with the fused one. gan.json
keeps every round.
"""

import time
from statistics import median

import numpy as np
import threadpoolctl

from benchmarks.harness import environment
from scratchnet import GAN, Discriminator, Generator, data, kernels
from scratchnet.kernels.adam import adam_update
from scratchnet.training.config import GANConfig

ROUNDS, IMAGES = 7, 12_800
CONFIG = GANConfig()
BATCH = CONFIG.batch_size


def new_gan():
    layer_args = {"rng": np.random.default_rng(0), "matmul": kernels.get(CONFIG.matmul)}
    return GAN(
        Generator(CONFIG.noise, CONFIG.hidden, **layer_args),
        Discriminator(CONFIG.discriminator_hidden, **layer_args),
        CONFIG.lr,
        CONFIG.discriminator_lr,
        update=adam_update,
    )


def source_of_noise():
    """Return a function of B that draws noise (B, Z), the same for every contender."""
    rng = np.random.default_rng(1)
    return lambda n: rng.standard_normal((n, CONFIG.noise), np.float32)


def ours(x):
    """Train an epoch on x (N, 784) in [0, 1]; return the mean losses and the seconds."""
    gan, draw, losses = new_gan(), source_of_noise(), np.zeros(2)
    begin = time.perf_counter()
    for i in range(0, len(x), BATCH):
        real = 2 * x[i : i + BATCH] - 1  # (B,784)
        noise = draw(len(real)), draw(len(real))
        losses += len(real) * np.array(
            [gan.discriminator_step(real, noise[0]), gan.generator_step(noise[1])]
        )
    return losses / len(x), time.perf_counter() - begin


def theirs(x, **adam):
    """Train the same epoch in PyTorch, with these options of Adam; return the same."""
    import torch
    from torch import nn

    from torch_ref.gan import to_torch, train_epoch

    torch.set_num_threads(1)
    gan, draw = to_torch(new_gan()), source_of_noise()
    for side in (gan.generator_adam, gan.discriminator_adam):
        side.param_groups[0].update(adam)
    begin = time.perf_counter()
    losses = train_epoch(
        gan, nn.BCEWithLogitsLoss(), InMemory(x), lambda n: torch.from_numpy(draw(n))
    )
    return np.array(losses), time.perf_counter() - begin


class InMemory:
    """What `torch_ref.gan.train_epoch` needs of a DataLoader, without the cost of one."""

    def __init__(self, x):
        self.dataset = x

    def __iter__(self):
        import torch

        images = torch.from_numpy(self.dataset).view(-1, 1, 28, 28)
        return ((images[i : i + BATCH], None) for i in range(0, len(images), BATCH))


CONTENDERS = {
    "scratchnet": ours,
    "PyTorch": theirs,
    "PyTorch, fused Adam": lambda x: theirs(x, fused=True, foreach=False),
}


def main(quick=False):
    """Check that all train the same GAN, time them, and return every round."""
    train = data.load("auto" if quick else "mnist").train
    rounds, n_images = (1, 320) if quick else (ROUNDS, IMAGES)
    x = data.to_unit_interval(train.images[:n_images])  # (N,784)
    seconds = {name: [] for name in CONTENDERS}
    with threadpoolctl.threadpool_limits(1):
        # The first compiles, and shows that all train the same GAN.
        expected, _ = ours(x[:320])
        for train_epoch in CONTENDERS.values():
            losses, _ = train_epoch(x[:320])
            np.testing.assert_allclose(losses, expected, rtol=1e-4)
        for _ in range(rounds):
            for name, train_epoch in CONTENDERS.items():
                seconds[name].append(train_epoch(x)[1])
    for name, taken in seconds.items():
        print(f"{name:20} {median(taken):.2f} s an epoch of {len(x):,}, median of {rounds} rounds")
    results = {
        "environment": environment(),
        "images": len(x),
        "batch_size": BATCH,
        "matmul": CONFIG.matmul,
        "seconds": seconds,
    }
    print(summary(results))
    return results


def summary(results):
    """In words: the medians of the rounds' ratios."""
    rounds, *others = (results["seconds"][name] for name in CONTENDERS)
    ratios = [median(a / b for a, b in zip(rounds, other, strict=True)) for other in others]
    return (
        f"An epoch of {results['images']:,} images takes {ratios[0]:.2f} times as long as "
        f"PyTorch's, and {ratios[1]:.2f} times as long as with PyTorch's fused Adam."
    )
