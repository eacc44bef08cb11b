"""A few epochs of real training by any implementation, on the digits of the sample, in seconds."""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from scratchnet.exercises.fixtures import digits

EPOCHS = {"mlp": 10, "cnn": 4, "gan": 25}
IMAGES = 2_000  # to train on for a CNN or a GAN; an MLP takes twice as many
BATCH_SIZE = 32
RECIPE = {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-4}  # so that no mistake lies idle
GAN_LR, NOISE = 1e-3, 16
COLUMNS = {
    "mlp": ("epoch", "train_loss", "val_loss", "val_accuracy"),
    "cnn": ("epoch", "train_loss", "val_loss", "val_accuracy"),
    "gan": ("epoch", "discriminator_loss", "generator_loss"),
}


class Training(NamedTuple):
    """What a training leaves behind."""

    history: list  # one dict an epoch, with the COLUMNS of the model; a loss may be NaN
    fakes: np.ndarray | None = None  # of a GAN: 20 images uint8 (20, 28, 28)
    stopped: str = ""  # what was raised, if that was its end


def train(nn, model):
    """Train a small network, "mlp", "cnn" or "gan", of an Implementation; return the Training."""
    epochs = _gan_epochs if model == "gan" else _classifier_epochs
    history, fakes, stopped = [], None, ""
    try:
        # A mistake may end in NaN: that is for the curves to show. Products of this size are
        # fastest on one thread.
        with np.errstate(all="ignore"), threadpool_limits(1, "blas"):
            for row, images in epochs(nn, model):
                values = len(history) + 1, *row
                history.append(dict(zip(COLUMNS[model], values, strict=True)))
                fakes = images
    except Exception as error:  # whatever a mistake may lead to
        stopped = f"{type(error).__name__}: {error}"
    return Training(history, fakes, stopped)


def _classifier_epochs(nn, model):
    """Train; yield (losses and accuracy, None) after every epoch."""
    split, test = digits()
    every = 1 if model == "mlp" else len(split.labels) // IMAGES
    x, test_x = (nn.batches.to_unit_interval(i) for i in (split.images[::every], test.images))
    labels = split.labels[::every]  # (N,), beside x (N,784)
    layer_args = {"rng": np.random.default_rng(0)}
    if model == "mlp":
        network = nn.network.MLP((784, 64, 32, 10), **layer_args)
    else:
        network = nn.cnn.CNN((32, 10), channels=(4, 8), **layer_args)
    optimiser = nn.optim.SGD(network, **RECIPE)
    for epoch in range(1, EPOCHS[model] + 1):
        total = 0.0
        for batch, its in nn.batches.batches(x, labels, BATCH_SIZE, seed=1, epoch=epoch):
            loss, dlogits = nn.losses.softmax_cross_entropy(network.forward(batch), its)
            network.backward(dlogits)
            optimiser.step()
            total += float(loss) * len(its)
        logits = network.forward(test_x)  # (N,10)
        test_loss, _ = nn.losses.softmax_cross_entropy(logits, test.labels)
        accuracy = float((logits.argmax(axis=1) == test.labels).mean())
        yield (total / len(labels), float(test_loss), accuracy), None


def _gan_epochs(nn, _):
    """Train; yield (losses, fakes) after every epoch."""
    split, _ = digits()
    x = nn.batches.to_tanh_range(split.images[:: len(split.labels) // IMAGES])  # (N,784)
    layer_args = {"rng": np.random.default_rng(0)}
    generator = nn.gan.Generator(NOISE, (64,), **layer_args)
    both = nn.gan.GAN(generator, nn.gan.Discriminator((64,), **layer_args), GAN_LR, GAN_LR)
    shown = nn.batches.draw_noise((20, NOISE), seed=1, epoch=0, batch=0)  # (20,Z)
    for epoch in range(1, EPOCHS["gan"] + 1):
        total = np.zeros(2)  # the discriminator's and the generator's
        for real, noise in nn.batches.gan_batches(x, BATCH_SIZE, NOISE, seed=1, epoch=epoch):
            losses = both.discriminator_step(real, noise[0]), both.generator_step(noise[1])
            total += np.array(losses, float) * len(real)
        y = np.nan_to_num(generator.forward(shown))  # (20,784)
        fakes = np.clip(127.5 * (y + 1), 0, 255).astype(np.uint8)
        yield (total / len(x)).tolist(), fakes.reshape(-1, 28, 28)
