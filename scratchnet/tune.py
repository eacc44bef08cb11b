"""Search for the best network: `python -m scratchnet.tune`, with Optuna.

    options drawn ──train, an epoch at a time──> accuracy on the validation images ──> Optuna ──╮
          ╰──────────────── next trial: near the best so far, seldom far from it <──────────────╯

Each trial trains as `scratchnet.train --engine fused` does, and is stopped early where it does
worse than half of the others did by then. The test images are never looked at: the best options go
into a file, and `python -m scratchnet.train --config best.json` scores them, once. One study can be
worked on by many processes and machines at a time, by naming one `--storage`; see `trials.py`.

The sampler is the tree-structured Parzen estimator (Bergstra et al., "Algorithms for
hyper-parameter optimization", 2011, section 4).
"""

import csv
import hashlib
import io
import json
import multiprocessing
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import threadpoolctl

from scratchnet import data
from scratchnet.cli import entry
from scratchnet.cli.options import Parser, nonempty_path, real_number, whole_number
from scratchnet.errors import EXIT_CODES, NumericError, Stopped, UsageError
from scratchnet.evaluation.metrics import accuracy, evaluate
from scratchnet.files import write_atomically
from scratchnet.nn.network import MLP
from scratchnet.nn.optim import SGD
from scratchnet.train import DEFAULTS
from scratchnet.training.classifier_run import split

RESULT = ("number", "state", "validation_accuracy", "epochs", "seconds", "process")


def draw(trial):
    """Draw the options of a trial, rounded to what a reader can copy."""

    def real(name, low, high, **kwargs):
        return float(f"{trial.suggest_float(name, low, high, **kwargs):.3g}")

    depth = trial.suggest_int("depth", 1, 3)
    return {
        "lr": real("lr", 0.01, 0.3, log=True),
        "lr_decay": real("lr_decay", 0.7, 1),
        "momentum": real("momentum", 0, 0.95),
        "weight_decay": real("weight_decay", 1e-6, 1e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
        # Later layers are narrower: of 512 wide ones, each would cost as much as the first.
        "hidden": [
            trial.suggest_int(f"width{i}", 64, 512 if i == 1 else 256, step=64)
            for i in range(1, depth + 1)
        ],
    }


def train_and_validate(trial, options, train, validation):
    """Train a network for one trial; return its accuracy on the validation images at the end.

    Raises:
        optuna.TrialPruned: it does worse than others did, or its loss is no longer finite.
    """
    from optuna import TrialPruned

    from scratchnet.kernels.fused import FusedEngine

    drawn = draw(trial)
    network = MLP((784, *drawn["hidden"], 10), rng=np.random.default_rng(options.seed))
    sgd = SGD(network, drawn["lr"], drawn["momentum"], drawn["weight_decay"])
    engine = FusedEngine(network, sgd, train.images, train.labels, drawn["batch_size"])
    x_val = data.to_unit_interval(validation.images)  # (V,784)
    for epoch in range(1, options.epochs + 1):
        sgd.lr = drawn["lr"] * drawn["lr_decay"] ** (epoch - 1)
        order = data.shuffled(len(train.labels), seed=options.seed, epoch=epoch)  # (N,)
        for chunk in engine.chunks(order):
            engine.train(chunk)
        try:
            _, p = evaluate(network, x_val, validation.labels)  # (V,10)
        except NumericError as error:
            raise TrialPruned from error
        score = accuracy(p.argmax(axis=1), validation.labels)
        trial.report(score, epoch)
        if epoch < options.epochs and trial.should_prune():
            raise TrialPruned
    return score


def work(options, dataset, train, validation):
    """Do trials of the study until `options.trials` are done, by whomever; return the study."""
    from scratchnet.training.study import Worker, open_study, reachable

    with threadpoolctl.threadpool_limits(1, "blas"), reachable(options.storage):
        study = open_study(options.storage, study_name(dataset, options))
        worker = Worker(study, options.trials, patience=options.patience, seed=options.seed)
        for trial in worker.work(lambda t: train_and_validate(t, options, train, validation)):
            print(describe(trial))
    return study


def prepare(options):
    """Return the data set, training and validation split, with the engine ready to run.

    Compiled here and not within a trial, since the other workers watch how that gets on.
    """
    from scratchnet.kernels.fused import FusedEngine

    dataset = data.load(options.dataset, options.data_dir)
    train, validation = split(dataset, options)
    if len(validation.labels) == 0:
        raise UsageError("--val-size: a search needs images to compare the trials by")
    network = MLP((784, 10), rng=np.random.default_rng(0))
    FusedEngine(network, SGD(network, 0.1), train.images[:1], train.labels[:1], 1)
    return dataset, train, validation


def study_name(dataset, options):
    """Name the study after all that must be alike if two trials are to be compared."""
    sums = hashlib.sha256(json.dumps(dataset.sha256, sort_keys=True).encode()).hexdigest()
    return f"{dataset.name}-{sums[:8]}-{options.val_size}-{options.epochs}-{options.seed}"


def child(options):
    """Be one job of several: the parent alone answers Ctrl-C, and ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        work(options, *prepare(options))
    except (OSError, MemoryError, *EXIT_CODES) as error:
        sys.exit(f"a process of the search has ended: {error}")


def row(trial):
    """Return a finished trial as a row of the table: what came of it, and what was drawn."""
    drawn = {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in trial.params.items()
    }
    result = (
        trial.number,
        trial.state.name.lower(),
        trial.value,
        len(trial.intermediate_values),
        round(trial.duration.total_seconds(), 1),
        trial.user_attrs.get("process"),
    )
    return dict(zip(RESULT, result, strict=True)) | drawn


def describe(trial):
    """Return one line on a finished trial."""
    cells = row(trial)
    number, state, score, epochs, seconds, _ = (cells.pop(name) for name in RESULT)
    score = f"{score:6.2%}" if score is not None else "     -"
    drawn = ", ".join(f"{name} {value}" for name, value in cells.items())
    return f"trial {number:3}  {score}  {state} after {epochs} epochs, {seconds:.0f} s: {drawn}"


def write_results(study, options):
    """Leave the best options, every trial and the two figures in the folder; return the best."""
    from optuna.importance import get_param_importances
    from optuna.trial import FixedTrial

    from scratchnet.evaluation import plots

    folder = Path(options.out)
    trials = [row(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    text = io.StringIO()
    names = dict.fromkeys(name for trial in trials for name in trial)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(trials)
    write_atomically(folder / "trials.csv", text.getvalue().encode())

    complete = [trial for trial in trials if trial["state"] == "complete"]
    if not complete:
        raise NumericError(f"no trial came to its end; {folder / 'trials.csv'} lists them")
    best = study.best_trial
    # The validation images have done their work: the last training is on all of them.
    config = draw(FixedTrial(best.params)) | {"epochs": options.epochs, "val_size": 0}
    config |= {"engine": "fused", "seed": options.seed}
    write_atomically(folder / "best.json", (json.dumps(config, indent=2) + "\n").encode())
    plots.save(plots.search_history(trials), folder / "history.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that few trials say little; the title does
        shares = get_param_importances(study)
    plots.save(plots.importance(shares, len(complete)), folder / "importance.png")
    return best


def main(argv=None):
    """Run the command; the errors it raises are those that `cli.entry.run` knows."""
    options = parse(argv)
    try:
        import optuna

        from scratchnet.training.study import reachable, shown
    except ImportError as error:
        raise OSError('the search needs Optuna: pip install "scratchnet[tune]"') from error
    dataset, train, validation = prepare(options)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    options.storage = options.storage or str(folder / "study.journal")
    print(
        f"data    {dataset.name}: {len(train.labels):,} training and {len(validation.labels):,} "
        f"validation images, from {dataset.origin}"
    )
    if dataset.notice:
        print(f"        {dataset.notice}")
    print(
        f"search  {options.trials} trials of {options.epochs} epochs, in {options.jobs} processes"
    )
    print(f"engine  fused, one thread each; Optuna {optuna.__version__}")

    spawn = multiprocessing.get_context("spawn")  # forked, Numba's threads would not come along
    jobs = [
        spawn.Process(target=child, args=(options,), daemon=True) for _ in range(1, options.jobs)
    ]
    begin = time.perf_counter()
    for job in jobs:
        job.start()
    try:
        study = work(options, dataset, train, validation)
        for job in jobs:
            job.join()
    except Stopped as stop:
        raise Stopped(
            stop.signum,
            f"stopped; the trials are kept: go on with the same options and "
            f"--storage {shown(options.storage)}",
        ) from None
    if lost := sum(job.exitcode != 0 for job in jobs):
        print(f"lost    {lost} of {options.jobs} processes; the others did their trials")
    with reachable(options.storage):
        best = write_results(study, options)
    print(f"best    {describe(best)}")
    print(f"files   best.json, trials.csv, history.png, importance.png in {folder}")
    print(f"        {time.perf_counter() - begin:.0f} s; the test images are unseen so far; next:")
    print(f"        python -m scratchnet.train --config {folder / 'best.json'}")


def parse(argv):
    """Return the options of the command line."""
    parser = Parser(
        prog="python -m scratchnet.tune",
        description="Search for the network and the training that read most validation images.",
        allow_abbrev=False,
    )
    whole = whole_number

    def option(flag, help, default, **kwargs):
        shown = "" if default is None else f" (default: {default})"
        parser.add_argument(flag, help=help + shown, default=default, **kwargs)

    option("--trials", "done in the end, by all processes", 40, type=whole(1), metavar="N")
    option("--epochs", "of each trial", 15, type=whole(1), metavar="N")
    option("--jobs", "processes at work", 2, type=whole(1), metavar="N")
    option("--storage", "URL of a database or a file, for many machines", None, type=nonempty_path)
    option("--patience", "seconds until a trial is given up", 120, type=real_number(1))
    default = f"runs/tune-{time.strftime('%Y-%m-%d-%H%M%S')}"
    option("--out", "folder of the files", default, type=nonempty_path, metavar="DIR")
    for name in ("seed", "val_size"):
        option(f"--{name.replace('_', '-')}", "as in training", DEFAULTS[name], type=whole(0))
    option("--dataset", "as in training", "auto", choices=("auto", "mnist", "sample"))
    option("--data-dir", "as in training", None, type=nonempty_path, metavar="DIR")
    options = parser.parse_args(argv)
    options.dry_run, options.batch_size = False, None  # `split` asks
    return options


if __name__ == "__main__":
    entry.run(main)
