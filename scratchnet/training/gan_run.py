"""A GAN in training: what decides its weights, what it leaves, and what of it is trusted when read.

    config.json   history.csv   metrics.json   model.safetensors
    digits/epoch-000.png, ...   figures/digits.gif   figures/losses.png

The pictures are of the same noise, before the first epoch and after each.
"""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np

from scratchnet.errors import CheckpointError, NumericError, UsageError
from scratchnet.evaluation import image_grid
from scratchnet.evaluation.gan_metrics import Judge
from scratchnet.evaluation.image_grid import make_grid
from scratchnet.nn.gan import PIXELS
from scratchnet.training import checkpoint
from scratchnet.training.progress import Progress
from scratchnet.training.run import Run, is_state

SHOWN, COLUMNS = 100, 10  # digits in a picture, and in a row of it
GLIMPSED = 1000  # digits that the judge sees after each epoch


def draw(shape, seed, epoch, batch):
    """Return normal noise, float32: another for each batch, and the same when it comes again."""
    return np.random.default_rng((seed, epoch, batch)).standard_normal(shape, np.float32)


class DuelProgress(Progress):
    """The account of an epoch in which two networks learn; `loss_sum` is the discriminator's."""

    def __init__(self, *args, generator_loss_sum=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.generator_loss_sum = generator_loss_sum

    def record(self, discriminator_loss, generator_loss, n_images):
        """Count the mean losses of a batch; raise NumericError if one is not finite."""
        self.loss_sum += self.checked(discriminator_loss) * n_images
        self.generator_loss_sum += self.checked(generator_loss) * n_images
        self.advance(n_images, f"D {discriminator_loss:.4f}, G {generator_loss:.4f}")


class GANRun(Run):
    """A GAN in training."""

    COMMAND = "scratchnet.gan"
    DECISIVE = (
        "model",
        "batch_size",
        "lr",
        "discriminator_lr",
        "hidden",
        "discriminator_hidden",
        "noise",
        "seed",
    )
    INHERITED = ("epochs", "matmul", "threads", "judge")
    HISTORY = (
        "epoch",
        "discriminator_loss",
        "generator_loss",
        "recognised",
        "seconds",
        "images_per_second",
    )
    COUNTED = (*Run.COUNTED, "generator_loss_sum")
    RATES = "--lr or --discriminator-lr"

    def __init__(self, folder, gan, options, dataset):
        super().__init__(folder, options, dataset)
        self.gan = gan
        self.digits = folder / "digits"
        self.judge = None

    @property
    def arrays(self):
        return {
            f"{side}.{kind}{name}": array
            for side in ("generator", "discriminator")
            for kind, named in _state_of(self.gan, side).items()
            for name, array in named
        }

    def resume(self, tensors, state):
        super().resume(tensors, state)
        drawn = Path(self.options.resume).with_name("digits")
        if drawn.is_dir() and drawn.resolve() != self.digits.resolve():
            shutil.copytree(drawn, self.digits, dirs_exist_ok=True)
        if self.epoch > 1 and not self._picture(self.epoch - 1).exists():  # it came alone
            self.draw_digits(self.epoch - 1)

    def ask(self, network, name):
        """Let a trained recogniser judge from now on; UsageError if it has nothing to go by."""
        try:
            self.judge = Judge(network, self.dataset.test.images)
        except ValueError as error:
            raise UsageError(f"--judge: {error}") from error
        print(f"judge   {name}: {network}")

    def generate(self, n, batch):
        """Return n digits, uint8 (n, 28, 28), of the same noise for the same number of a batch.

        Raises:
            NumericError: they are not finite.
        """
        noise = draw((n, self.options.noise), self.options.seed, 0, batch)  # (n,Z)
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it
            parts = [self.gan.generator.forward(noise[i : i + 1000]) for i in range(0, n, 1000)]
        x = np.concatenate(parts)  # (n,784) in [-1, 1]
        if not np.isfinite(x).all():
            raise NumericError("the generated images are not finite")
        return np.rint((x + 1) * 127.5).astype(np.uint8).reshape(n, 28, 28)

    def draw_digits(self, epoch):
        """Write what the generator makes of the same noise as ever, after so many epochs."""
        self.digits.mkdir(exist_ok=True)
        sheet = make_grid(self.generate(SHOWN, batch=1), COLUMNS)
        image_grid.save(sheet, self._picture(epoch))

    def _picture(self, epoch):
        return self.digits / f"epoch-{epoch:03}.png"

    def end_epoch(self, progress):
        """Print and save a finished epoch, as `close_epoch`."""
        self.draw_digits(self.epoch)
        scores = {
            "discriminator_loss": progress.loss_sum / progress.n_images,
            "generator_loss": progress.generator_loss_sum / progress.n_images,
            "recognised": None,
        }
        text = f"loss D {scores['discriminator_loss']:.4f}, G {scores['generator_loss']:.4f}"
        if self.judge:
            scores["recognised"] = self.judge.recognised(self.generate(GLIMPSED, batch=2))
            text += f", recognised {scores['recognised']:.1%}"
        self.close_epoch(progress, scores, text)

    def write_figures(self):
        """Draw the losses, and let the same noise be seen over all epochs."""
        from scratchnet.evaluation import plots  # only here: importing matplotlib takes a while

        figures = self.folder / "figures"
        figures.mkdir(exist_ok=True)
        plots.save(plots.duel(self.history), figures / "losses.png")
        pictures = {f"epoch {epoch}": self._picture(epoch) for epoch in range(self.epoch)}
        pictures = {title: path for title, path in pictures.items() if path.exists()}
        image_grid.animate(pictures.values(), pictures, figures / "digits.gif")


def _state_of(gan, side):
    """Return {"": parameters, "mean.": ..., "square.": ..., "adam.": ...} of a network."""
    network, adam = getattr(gan, side), getattr(gan, f"{side}_adam")
    return {
        "": network.parameters(),
        "mean.": adam.first_moments,
        "square.": adam.second_moments,
        "adam.": [("steps", adam.steps)],
    }


def load_gan(path):
    """Return the (tensors, state) of a checkpoint that a `GANRun` saved.

    Raises:
        CheckpointError: as `checkpoint.load`; it is no GAN's; or its weights are not those of the
            networks it names, for which no memory is taken then.
    """
    tensors, state = checkpoint.load(path)
    if not is_state(state, GANRun) or not _is_config(state["config"]):
        raise CheckpointError(f"{path} is no checkpoint of a GAN")
    config = state["config"]
    for side, sizes in (
        ("generator", (config["noise"], *config["hidden"], PIXELS)),
        ("discriminator", (PIXELS, *config["discriminator_hidden"], 1)),
    ):
        for i, shape in enumerate(pairwise(sizes), start=1):
            found = getattr(tensors.get(f"{side}.linear{i}.W"), "shape", "missing")
            if found != shape:
                raise CheckpointError(
                    f"{path} is of another network: {side}.linear{i}.W is {found}, "
                    f"{shape} by its widths"
                )
    return tensors, state


def _is_config(config):
    widths = [config["noise"]]
    for name in ("hidden", "discriminator_hidden"):
        if not isinstance(config[name], list):
            return False
        widths += config[name]
    return (
        config["model"] == "gan"
        and all(type(width) is int and width > 0 for width in widths)
        and isinstance(config["judge"], str | None)
    )
