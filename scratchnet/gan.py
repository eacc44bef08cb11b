"""Train a GAN on MNIST, which draws digits that nobody wrote: `python -m scratchnet.gan`.

    for real, noise in batches:
        gan.discriminator_step(real, noise[0])
        gan.generator_step(noise[1])

This loop is in `training/epoch.py`; the two networks and their steps are in `nn/gan.py`. With the
defaults, thirty epochs on MNIST take a few minutes. The losses say little of how good the digits
are, as each network is measured by the other; `--judge RUN` has a trained classifier evaluate them.
"""

import dataclasses

import numpy as np
import threadpoolctl

from scratchnet.cli import entry
from scratchnet.cli.options import kernel, parse
from scratchnet.cli.summary import print_data, print_machine, print_network
from scratchnet.errors import CheckpointError
from scratchnet.nn.gan import GAN, Discriminator, Generator
from scratchnet.training.classifier_run import load_network
from scratchnet.training.config import GANConfig, resolve
from scratchnet.training.epoch import adversarial, fit
from scratchnet.training.gan_run import GANRun, load_gan
from scratchnet.training.run import load_data
from scratchnet.training.run_folder import open_run_folder

COMPARED = 10_000  # digits that the classifier evaluates at the end


def main(argv=None):
    """Run the command; the errors it raises are those that `cli.entry.run` knows."""
    description = "Train a generator of digits against a discriminator, on MNIST."
    given = parse(GANConfig, "python -m scratchnet.gan", description, argv)
    config, checkpoint = resolve(GANConfig, given, load_gan)
    rng, matmul = np.random.default_rng(config.seed), kernel(config.matmul, config.threads)
    dataset = load_data(config, checkpoint)
    images = dataset.train.images  # (N,28,28)
    classifier = load_evaluator(config.judge, dataset) if config.judge else None
    if config.dry_run:
        config = dataclasses.replace(config, epochs=1)
        images = images[: config.batch_size]
    from scratchnet.kernels.adam import adam_update  # only here: Numba takes half a second

    generator = Generator(config.noise, config.hidden, rng=rng, matmul=matmul)
    discriminator = Discriminator(config.discriminator_hidden, rng=rng, matmul=matmul)
    rates = config.lr, config.discriminator_lr
    gan = GAN(generator, discriminator, *rates, update=adam_update)
    with open_run_folder(config) as folder, threadpoolctl.threadpool_limits(config.threads, "blas"):
        run = GANRun(folder, config, dataset, len(images), gan)
        print_start(run)
        if classifier:
            run.evaluate_with(classifier, config.judge)
        else:
            print("metrics none but the losses; --judge RUN takes a run of scratchnet.train")
        if checkpoint:
            run.resume(*checkpoint)
        folder.write_config(config, dataset)
        with run.ends_explained():
            train_one_epoch = adversarial(gan, config, images)
            if not checkpoint:
                run.draw_digits(0)
            fit(run, train_one_epoch)
            finish(run)


def load_evaluator(name, dataset):
    """Return the trained network of a run; CheckpointError, with the way out, if there is none."""
    try:
        return load_network(name, dataset)
    except CheckpointError as error:
        raise CheckpointError(f"--judge: {error}") from error


def print_start(run):
    """Print what is about to happen: the data, the networks, the kernel, the folder."""
    print_data(run.dataset, f"{run.n_images:,} images without their labels")
    for side in ("generator", "discriminator"):
        print(f"net     {side}, float32, LeakyReLU between")
        print_network(getattr(run.gan, side))
    print_machine(run.config, run.folder)


def finish(run):
    """Let the classifier evaluate many digits; print its scores and leave the files."""
    scores = {}
    if run.metrics:
        real = run.dataset.train.images[:COMPARED]  # fewer features would lie farther off
        found = {
            "generated": run.metrics(run.generate(len(real), batch=3)),
            "training_images": run.metrics(real),
        }
        print(f"metrics {len(real):,} of each      confident as 0, 1, ..., 9 (%)          distance")
        for name, score in found.items():
            shares = "".join(f"{100 * share:5.1f}" for share in score.digits)
            confident = f"{name.replace('_', ' '):16} {score.confident:6.1%}"
            print(f"        {confident}  {shares} {score.distance:9.2f}")
        keys = ("recognised", "digits", "distance")  # in metrics.json
        scores = {name: dict(zip(keys, score, strict=True)) for name, score in found.items()}
    run.folder.write_metrics(run.dataset, run.history, **scores)
    if not run.config.dry_run:
        run.write_figures()
        run.folder.print_files()


if __name__ == "__main__":
    entry.run(main)
