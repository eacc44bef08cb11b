"""What a run leaves behind: a folder that says what was done, how it went and what came of it.

    config.json   history.csv   metrics.json   model.safetensors   figures/*.png

Each file is replaced as a whole, so a run that is stopped at any moment leaves readable files.
"""

import contextlib
import csv
import errno
import io
import json
import platform
import re
import shlex
import signal
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import filelock
import numpy as np
from tqdm import tqdm

from scratchnet import __version__, checkpoint, cli
from scratchnet.data import to_unit_interval
from scratchnet.models import MODELS

# These options decide the weights, bit for bit: a resumed run takes them from its checkpoint.
DECISIVE = (
    "model",
    "batch_size",
    "lr",
    "lr_decay",
    "momentum",
    "weight_decay",
    "hidden",
    "seed",
    "val_size",
    "augment",
)
# Checkpoints from before there were these options mean:
BEFORE_THEM = {"model": "mlp", "lr_decay": 1.0, "augment": False}
# These a resumed run takes over too, but may be told otherwise.
INHERITED = ("epochs", "engine", "matmul", "threads")
HISTORY = ("epoch", "train_loss", "val_loss", "val_accuracy", "seconds", "images_per_second")
LIBRARIES = ("numpy", "numba", "matplotlib", "mlxtend", "pooch", "safetensors")


@contextlib.contextmanager
def run_folder(options):
    """Make the folder of the run, its own while it lasts.

    Raises:
        cli.UsageError: it holds another run already.
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
                raise cli.UsageError(f"{folder} holds a run; go on with --resume {model}")
            yield folder
    except filelock.Timeout:
        raise BlockingIOError(errno.EAGAIN, "in use by another run", str(folder)) from None


def load_run(path):
    """Return the (tensors, state) of a checkpoint that a `Run` saved.

    Raises:
        CheckpointError: as `checkpoint.load`; it is no run's; or its weights are not those of the
            network it names, for which no memory is taken then.
    """
    tensors, state = checkpoint.load(path)
    if not _is_run(state):
        raise checkpoint.CheckpointError(f"{path} is no checkpoint of a training run")
    state["config"] = config = BEFORE_THEM | state["config"]
    convolutions = sum(bool(re.fullmatch(r"conv\d+\.W", name)) for name in tensors)
    n_in = None  # of the first dense layer: what those before it make of the pixels
    for i, n_out in enumerate((*config["hidden"], 10), start=convolutions + 1):
        if (name := f"linear{i}.W") not in tensors:
            raise checkpoint.CheckpointError(f"{path} is of another network: {name} is missing")
        shape = tensors[name].shape
        wanted = (*shape[:1], n_out) if n_in is None else (n_in, n_out)
        if shape != wanted:
            raise checkpoint.CheckpointError(
                f"{path} is of another network: {name} is {shape}, {wanted} by its widths"
            )
        n_in = n_out
    return tensors, state


def _is_run(state):
    """Whether the state of a checkpoint is what `Run.save` writes, as far as it is relied upon."""
    config, epoch, under_way = (state.get(name) for name in ("config", "epoch", "under_way"))
    if not isinstance(config, dict) or type(epoch) is not int:
        return False
    config = BEFORE_THEM | config
    hidden, trained_on = config.get("hidden"), config.get("data")
    return (
        config.keys() >= {*DECISIVE, *INHERITED}
        and config["model"] in list(MODELS)
        and isinstance(hidden, list)
        and all(type(width) is int and width > 0 for width in hidden)
        and isinstance(trained_on, dict)
        and trained_on.keys() >= {"name", "sha256"}
        and isinstance(under_way, dict)
        and under_way.keys() == {"batch", "loss_sum", "seconds"}
        and all(type(number) in (int, float) for number in under_way.values())
    )


class Run:
    """A network in training, and the files that remember it.

    Attributes:
        epoch: the one under way, counted from 1; one past the last when all are done.
        under_way: how far that epoch is: batches, sum of losses, seconds.
        history: a dict with the keys HISTORY for each finished epoch.
    """

    def __init__(self, folder, network, optimiser, options, dataset):
        self.folder = folder
        self.model = folder / "model.safetensors"
        self.network = network
        self.optimiser = optimiser
        self.options = options
        self.dataset = dataset
        self.epoch = 1
        self.under_way = {"batch": 0, "loss_sum": 0.0, "seconds": 0.0}
        self.history = []

    @property
    def arrays(self):
        """Every array that training changes, under its name in the checkpoint."""
        velocities = {f"velocity.{name}": v for name, v in self.optimiser.velocities}
        return dict(self.network.parameters()) | velocities

    def resume(self, tensors, state):
        """Take over what `load_run` returned, and the history that lies beside it.

        Raises:
            CheckpointError: of other data or another network, or beside a damaged history.
            cli.UsageError: it has done more epochs than are asked for.
        """
        path, trained_on = Path(self.options.resume), state["config"]["data"]
        if trained_on["sha256"] != self.dataset.sha256:
            raise checkpoint.CheckpointError(
                f"{path} was trained on other data ({trained_on['name']}) than those from "
                f"{self.dataset.origin}; name their folder with --data-dir"
            )
        checkpoint.restore(self.arrays, tensors, path)
        done, asked = state["epoch"] - 1, self.options.epochs
        if done > asked:
            raise cli.UsageError(f"--epochs {asked}: {path} has done {done} epochs already")
        print(f"resume  {path}: {done} of {asked} epochs done")
        self.epoch, self.under_way = state["epoch"], state["under_way"]
        history = read_history(path.with_name("history.csv"))
        self.history = [row for row in history if row["epoch"] < self.epoch]

    def pause(self, progress):
        """Save an epoch that was stopped where `progress` stands; NumericError as below."""
        self._check_finite()
        self.under_way = {name: getattr(progress, name) for name in self.under_way}
        self._save()

    def end_epoch(self, progress, val_loss, val_accuracy):
        """Print and save a finished epoch; NumericError, and nothing saved, for broken weights."""
        row = {
            "epoch": self.epoch,
            "train_loss": progress.loss_sum / progress.n_images,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(progress.n_images / progress.seconds),
        }
        line = f"{progress.title}: training loss {row['train_loss']:.4f}"
        if val_loss is not None:
            line += f", validation loss {val_loss:.4f}, accuracy {val_accuracy:.2%}"
        tqdm.write(f"{line}, {row['seconds']:.1f} s, {row['images_per_second']:,} images/s")
        self._check_finite()
        # Before the checkpoint: killed in between, the epoch is run again, and no row is missing.
        self.history.append(row)
        self._write("history.csv", format_history(self.history))
        self.epoch += 1
        self.under_way = {"batch": 0, "loss_sum": 0.0, "seconds": 0.0}
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

    def write_figures(self, train, probabilities, counts):
        """Draw all figures, for the test images' probabilities (N, 10) and the counts (10, 10)."""
        from scratchnet import plots  # matplotlib takes longer to import than an epoch's tenth

        test = self.dataset.test
        (self.folder / "figures").mkdir(exist_ok=True)
        first = self.network.weighted[0].W
        for name, figure in {
            "samples": plots.samples(train.images, train.labels),
            "curves": plots.curves(self.history),
            "confusion": plots.confusion(counts),
            "mistakes": plots.mistakes(test.images, test.labels, probabilities),
            **(self._cnn_figures(plots) if first.ndim == 4 else {"weights": plots.weights(first)}),
        }.items():
            plots.save(figure, self.folder / "figures" / f"{name}.png")

    def _cnn_figures(self, plots):
        image = self.dataset.test.images[0]  # (28,28)
        maps = self.network.feature_maps(to_unit_interval(image[None]))
        return {
            "filters": plots.filters(self.network.weighted[0].W),
            "features": plots.feature_maps(image, maps),
        }

    def where_it_stopped(self, signum):
        command = ["python", "-m", "scratchnet.train", "--resume", str(self.model)]
        if self.options.data_dir:
            command += ["--data-dir", self.options.data_dir]
        return (
            f"stopped by {signal.Signals(signum).name} with {self.epoch - 1} epochs and "
            f"{self.under_way['batch']} batches done; go on with {shlex.join(command)}"
        )

    def last_good(self):
        return f"{self.model} holds the last good epoch" if self.model.exists() else "nothing saved"

    def _check_finite(self):
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                raise cli.NumericError(f"{name} is no longer finite in epoch {self.epoch}")

    def _save(self):
        config = {name: getattr(self.options, name) for name in DECISIVE + INHERITED}
        config["data"] = {"name": self.dataset.name, "sha256": self.dataset.sha256}
        state = {"config": config, "epoch": self.epoch, "under_way": self.under_way}
        checkpoint.save(self.model, self.arrays, state)

    def _write(self, name, content):
        checkpoint.write_atomically(self.folder / name, content)

    def _write_json(self, name, content):
        self._write(name, (json.dumps(content, indent=2) + "\n").encode())


def format_history(history):
    """Return the bytes of history.csv; what was not measured (None) is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def read_history(path):
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
            if tuple(rows.fieldnames or ()) != HISTORY:
                raise ValueError("another header")
            return [
                {
                    name: None if row[name] == "" else (int if name in whole else float)(row[name])
                    for name in HISTORY
                }
                for row in rows
            ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise checkpoint.CheckpointError(
            f"{path} is damaged; without it, the run goes on with a new history"
        ) from error
