"""Train a digit classifier: `python -m scratchnet.train`. The algorithm, in `training/epoch.py`:

    for x, labels in batches:
        logits = network.forward(x)
        loss, dlogits = softmax_cross_entropy(logits, labels)
        network.backward(dlogits)
        optimiser.step()

With the defaults, ten epochs on the full MNIST get about 97.8 % of the test images right, and five
of a convolutional network (`--model cnn`) about 99 %. The options are in `training/config.py`.
"""

import dataclasses

import numpy as np
import threadpoolctl

from scratchnet import data
from scratchnet.cli import entry
from scratchnet.cli.options import kernel, parse
from scratchnet.cli.summary import print_data, print_machine, print_network
from scratchnet.evaluation.metrics import confusion_matrix, evaluate
from scratchnet.nn.optim import SGD
from scratchnet.training.classifier_run import ClassifierRun, hold_out_validation, load_classifier
from scratchnet.training.config import MODELS, TrainConfig, resolve
from scratchnet.training.epoch import ENGINES, fit
from scratchnet.training.run import load_data
from scratchnet.training.run_folder import open_run_folder


def main(argv=None):
    """Run the command; the errors it raises are those that `cli.entry.run` knows."""
    description = "Train a network written by hand in NumPy on MNIST."
    given = parse(TrainConfig, "python -m scratchnet.train", description, argv)
    config, checkpoint = resolve(TrainConfig, given, load_classifier)
    matmul = kernel(config.matmul, config.threads)
    dataset = load_data(config, checkpoint)
    config, train, validation = hold_out_validation(dataset, config)
    if config.dry_run:
        config = dataclasses.replace(config, epochs=1)
        train = data.Split(train.images[: config.batch_size], train.labels[: config.batch_size])
    rng = np.random.default_rng(config.seed)
    network = MODELS[config.model](config.hidden, rng=rng, matmul=matmul)
    sgd = SGD(network, config.lr, config.momentum, config.weight_decay)

    with open_run_folder(config) as folder, threadpoolctl.threadpool_limits(config.threads, "blas"):
        run = ClassifierRun(folder, config, dataset, train, validation, network, sgd)
        print_start(run)
        if checkpoint:
            run.resume(*checkpoint)
        folder.write_config(config, dataset)
        with run.ends_explained():
            fit(run, ENGINES[config.engine](network, sgd, config, train))
            finish(run)


def print_start(run):
    """Print what is about to happen: the data, the network, the kernel, the folder."""
    splits = (run.train, run.validation, run.dataset.test)
    train, validation, test = (f"{len(split.labels):,}" for split in splits)
    print_data(run.dataset, f"{train} training, {validation} validation and {test} test images")
    if run.config.augment:
        print("        anew in each epoch: as they are, or corrupted mildly in one of six ways")
    print(f"net     {run.network}, float32, ReLU between")
    print_network(run.network)
    print_machine(run.config, run.folder)


def finish(run):
    """Evaluate on the test images, once; print the result and leave the files."""
    test = run.dataset.test
    loss, score, p = evaluate(run.network, data.to_unit_interval(test.images), test.labels)
    counts = confusion_matrix(p.argmax(axis=1), test.labels)  # (10,10)
    scores = {"test_accuracy": score, "test_loss": loss, "confusion_matrix": counts.tolist()}
    run.folder.write_metrics(run.dataset, run.history, **scores)
    if not (run.config.no_plots or run.config.dry_run):
        run.write_figures(p, counts)
    held_out = " of the sample" if run.dataset.name == "sample" else ""
    print(f"test    accuracy {score:.2%}, loss {loss:.4f} on {len(test.labels):,} images{held_out}")
    print("        rows: true digit; columns: predicted")
    for digit, row in enumerate([range(10), *counts], start=-1):
        print(f"     {digit if digit >= 0 else ' '}  " + "".join(f"{count:6}" for count in row))
    if not run.config.dry_run:
        run.folder.print_files()


if __name__ == "__main__":
    entry.run(main)
