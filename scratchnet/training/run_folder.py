"""The folder of a run: its options, its history, its results.

    config.json   history.csv   metrics.json   model.safetensors   figures/*

Each file is replaced as a whole, so a run that is stopped at any moment leaves readable files.
"""

import contextlib
import csv
import dataclasses
import errno
import platform
import shutil
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import filelock

from scratchnet import __version__, signals
from scratchnet.errors import CheckpointError, UsageError
from scratchnet.files import write_csv, write_json

LIBRARIES = ("numpy", "numba", "matplotlib", "mlxtend", "pooch", "safetensors")


class RunFolder:
    """A folder and the files that a run leaves in it; each method writes one, or raises OSError."""

    def __init__(self, path):
        self.path = path
        self.model = path / "model.safetensors"

    def __str__(self):
        return str(self.path)

    def write_config(self, config, dataset):
        places = ("out", "resume", "config")  # a resumed run leaves the files of one never stopped
        options = {n: value for n, value in dataclasses.asdict(config).items() if n not in places}
        versions = {"python": platform.python_version(), "scratchnet": __version__}
        versions |= {library: version(library) for library in LIBRARIES}
        data = {"name": dataset.name, "origin": dataset.origin, "sha256": dataset.sha256}
        content = {"options": options, "data": data, "versions": versions}
        write_json(self.path / "config.json", content)

    def write_history(self, history, scores):
        """Write a row an epoch: its number, its scores by these names, its speed."""
        names = columns(scores)
        rows = [[row[name] for name in names] for row in history]
        write_csv(self.path / "history.csv", names, rows)

    def write_metrics(self, dataset, history, **scores):
        seconds = round(sum(row["seconds"] for row in history), 3)
        metrics = {"dataset": dataset.name, **scores, "train_seconds": seconds}
        write_json(self.path / "metrics.json", metrics)

    def figures(self):
        """Return the folder of the figures; it is made if it is not there."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    def print_files(self):
        names = sorted(path.name for path in self.path.iterdir() if path.name[0] != ".")
        print(f"files   {', '.join(names)} in {self}")


@contextlib.contextmanager
def open_run_folder(config):
    """Make the `RunFolder` of a run, its own while it lasts.

    One that was made here is removed at the end after a dry run, or if no checkpoint was saved.

    Raises:
        UsageError: it holds another run already.
        OSError: it cannot be made or written, or another run is at work in it.
    """
    path, made = make_folder(config)
    folder = RunFolder(path)

    def remove_unless_kept():
        if made and (config.dry_run or not folder.model.exists()):
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):  # another run may be in its parent
                for parent in made[1:]:
                    parent.rmdir()

    try:
        with filelock.FileLock(path / ".lock", timeout=0), signals.cleaned_up(remove_unless_kept):
            resumed = config.resume and Path(config.resume).resolve() == folder.model.resolve()
            if folder.model.exists() and not resumed:
                raise UsageError(f"{folder} holds a run; go on with --resume {folder}")
            yield folder
    except filelock.Timeout:
        raise BlockingIOError(errno.EAGAIN, "in use by another run", str(folder)) from None


def make_folder(config):
    """Return the path of a run's folder, and those made for it: itself, its parent, and so on."""
    if config.dry_run:
        path = Path(tempfile.mkdtemp())
        return path, [path]
    beside = Path(config.resume).parent if config.resume else None
    date = f"runs/{time.strftime('%Y-%m-%d-%H%M%S')}"
    path, number = Path(config.out or beside or date), 1
    while not config.out and not beside and path.exists():  # begun in the same second
        path, number = Path(f"{date}-{number + 1}"), number + 1
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return path, missing


def columns(scores):
    """Return the columns of a history.csv with these scores of an epoch."""
    return ("epoch", *scores, "seconds", "images_per_second")


def read_history(path, scores):
    """Return the rows of history.csv as `write_history` took them; none if there is no file.

    CheckpointError if it is no such file.
    """
    if not path.exists():
        return []
    kinds = dict.fromkeys(columns(scores), float) | {"epoch": int, "images_per_second": int}
    try:
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != list(kinds):
                raise ValueError("another header")
            return [{n: kinds[n](row[n]) if row[n] != "" else None for n in kinds} for row in rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        way_out = "without it, the run goes on with a new history"
        raise CheckpointError(f"{path} is damaged; {way_out}") from error
