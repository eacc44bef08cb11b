"""Hyper-parameter search for the best network: `python -m scratchnet.tune`, with Optuna.

    options suggested ──train, an epoch at a time──> validation accuracy ──> Optuna ──╮
          ╰──────────── next trial: near the best so far, seldom far from it <────────╯

Each trial (`training/search.py`) trains as `scratchnet.train --engine fused` does, and is pruned
where it does worse than half of the others did by then. The test images are never looked at: the
best options go into a file, and `python -m scratchnet.train --config best.json` evaluates them on
the test images, once. One study can be worked on by many processes and machines at a time, by
naming one `--storage`; see `training/study.py`.

The sampler is the tree-structured Parzen estimator (Bergstra et al., "Algorithms for
hyper-parameter optimization", 2011, section 4).
"""

import dataclasses
import multiprocessing
import signal
import sys
import time
from pathlib import Path

import threadpoolctl

from scratchnet import data
from scratchnet.cli import entry
from scratchnet.cli.options import parse
from scratchnet.cli.summary import print_data
from scratchnet.errors import EXIT_CODES, NumericError, Stopped, UsageError
from scratchnet.files import write_csv, write_json
from scratchnet.training import search
from scratchnet.training.classifier_run import hold_out_validation
from scratchnet.training.config import TuneConfig


def main(argv=None):
    """Run the command; the errors it raises are those that `cli.entry.run` knows."""
    description = "Search for the network and the training with the best validation accuracy."
    config = TuneConfig(**parse(TuneConfig, "python -m scratchnet.tune", description, argv))
    try:
        import optuna

        from scratchnet.training.study import reachable, shown
    except ImportError as error:
        raise OSError('the search needs Optuna: pip install -e ".[tune]"') from error
    config, dataset, train, validation = prepare(config)
    folder = Path(config.out or f"runs/tune-{time.strftime('%Y-%m-%d-%H%M%S')}")
    folder.mkdir(parents=True, exist_ok=True)
    config = dataclasses.replace(config, storage=config.storage or str(folder / "study.journal"))
    amounts = f"{len(train.labels):,} training and {len(validation.labels):,} validation images"
    print_data(dataset, amounts)
    print(f"search  {config.trials} trials of {config.epochs} epochs, in {config.jobs} processes")
    print(f"engine  fused, one thread each; Optuna {optuna.__version__}")

    begin = time.perf_counter()
    try:
        study, lost = search_in_processes(config, dataset, train, validation)
    except Stopped as stop:
        way_on = f"go on with the same options and --storage {shown(config.storage)}"
        raise Stopped(stop.signum, f"stopped; the trials are kept: {way_on}") from None
    if lost:
        print(f"lost    {lost} of {config.jobs} processes; the others did their trials")
    with reachable(config.storage):
        best, files = write_results(study, config, folder)
    print(f"best    {describe(best)}")
    print(f"files   {', '.join(files)} in {folder}")
    print(f"        {time.perf_counter() - begin:.0f} s; the test images are unseen so far; next:")
    print(f"        python -m scratchnet.train --config {folder / 'best.json'}")


def prepare(config):
    """Return the config, the data set, training and validation split, with the engine compiled."""
    dataset = data.load(config.dataset, config.data_dir)
    config, train, validation = hold_out_validation(dataset, config)
    if len(validation.labels) == 0:
        raise UsageError("--val-size: a search needs images to compare the trials by")
    search.compile_engine(train)
    return config, dataset, train, validation


def search_in_processes(config, dataset, train, validation):
    """Search in `config.jobs` processes, of which this is one; return the study and who died."""
    spawn = multiprocessing.get_context("spawn")  # forked, Numba's threads would not come along
    jobs = [spawn.Process(target=child, args=(config,), daemon=True) for _ in range(1, config.jobs)]
    for job in jobs:
        job.start()
    study = work(config, dataset, train, validation)
    for job in jobs:
        job.join()
    return study, sum(job.exitcode != 0 for job in jobs)


def work(config, dataset, train, validation):
    """Do trials of the study until `config.trials` are done, by whomever; return the study."""
    from scratchnet.training.study import Worker, open_study, reachable

    with threadpoolctl.threadpool_limits(1, "blas"), reachable(config.storage):
        study = open_study(config.storage, search.study_name(dataset, config))
        timeout = config.heartbeat_timeout
        worker = Worker(study, config.trials, heartbeat_timeout=timeout, seed=config.seed)
        for trial in worker.work(lambda t: search.train_and_validate(t, config, train, validation)):
            print(describe(trial))
    return study


def child(config):
    """Be one job of several: the parent alone answers Ctrl-C, and ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        work(*prepare(config))
    except tuple(EXIT_CODES) as error:
        sys.exit(f"a process of the search has ended: {error}")


def row(trial):
    """Return a finished trial as a row of the table: its result, and the options drawn for it."""
    result = {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "validation_accuracy": trial.value,
        "epochs": len(trial.intermediate_values),
        "seconds": round(trial.duration.total_seconds(), 1),
        "process": trial.user_attrs.get("process"),
    }
    return result | rounded(trial.params)


def describe(trial):
    """Return one line on a finished trial."""
    score = f"{trial.value:6.2%}" if trial.value is not None else "     -"
    cells, epochs = row(trial), len(trial.intermediate_values)
    ending = f"{cells['state']} after {epochs} epochs, {cells['seconds']:.0f} s"
    drawn = ", ".join(f"{name} {value}" for name, value in rounded(trial.params).items())
    return f"trial {trial.number:3}  {score}  {ending}: {drawn}"


def rounded(params):
    """Return {name: value} of what was drawn, to three digits as `search.suggest` rounds it."""
    return {n: float(f"{v:.3g}") if isinstance(v, float) else v for n, v in params.items()}


def write_results(study, config, folder):
    """Leave the best options, every trial and figures; return the best trial and the files."""
    from optuna.importance import get_param_importances
    from optuna.trial import FixedTrial

    from scratchnet.evaluation import plots

    trials = [row(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    names = dict.fromkeys(name for trial in trials for name in trial)
    write_csv(folder / "trials.csv", names, [map(trial.get, names) for trial in trials])

    complete = [trial for trial in trials if trial["state"] == "complete"]
    if not complete:
        raise NumericError(f"no trial came to its end; {folder / 'trials.csv'} lists them")
    best = study.best_trial
    # The validation images have done their work: the last training is on all of them.
    options = search.suggest(FixedTrial(best.params)) | {"epochs": config.epochs, "val_size": 0}
    options |= {"engine": "fused", "seed": config.seed}
    write_json(folder / "best.json", options)
    plots.save(plots.search_history(trials), folder / "history.png")
    files = ["best.json", "trials.csv", "history.png"]
    if len(complete) >= plots.MANY_TRIALS:
        shares = get_param_importances(study)
        plots.save(plots.importance(shares, len(complete)), folder / "importance.png")
        files.append("importance.png")
    return best, files


if __name__ == "__main__":
    entry.run(main)
