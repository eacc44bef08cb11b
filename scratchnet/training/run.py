"""What a run leaves behind: a folder that says what was done, how it went and what came of it.

    config.json   history.csv   metrics.json   model.safetensors   figures/*

Each file is replaced as a whole, so a run that is stopped at any moment leaves readable files.
"""

import contextlib
import csv
import errno
import io
import json
import platform
import shlex
import signal
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import filelock
import numpy as np
from tqdm import tqdm

from scratchnet import __version__
from scratchnet.errors import (
    CheckpointError,
    NumericError,
    Stopped,
    StoppedBetweenBatches,
    UsageError,
)
from scratchnet.files import write_atomically
from scratchnet.training import checkpoint

LIBRARIES = ("numpy", "numba", "matplotlib", "mlxtend", "pooch", "safetensors")


@contextlib.contextmanager
def run_folder(options):
    """Make the folder of the run, its own while it lasts.

    Raises:
        UsageError: it holds another run already.
        OSError: it cannot be made or written, or another run is at work in it.
    """
    if options.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    beside = Path(options.resume).parent if options.resume else None
    folder = Path(options.out or beside or f"runs/{time.strftime('%Y-%m-%d-%H%M%S')}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            model = folder / "model.safetensors"
            resumed = options.resume and Path(options.resume).resolve() == model.resolve()
            if model.exists() and not resumed:
                raise UsageError(f"{folder} holds a run; go on with --resume {model}")
            yield folder
    except filelock.Timeout:
        raise BlockingIOError(errno.EAGAIN, "in use by another run", str(folder)) from None


class Run:
    """A training under way, and the files that remember it.

    A kind of run says by these constants what it is made of, and by `arrays` what it learns.

    Attributes:
        epoch: the one under way, counted from 1; one past the last when all are done.
        under_way: how far that epoch is: what its progress counts, by name.
        history: a dict with the keys HISTORY for each finished epoch.
    """

    COMMAND = ""  # what `python -m` starts
    # These options decide the weights, bit for bit: a resumed run takes them from its checkpoint.
    DECISIVE = ()
    # These a resumed run takes over too, but may be told otherwise.
    INHERITED = ()
    HISTORY = ()
    RATES = "--lr"  # what is too high where the numbers explode
    COUNTED = ("batch", "loss_sum", "seconds")

    def __init__(self, folder, options, dataset):
        self.folder = folder
        self.model = folder / "model.safetensors"
        self.options = options
        self.dataset = dataset
        self.epoch = 1
        self.under_way = self._nothing_yet()
        self.history = []

    @property
    def arrays(self):
        """Every array that training changes, under its name in the checkpoint."""
        raise NotImplementedError

    @classmethod
    def recorded(cls, state, given):
        """Return the options that a resumed run takes from its checkpoint's `state`, if any.

        Raises:
            CheckpointError: an option `given` on the command line says otherwise.
        """
        if state is None:
            return {}
        config = state["config"]
        contradictions = [
            f"--{name.replace('_', '-')} {given[name]} (there {config[name]})"
            for name in cls.DECISIVE
            if name in given and given[name] != config[name]
        ]
        if contradictions:
            raise CheckpointError(
                f"{given['resume']} was trained otherwise than with {', '.join(contradictions)}"
            )
        name = config["data"]["name"]
        dataset = {"dataset": name} if name != "custom" else {}
        return {name: config[name] for name in cls.DECISIVE + cls.INHERITED} | dataset

    def resume(self, tensors, state):
        """Take over what the checkpoint holds, and the history that lies beside it.

        Raises:
            CheckpointError: of other data or another network, or beside a damaged history.
            UsageError: it has done more epochs than are asked for.
        """
        path = Path(self.options.resume)
        check_data(path, state["config"], self.dataset)
        checkpoint.restore(self.arrays, tensors, path)
        done, asked = state["epoch"] - 1, self.options.epochs
        if done > asked:
            raise UsageError(f"--epochs {asked}: {path} has done {done} epochs already")
        print(f"resume  {path}: {done} of {asked} epochs done")
        self.epoch, self.under_way = state["epoch"], state["under_way"]
        history = read_history(path.with_name("history.csv"), self.HISTORY)
        self.history = [row for row in history if row["epoch"] < self.epoch]
        if not self.model.exists():  # a folder of its own is a run of its own from the beginning
            self._save_history()
            self._save()

    @contextlib.contextmanager
    def saved_where_stopped(self, progress):
        """Within `with`, a stop between two batches saves the epoch where `progress` stands.

        Raises:
            StoppedBetweenBatches: that happened.
            NumericError: broken weights, and nothing saved.
        """
        try:
            yield
        except StoppedBetweenBatches:
            self._check_finite()
            self.under_way = {name: getattr(progress, name) for name in self.COUNTED}
            self._save()
            raise

    def close_epoch(self, progress, scores, text):
        """Print and save a finished epoch; NumericError, and nothing saved, for broken weights.

        Args:
            scores: the row of history, but for its number, seconds and images_per_second.
            text: the same for the eye.
        """
        row = {
            "epoch": self.epoch,
            **scores,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(progress.n_images / progress.seconds),
        }
        speed = f"{row['seconds']:.1f} s, {row['images_per_second']:,} images/s"
        tqdm.write(f"{progress.title}: {text}, {speed}")
        self._check_finite()
        # Before the checkpoint: killed in between, the epoch is run again, and no row is missing.
        self.history.append(row)
        self._save_history()
        self.epoch += 1
        self.under_way = self._nothing_yet()
        self._save()

    def write_config(self):
        options = vars(self.options)
        places = ("out", "resume", "config")  # a resumed run leaves the files of one never stopped
        self._write_json(
            "config.json",
            {
                "options": {name: options[name] for name in options if name not in places},
                "data": {
                    "name": self.dataset.name,
                    "origin": self.dataset.origin,
                    "sha256": self.dataset.sha256,
                },
                "versions": {"python": platform.python_version(), "scratchnet": __version__}
                | {library: version(library) for library in LIBRARIES},
            },
        )

    def write_metrics(self, **scores):
        seconds = round(sum(row["seconds"] for row in self.history), 3)
        self._write_json(
            "metrics.json", {"dataset": self.dataset.name, **scores, "train_seconds": seconds}
        )

    def _check_finite(self):
        """Raise NumericError if an array of what is learned is no longer finite."""
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                raise NumericError(f"{name} is no longer finite in epoch {self.epoch}")

    @contextlib.contextmanager
    def ends_explained(self):
        """Within `with`, a stop or a numeric error says what of the run is left, and what to do."""
        try:
            yield
        except StoppedBetweenBatches as stopped:
            raise Stopped(stopped.signum, self._where_it_stopped(stopped.signum)) from None
        except NumericError as error:
            kept = f"{self.model} holds the last good epoch"
            left = kept if self.model.exists() else "nothing saved"
            raise NumericError(f"{error}; try a lower {self.RATES}; {left}") from None

    def list_files(self):
        """Print what the run has left, unless it is a dry one."""
        if not self.options.dry_run:
            names = sorted(path.name for path in self.folder.iterdir() if path.name[0] != ".")
            print(f"files   {', '.join(names)} in {self.folder}")

    def _where_it_stopped(self, signum):
        command = ["python", "-m", self.COMMAND, "--resume", str(self.model)]
        if self.options.data_dir:
            command += ["--data-dir", self.options.data_dir]
        return (
            f"stopped by {signal.Signals(signum).name} with {self.epoch - 1} epochs and "
            f"{self.under_way['batch']} batches done; go on with {shlex.join(command)}"
        )

    def _nothing_yet(self):
        return {name: 0 if name == "batch" else 0.0 for name in self.COUNTED}

    def _save_history(self):
        self._write("history.csv", format_history(self.history, self.HISTORY))

    def _save(self):
        config = {name: getattr(self.options, name) for name in self.DECISIVE + self.INHERITED}
        config["data"] = {"name": self.dataset.name, "sha256": self.dataset.sha256}
        state = {"config": config, "epoch": self.epoch, "under_way": self.under_way}
        checkpoint.save(self.model, self.arrays, state)

    def _write(self, name, content):
        write_atomically(self.folder / name, content)

    def _write_json(self, name, content):
        self._write(name, (json.dumps(content, indent=2) + "\n").encode())


def is_state(state, kind):
    """Whether the state of a checkpoint is what that kind of `Run` saves, as far as is generic."""
    config, epoch, under_way = (state.get(name) for name in ("config", "epoch", "under_way"))
    if not isinstance(config, dict) or type(epoch) is not int:
        return False
    trained_on = config.get("data")
    return (
        config.keys() >= {*kind.DECISIVE, *kind.INHERITED}
        and isinstance(trained_on, dict)
        and trained_on.keys() >= {"name", "sha256"}
        and isinstance(under_way, dict)
        and under_way.keys() == set(kind.COUNTED)
        and all(type(number) in (int, float) for number in under_way.values())
        and type(under_way["batch"]) is int
        and min(epoch - 1, under_way["batch"], under_way["seconds"]) >= 0
    )


def check_data(path, config, dataset):
    """Raise CheckpointError if a checkpoint of this config was trained on other data."""
    if config["data"]["sha256"] != dataset.sha256:
        raise CheckpointError(
            f"{path} was trained on other data ({config['data']['name']}) than those from "
            f"{dataset.origin}; name those with --dataset or --data-dir"
        )


def format_history(history, columns):
    """Return the bytes of a CSV file; what was not measured (None) is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def read_history(path, columns):
    """Return the rows of history.csv as `format_history` took them; none if there is no file.

    Raises:
        CheckpointError: it is no such file.
    """
    if not path.exists():
        return []
    whole = ("epoch", "images_per_second")
    try:
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != columns:
                raise ValueError("another header")
            return [
                {
                    name: None if row[name] == "" else (int if name in whole else float)(row[name])
                    for name in columns
                }
                for row in rows
            ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise CheckpointError(
            f"{path} is damaged; without it, the run goes on with a new history"
        ) from error
