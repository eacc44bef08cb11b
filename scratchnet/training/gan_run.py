"""A GAN in training: its arrays, its pictures, its scores, and how it is loaded again.

    config.json   history.csv   metrics.json   model.safetensors
    digits/epoch-000.png, ...   figures/digits.gif   figures/losses.png

The pictures are of the same noise, before the first epoch and after each.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchnet.data.batches import draw_noise
from scratchnet.errors import NumericError, UsageError
from scratchnet.evaluation import image_grid
from scratchnet.evaluation.gan_metrics import GANMetrics
from scratchnet.evaluation.image_grid import make_grid
from scratchnet.nn.gan import PIXELS
from scratchnet.training.config import AMOUNT, GANConfig
from scratchnet.training.progress import Progress
from scratchnet.training.run import Run, check_widths, load_state

SHOWN, COLUMNS = 100, 10  # digits in a picture, and in a row of it
EVALUATED = 1000  # digits that the classifier evaluates after each epoch


@dataclass
class GANProgress(Progress):
    """The progress of an epoch in which two networks learn; `loss_sum` is the discriminator's."""

    generator_loss_sum: float = 0.0

    COUNTED = Progress.COUNTED | {"generator_loss_sum": AMOUNT}

    def record(self, discriminator_loss, generator_loss, n_images):
        """Count the mean losses of a batch; NumericError if one is not finite."""
        self.loss_sum += self.checked(discriminator_loss) * n_images
        self.generator_loss_sum += self.checked(generator_loss) * n_images
        self.advance(n_images, f"D {discriminator_loss:.4f}, G {generator_loss:.4f}")


class GANRun(Run):
    """A generator and a discriminator in training."""

    CONFIG = GANConfig
    NETWORK = "GAN"
    COMMAND = "scratchnet.gan"
    SCORES = ("discriminator_loss", "generator_loss", "recognised")  # the confident share
    PROGRESS = GANProgress
    RATES = "--lr or --discriminator-lr"

    def __init__(self, folder, config, dataset, n_images, gan):
        super().__init__(folder, config, dataset, n_images)
        self.gan = gan
        self.digits = folder.path / "digits"
        self.metrics = None

    @property
    def arrays(self):
        arrays = {}
        for side in ("generator", "discriminator"):
            network, adam = getattr(self.gan, side), getattr(self.gan, f"{side}_adam")
            arrays |= {f"{side}.{name}": array for name, array in network.parameters()}
            arrays |= {f"{side}.mean.{name}": array for name, array in adam.first_moments}
            arrays |= {f"{side}.square.{name}": array for name, array in adam.second_moments}
            arrays[f"{side}.adam.steps"] = adam.steps
        return arrays

    def resume(self, tensors, state):
        super().resume(tensors, state)
        drawn = Path(self.config.resume).with_name("digits")
        if drawn.is_dir() and drawn.resolve() != self.digits.resolve():
            shutil.copytree(drawn, self.digits, dirs_exist_ok=True)
        if self.epoch > 1 and not self._picture(self.epoch - 1).exists():  # it came alone
            self.draw_digits(self.epoch - 1)

    def evaluate_with(self, classifier, name):
        """Let a trained classifier evaluate from now on; UsageError if it has nothing to go by."""
        try:
            self.metrics = GANMetrics(classifier, self.dataset.test.images)
        except ValueError as error:
            raise UsageError(f"--judge: {error}") from error
        print(f"metrics by the classifier {name}: {classifier}")

    def generate(self, n, batch):
        """Return n digits, uint8 (n, 28, 28), of the noise of a batch; NumericError for NaN."""
        shape, seed = (n, self.config.noise), self.config.seed
        noise = draw_noise(shape, seed=seed, epoch=0, batch=batch)  # (n,Z)
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it
            parts = [self.gan.generator.forward(noise[i : i + 1000]) for i in range(0, n, 1000)]
        x = np.concatenate(parts)  # (n,784) in [-1, 1]
        if not np.isfinite(x).all():
            raise NumericError("the generated images are not finite")
        return np.rint((x + 1) * 127.5).astype(np.uint8).reshape(n, 28, 28)

    def draw_digits(self, epoch):
        """Write the digits generated from the same noise as ever, after so many epochs."""
        self.digits.mkdir(exist_ok=True)
        sheet = make_grid(self.generate(SHOWN, batch=1), COLUMNS)
        image_grid.save(sheet, self._picture(epoch))

    def _picture(self, epoch):
        return self.digits / f"epoch-{epoch:03}.png"

    def end_epoch(self, progress):
        """Print and save a finished epoch, as `close_epoch`, with a picture."""
        self.draw_digits(self.epoch)
        sums = progress.loss_sum, progress.generator_loss_sum
        d_loss, g_loss = (loss_sum / progress.n_images for loss_sum in sums)
        text, share = f"loss D {d_loss:.4f}, G {g_loss:.4f}", None
        if self.metrics:
            share = self.metrics.confident_share(self.generate(EVALUATED, batch=2))
            text += f", confident {share:.1%}"
        self.close_epoch(progress, (d_loss, g_loss, share), text)

    def write_figures(self):
        """Draw the losses, and the same noise over all epochs as an animation."""
        from scratchnet.evaluation import plots  # only here: importing matplotlib takes a while

        figures = self.folder.figures()
        plots.save(plots.gan_losses(self.history), figures / "losses.png")
        pictures = {f"epoch {epoch}": self._picture(epoch) for epoch in range(self.epoch)}
        pictures = {title: path for title, path in pictures.items() if path.exists()}
        image_grid.animate(pictures.values(), pictures, figures / "digits.gif")


def load_gan(path):
    """Return the (tensors, state) of a checkpoint that a `GANRun` saved.

    CheckpointError as `load_state` and `check_widths`.
    """
    tensors, state = load_state(path, GANRun)
    config = state["config"]
    sizes = (config["noise"], *config["hidden"], PIXELS)
    check_widths(path, tensors, sizes, "generator.linear{}.W")
    sizes = (PIXELS, *config["discriminator_hidden"], 1)
    check_widths(path, tensors, sizes, "discriminator.linear{}.W")
    return tensors, state
