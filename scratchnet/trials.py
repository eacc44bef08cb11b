"""The trials of a search, shared by any number of processes: none lost, none done twice.

    RUNNING ──> COMPLETE or PRUNED           a worker asks, trains, tells
       └──> FAIL ──> WAITING ──> RUNNING     it died: another worker takes its trial over

Optuna keeps the trials where every worker sees them, in a file or in a database, and lets only
one worker start each and only one finish it. How the others learn that a worker has died it leaves
to heartbeats in a database, and for files to nobody. Here, for both alike, a trial that reports is
alive: each worker notes on its own clock when the trials of the others last got on, and gives up
one that has not for `patience` seconds. So no clocks are compared. A worker that was only asleep
finds its trial given up, and its result is dropped.

What the storages promise, and what of it `tests/test_tune.py` shows by killing a process:

    a file               processes on one machine (shown) or with one shared folder, by a lock
                         beside the file; one killed while it holds the lock stops the others for
                         30 s; a power cut within a write may leave half a line at the end
    sqlite:///FILE       transactions; processes on one machine only (shown)
    postgresql, mysql    transactions, over a network; their drivers are installed separately
"""

import json
import os
import platform
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from scratchnet import cli

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
STARTED = (*DONE, TrialState.RUNNING)


def open_study(storage, name):
    """Return the study of that name, to be maximised; it is made if it is not there.

    Args:
        storage: the URL of a database as SQLAlchemy writes it, such as sqlite:///study.db, or the
            path of Optuna's journal file.

    Raises:
        cli.UsageError: no URL, or a file that is no journal.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(
            storage=open_database(storage) if is_url(storage) else open_journal(storage),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            # Two epochs are too few to judge a trial by, and four trials to judge the others by.
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
        )
    except (ArgumentError, ValueError, TypeError, LookupError, AssertionError) as error:
        raise cli.UsageError(f"--storage {shown(storage)} is no storage of Optuna") from error


def open_database(url):
    """Return Optuna's storage in a database; SQLite waits for the other writers, a minute long."""
    waiting = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    return RDBStorage(url, engine_kwargs=waiting)


def open_journal(path):
    """Return Optuna's storage in a file, new or its own: to any other it would append."""
    if Path(path).exists():
        with Path(path).open("rb") as file:
            if first_line := file.readline():
                json.loads(first_line)["op_code"]  # raises what `open_study` knows
    return JournalStorage(JournalFileBackend(path))


@contextmanager
def reachable(storage):
    """Turn what goes wrong with a database within `with` into an OSError of one line."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise OSError(f"--storage {shown(storage)} cannot be used: {reason}") from error


def is_url(storage):
    return "://" in storage


def shown(storage):
    """Return a storage as it may be printed: a URL may hold a password."""
    return f"{storage.partition('://')[0]}://..." if is_url(storage) else storage


class Worker:
    """Does trials of a study until `goal` of them are done, by whomever.

    Args:
        study: from `open_study`, of this process alone.
        patience: seconds after which another's trial is given up, if it reports nothing: far more
            than an epoch takes.
        seed: with the number of a trial, what the sampler draws it from.
    """

    def __init__(self, study, goal, *, patience, seed):
        self.study = study
        self.goal = goal
        self.patience = patience
        self.seed = seed
        self.last_seen = {}  # {number of a running trial: (reports, the time they were that many)}

    def work(self, objective):
        """Yield each trial after `objective(trial)` has returned its value or pruned it."""
        for trial in self.claims():
            try:
                told = self.study.tell(trial, **outcome(objective, trial), skip_if_finished=True)
            except UpdateFinishedTrialError:  # another worker has taken it for dead
                continue
            yield told

    def claims(self):
        """Yield trials to do; wait while the last ones are under way, lest their workers die."""
        while True:
            self.give_up_the_dead()
            states = [trial.state for trial in self.study.get_trials(deepcopy=False)]
            if sum(state in DONE for state in states) >= self.goal:
                return
            if sum(state in STARTED for state in states) >= self.goal:
                time.sleep(min(1, self.patience / 4))
                continue
            trial = self.study.ask()
            if self.is_surplus(trial):
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            trial.set_user_attr("process", f"{platform.node()}:{os.getpid()}")
            # A generator for each trial, as workers with equal generators would draw equal trials.
            seed = np.random.SeedSequence((self.seed, trial.number)).generate_state(1)[0]
            self.study.sampler = optuna.samplers.TPESampler(seed=int(seed), constant_liar=True)
            yield trial

    def is_surplus(self, trial):
        """Tell whether several workers asked at once for the last trial, and this came later."""
        started = self.study.get_trials(deepcopy=False, states=STARTED)
        return sum(other.number < trial.number for other in started) >= self.goal

    def give_up_the_dead(self):
        """Fail the trials that have reported nothing for too long, and queue them once more."""
        now = time.monotonic()
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        reports = {trial.number: len(trial.intermediate_values) for trial in running}
        before = self.last_seen
        self.last_seen = {
            number: before[number] if before.get(number, (-1,))[0] == count else (count, now)
            for number, count in reports.items()
        }
        for trial in running:
            if now - self.last_seen[trial.number][1] < self.patience:
                continue
            try:
                self.study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, UpdateFinishedTrialError):
                continue  # it came to its end after all, or another worker was quicker
            self.study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
            print(f"trial {trial.number:3}  nothing heard of it: queued again")


def outcome(objective, trial):
    """Return what to tell of a trial: its value, or that it was pruned."""
    try:
        return {"values": objective(trial)}
    except optuna.TrialPruned:
        return {"state": TrialState.PRUNED}
