"""An epoch of training: the loop itself, first of all, and what runs it epoch after epoch.

    run.epoch, ..., epochs ──fit──> an engine: batches of the epoch ──train_epoch──> new weights

In the comments: N images, B images in a batch, Z numbers of noise for each.
"""

import numpy as np

from scratchnet import data
from scratchnet.cli.summary import library
from scratchnet.data.batches import gan_batches, to_tanh_range
from scratchnet.nn.losses import softmax_cross_entropy
from scratchnet.training import compilation
from scratchnet.training.progress import GracefulStop


def train_epoch(network, optimiser, batches, progress):
    """Go once around the data: x (B, 784) in [0, 1] and labels (B,), batch by batch."""
    for x, labels in progress.watch(batches):
        logits = network.forward(x)  # (B,784) -> (B,10)
        loss, dlogits = softmax_cross_entropy(logits, labels)  # (B,10), (B,) -> (), (B,10)
        progress.record(loss, len(labels))
        network.backward(dlogits)
        optimiser.step()


def train_gan_epoch(gan, batches, progress):
    """Go once around the data: real images (B, 784) in [-1, 1], and noise (2, B, Z) with each."""
    for real, noise in progress.watch(batches):
        discriminator_loss = gan.discriminator_step(real, noise[0])
        generator_loss = gan.generator_step(noise[1])
        progress.record(discriminator_loss, generator_loss, len(real))


def fit(run, train_one_epoch):
    """Train to the last epoch; a row of history and a checkpoint after each.

    Args:
        run: a `Run`.
        train_one_epoch: an engine, a function of the number of the epoch and its `Progress`.

    Raises:
        StoppedBetweenBatches: SIGINT or SIGTERM came; the checkpoint holds all that was learned.
        NumericError: a loss or a weight is not finite; the checkpoint is the last good one.
    """
    with GracefulStop() as stop:
        for epoch in range(run.epoch, run.config.epochs + 1):
            progress = run.begin_epoch(stop)
            # overflow needs no warning beside the error that `record` raises
            with run.saved_where_stopped(progress), np.errstate(over="ignore", invalid="ignore"):
                train_one_epoch(epoch, progress)
            run.end_epoch(progress)
            stop.honour()


def layered(network, optimiser, config, train):
    """Return the engine that trains by `train_epoch` on a `Split` of N images."""
    x, labels = data.to_unit_interval(train.images), train.labels  # (N,784), (N,)
    if config.model != "mlp" or config.matmul != "numpy":
        with compilation.announced():
            compilation.rehearse(network, optimiser, x, labels, config.batch_size)

    def train_one_epoch(epoch, progress):
        nonlocal x
        optimiser.lr = learning_rate(config, epoch)
        if config.augment:
            x = data.to_unit_interval(augmented(train.images, config.seed, epoch))
        order = {"seed": config.seed, "epoch": epoch, "start": progress.batch}
        batches = data.batches(x, labels, config.batch_size, **order)
        train_epoch(network, optimiser, batches, progress)

    return train_one_epoch


def fused(network, optimiser, config, train):
    """Return one that does the same in compiled code, many batches at a time."""
    from scratchnet.kernels.fused import FusedEngine  # only here: Numba takes half a second

    print(f"engine  fused ({library('numba')}), one thread; the kernel above only evaluates")
    with compilation.announced():
        engine = FusedEngine(network, optimiser, train.images, train.labels, config.batch_size)
        if config.matmul != "numpy":
            x = data.to_unit_interval(train.images[: compilation.EVALUATED])
            compilation.rehearse_evaluation(network, x)

    def train_one_epoch(epoch, progress):
        optimiser.lr = learning_rate(config, epoch)
        if config.augment:
            engine.show(augmented(train.images, config.seed, epoch))
        order = data.shuffled(len(train.labels), seed=config.seed, epoch=epoch)  # (N,)
        order = order[progress.batch * config.batch_size :]
        for chunk in progress.watch(engine.chunks(order)):
            for loss, n_images in engine.train(chunk):
                progress.record(loss, n_images)

    return train_one_epoch


ENGINES = {"layered": layered, "fused": fused}


def adversarial(gan, config, images):
    """Return the engine that trains a GAN by `train_gan_epoch` on images uint8 (N, 28, 28)."""
    x = to_tanh_range(images)  # (N,784)
    with compilation.announced():
        compilation.rehearse_gan(gan, x, config.batch_size, config.noise)

    def train_one_epoch(epoch, progress):
        order = {"seed": config.seed, "epoch": epoch, "start": progress.batch}
        batches = gan_batches(x, config.batch_size, config.noise, **order)
        train_gan_epoch(gan, batches, progress)

    return train_one_epoch


def learning_rate(config, epoch):
    """Return the learning rate of an epoch, counted from 1: it decays exponentially."""
    return config.lr * config.lr_decay ** (epoch - 1)


def augmented(images, seed, epoch):
    """Return the training images uint8 (N, 28, 28) as `--augment` has an epoch see them."""
    from scratchnet.data import corruptions  # only here: SciPy's filters take a while to import

    return corruptions.augmented(images, seed=seed, epoch=epoch)
