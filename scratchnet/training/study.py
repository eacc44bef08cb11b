"""A study of Optuna's, its trials shared by many processes: none lost, none done twice.

    RUNNING ──> COMPLETE or PRUNED           a worker asks, trains, tells
       └──> FAIL ──> WAITING ──> RUNNING     it died: another worker does its trial, once more

Optuna keeps the trials where every worker sees them, in a file or in a database, and lets only
one worker start each and only one finish it. How the others learn that a worker has died it leaves
to heartbeats in a database, and for files to nobody. Here, for both alike, a trial that reports is
alive: each worker notes on its own clock when the trials of the others last got on, and gives up
one that has not for `heartbeat_timeout` seconds. So no clocks are compared. A worker that was only
asleep finds its trial given up, and its result is dropped.

What the storages promise, and what of it tests/commands/test_tune.py shows by killing a process:

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
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from scratchnet.errors import UsageError

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
STARTED = (*DONE, TrialState.RUNNING)
LOCK_SECONDS = 30  # after which a lock that nobody has touched is taken for a dead process's


def open_study(storage, name):
    """Return the study of that name, to be maximised; it is made if it is not there.

    Args:
        storage: the URL of a database as SQLAlchemy writes it, such as sqlite:///study.db, or the
            path of Optuna's journal file.

    Raises:
        UsageError: no URL, or a file that is no journal.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(
            storage=open_database(storage) if "://" in storage else open_journal(storage),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            # No trial is pruned before its third epoch, nor compared with fewer than five others.
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3),
        )
    except (ArgumentError, ValueError, TypeError, LookupError, AssertionError) as error:
        raise UsageError(f"--storage {shown(storage)} is no storage of Optuna") from error


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
    # The other lock of Optuna's, a symbolic link, does not count as old if the path is relative.
    lock = JournalFileOpenLock(path, grace_period=LOCK_SECONDS)
    return JournalStorage(JournalFileBackend(path, lock_obj=lock))


@contextmanager
def reachable(storage):
    """Turn what goes wrong with a database within `with` into an OSError of one line."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise OSError(f"--storage {shown(storage)} cannot be used: {reason}") from error


def shown(storage):
    """Return a storage as it may be printed: a URL may hold a password."""
    scheme, is_url, _ = storage.partition("://")
    return f"{scheme}://..." if is_url else storage


@dataclass
class Worker:
    """Does trials of a study until `goal` of them are done, by whomever."""

    study: optuna.Study  # from `open_study`, of this process alone
    goal: int
    _: KW_ONLY
    heartbeat_timeout: float  # seconds until another's silent trial is given up: many epochs'
    seed: int  # with the number of a trial, what the sampler draws it from
    # {number of a running trial: (reports, the time they were that many)}
    last_seen: dict = field(default_factory=dict, init=False)

    def work(self, objective):
        """Yield each trial after `objective(trial)` has returned its value or pruned it."""
        for trial in self.claims():
            try:
                told = self.study.tell(trial, **outcome(objective, trial), skip_if_finished=True)
            except UpdateFinishedTrialError:
                continue  # another worker has taken it for dead
            except BaseException:  # Ctrl-C, too: the others need not wait until it counts as dead
                self.fail(trial)
                raise
            if told.state in DONE:
                yield told

    def claims(self):
        """Yield trials to do; wait while the last ones are under way, lest their workers die."""
        while True:
            self.give_up_the_dead()
            self.queue_the_failed_again()
            states = [trial.state for trial in self.study.get_trials(deepcopy=False)]
            if sum(state in DONE for state in states) >= self.goal:
                return
            if sum(state in STARTED for state in states) >= self.goal:
                time.sleep(min(1, self.heartbeat_timeout / 4))
                continue
            trial = self.study.ask()
            try:
                trial.set_user_attr("process", f"{platform.node()}:{os.getpid()}")
                if self.is_surplus(trial):
                    trial.set_user_attr("surplus", True)
                    self.fail(trial)
                    continue
            except UpdateFinishedTrialError:
                continue
            # A generator for each trial, as workers with equal generators would draw equal trials.
            seed = np.random.SeedSequence((self.seed, trial.number)).generate_state(1)[0]
            self.study.sampler = optuna.samplers.TPESampler(seed=int(seed), constant_liar=True)
            yield trial

    def is_surplus(self, trial):
        """Tell whether several workers began at once what was to be done by one."""
        again = trial.user_attrs.get("again")
        earlier = [t for t in self.study.get_trials(deepcopy=False) if t.number < trial.number]
        twins = [t for t in earlier if again is not None and t.user_attrs.get("again") == again]
        return bool(twins) or sum(t.state in STARTED for t in earlier) >= self.goal

    def give_up_the_dead(self):
        """Fail the trials that have reported nothing for too long."""
        now = time.monotonic()
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        reports = {trial.number: len(trial.intermediate_values) for trial in running}
        before = self.last_seen
        self.last_seen = {
            number: before[number] if before.get(number, (-1,))[0] == count else (count, now)
            for number, count in reports.items()
        }
        for number, (_, since) in self.last_seen.items():
            if now - since >= self.heartbeat_timeout and self.fail(number):
                print(f"trial {number:3}  no heartbeat, given up")

    def fail(self, trial):
        """Mark a trial as failed; False if it is over already."""
        try:
            self.study.tell(trial, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):
            return False
        return True

    def queue_the_failed_again(self):
        """Queue what a failed trial drew, by whoever looks first: its worker may be gone.

        Once only: a network that ends its worker each time, for want of memory, would end all.
        """
        trials = self.study.get_trials(deepcopy=False)
        again = {trial.user_attrs.get("again") for trial in trials}
        for trial in trials:
            done_with = {"surplus", "again"} & trial.user_attrs.keys() or trial.number in again
            if trial.state == TrialState.FAIL and not done_with:
                self.study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
                print(f"trial {trial.number:3}  failed, queued again")


def outcome(objective, trial):
    """Return what to tell of a trial: its value, or that it was pruned."""
    try:
        return {"values": objective(trial)}
    except optuna.TrialPruned:
        return {"state": TrialState.PRUNED}
