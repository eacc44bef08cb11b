"""The state of a training: what changes from batch to batch, and how it is saved and resumed.

    arrays, epoch, epoch_progress ──Run.save──> model.safetensors ──load_state, resume──> the same

A run that was stopped and resumed ends with the same bits as one that never was.
"""

import contextlib
import shlex
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scratchnet import data
from scratchnet.cli.options import choice, whole_number
from scratchnet.errors import (
    CheckpointError,
    NumericError,
    Stopped,
    StoppedBetweenBatches,
    UsageError,
)
from scratchnet.training import checkpoint
from scratchnet.training.config import checked, from_record, to_record
from scratchnet.training.progress import Progress, counted
from scratchnet.training.run_folder import columns, read_history


class Run:
    """The state of a training.

    A kind of run says by these constants what it is made of, by its property `arrays` what it
    learns, {name in the checkpoint: array}, and by `end_epoch(progress)` how an epoch is scored.

    Attributes:
        epoch: the one under way, counted from 1; one past the last when all are done.
        epoch_progress: how far that epoch is: what its `Progress` counts, by name.
        history: a dict for each finished epoch, a row of history.csv.
    """

    CONFIG = None  # the dataclass of its options
    NETWORK = ""  # what is trained
    COMMAND = ""  # what `python -m` starts
    SCORES = ()  # of an epoch
    PROGRESS = Progress
    RATES = "--lr"  # what is too high where the numbers explode

    def __init__(self, folder, config, dataset, n_images):
        """Args: the `RunFolder`; the options; the data; and how many images it trains on."""
        self.folder = folder
        self.config = config
        self.dataset = dataset
        self.n_images = n_images
        self.epoch = 1
        self.epoch_progress = counted(self.PROGRESS)  # its defaults
        self.history = []

    def resume(self, tensors, state):
        """Continue from what the checkpoint holds, and the history that lies beside it.

        Raises:
            CheckpointError: of another network, or beside a damaged history.
            UsageError: it has done more epochs than are asked for.
        """
        path = Path(self.config.resume)
        checkpoint.restore(self.arrays, tensors, path)
        done, asked = state["epoch"] - 1, self.config.epochs
        if done > asked:
            raise UsageError(f"--epochs {asked}: {path} has done {done} epochs already")
        more = "" if done < asked else "; more with --epochs N"
        print(f"resume  {path}: {done} of {asked} epochs done{more}")
        self.epoch, self.epoch_progress = state["epoch"], state["under_way"]
        history = read_history(path.with_name("history.csv"), self.SCORES)
        self.history = [row for row in history if row["epoch"] < self.epoch]
        if not self.folder.model.exists():  # a folder of its own is a run from the beginning
            self.folder.write_history(self.history, self.SCORES)
            self.save()

    def begin_epoch(self, stop):
        """Return the `Progress` of the epoch under way, from where it stands."""
        config, title = self.config, f"Epoch [{self.epoch}/{self.config.epochs}]"
        size = self.n_images, config.batch_size
        return self.PROGRESS(title, *size, config.log_interval, stop, **self.epoch_progress)

    @contextlib.contextmanager
    def saved_where_stopped(self, progress):
        """Within `with`, a stop between two batches saves the epoch where `progress` stands.

        NumericError, and nothing saved, if the weights are not finite.
        """
        try:
            yield
        except StoppedBetweenBatches:
            self.check_finite()
            self.epoch_progress = counted(progress)
            self.save()
            raise

    def close_epoch(self, progress, scores, text):
        """Print and save a finished epoch; NumericError as above.

        Args: the values of SCORES, None for what was not measured; and the same as a text.
        """
        seconds, speed = round(progress.seconds, 3), round(progress.n_images / progress.seconds)
        tqdm.write(f"{progress.title}: {text}, {seconds:.1f} s, {speed:,} images/s")
        self.check_finite()
        # Before the checkpoint: killed in between, the epoch is run again, and no row is missing.
        row = (self.epoch, *scores, seconds, speed)
        self.history.append(dict(zip(columns(self.SCORES), row, strict=True)))
        self.folder.write_history(self.history, self.SCORES)
        self.epoch += 1
        self.epoch_progress = counted(self.PROGRESS)  # its defaults
        self.save()

    def save(self):
        """Write the checkpoint."""
        trained_on = {"name": self.dataset.name, "sha256": self.dataset.sha256}
        state = {"config": to_record(self.config) | {"data": trained_on}}
        state |= {"epoch": self.epoch, "under_way": self.epoch_progress}
        checkpoint.save(self.folder.model, self.arrays, state)

    def check_finite(self):
        """Raise NumericError if an array of what is learned is no longer finite."""
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                raise NumericError(f"{name} is no longer finite in epoch {self.epoch}")

    @contextlib.contextmanager
    def ends_explained(self):
        """Within `with`, a stop or a numeric error says what of the run is left, and what to do."""
        model = self.folder.model
        try:
            yield
        except Stopped as stopped:
            if not model.exists():
                raise
            command = ["python", "-m", self.COMMAND, "--resume", str(self.folder)]
            if self.config.data_dir:
                command += ["--data-dir", self.config.data_dir]
            done = f"stopped by {signal.Signals(stopped.signum).name}"
            if isinstance(stopped, StoppedBetweenBatches):  # all of them are saved
                batches = self.epoch_progress["batch"]
                done += f" with {self.epoch - 1} epochs and {batches} batches done"
            raise Stopped(stopped.signum, f"{done}; go on with {shlex.join(command)}") from None
        except NumericError as error:
            left = f"{model} holds the last good epoch" if model.exists() else "no epoch was saved"
            raise NumericError(f"{error}; try a lower {self.RATES}; {left}") from None


def load_data(config, resumed):
    """Return the `Dataset` that the options name.

    Args: the options; and the (tensors, state) of the run that is resumed, or None.

    Raises:
        DataError, OSError: as `scratchnet.data.load`.
        CheckpointError: the run that is resumed was trained on other data.
    """
    dataset = data.load(config.dataset, config.data_dir)
    if resumed:
        _, state = resumed
        check_data(config.resume, state["data"], dataset)
    return dataset


def load_state(path, kind):
    """Return the (tensors, state) of a checkpoint that a `kind` of `Run` saved.

    Returns:
        tensors: {name: array}.
        state: `config`, its recorded options, checked as on the command line; `data`, the name and
            the SHA-256 of what it was trained on; `epoch` and `under_way`, how far that one is.

    Raises:
        CheckpointError: as `checkpoint.load`; or it is no such run's.
    """
    tensors, state = checkpoint.load(path)
    counted = kind.PROGRESS.COUNTED
    try:
        config, progress = state["config"], state["under_way"]
        trained_on = {name: config["data"][name] for name in ("name", "sha256")}
        checked("data", choice("mnist", "sample", "custom"), trained_on["name"])
        state = {
            "config": from_record(kind.CONFIG, config),
            "data": trained_on,
            "epoch": checked("epoch", whole_number(1), state["epoch"]),
            "under_way": {n: checked(n, check, progress[n]) for n, check in counted.items()},
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{path} is no checkpoint of a {kind.NETWORK}: {reason}") from error
    return tensors, state


def check_widths(path, tensors, sizes, name, first=1):
    """Raise CheckpointError unless the dense layers of a checkpoint have the sizes it records.

    So no memory is ever taken for a network larger than its file.

    Args:
        sizes: inputs, hidden widths in order, outputs.
        name: of the weights, with {} for the number of the layer, the first of which is `first`.
    """
    for i, shape in enumerate(pairwise(sizes), start=first):
        found = getattr(tensors.get(name.format(i)), "shape", "missing")
        if found != shape:
            raise CheckpointError(
                f"{path} is of another network: {name.format(i)} is {found}, {shape} by its widths"
            )


def check_data(path, trained_on, dataset):
    """Raise CheckpointError if the data of a checkpoint, its name and SHA-256, are not these."""
    if trained_on["sha256"] != dataset.sha256:
        raise CheckpointError(
            f"{path} was trained on other data ({trained_on['name']}) than those from "
            f"{dataset.origin}; name those with --dataset or --data-dir"
        )
