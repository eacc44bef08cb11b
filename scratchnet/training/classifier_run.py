"""A digit recogniser in training: what decides its weights, and what of it is trusted when read.

model.safetensors ──load_recogniser──> tensors, state ──RecogniserRun.resume──> goes on
"""

import re
from pathlib import Path

import numpy as np

from scratchnet import data
from scratchnet.data import to_unit_interval
from scratchnet.errors import CheckpointError, UsageError
from scratchnet.training import checkpoint
from scratchnet.training.config import MODELS
from scratchnet.training.run import Run, check_data, is_state

# Checkpoints from before there were these options mean:
BEFORE_THEM = {"model": "mlp", "lr_decay": 1.0, "augment": False}


class RecogniserRun(Run):
    """A network that learns to read digits, and its optimiser."""

    COMMAND = "scratchnet.train"
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
    INHERITED = ("epochs", "engine", "matmul", "threads")
    HISTORY = ("epoch", "train_loss", "val_loss", "val_accuracy", "seconds", "images_per_second")

    def __init__(self, folder, network, optimiser, options, dataset):
        super().__init__(folder, options, dataset)
        self.network = network
        self.optimiser = optimiser

    @property
    def arrays(self):
        velocities = {f"velocity.{name}": v for name, v in self.optimiser.velocities}
        return dict(self.network.parameters()) | velocities

    def end_epoch(self, progress, val_loss, val_accuracy):
        """Print and save a finished epoch, as `close_epoch`; None for what was not measured."""
        train_loss = progress.loss_sum / progress.n_images
        text = f"training loss {train_loss:.4f}"
        if val_loss is not None:
            text += f", validation loss {val_loss:.4f}, accuracy {val_accuracy:.2%}"
        scores = {"train_loss": train_loss, "val_loss": val_loss, "val_accuracy": val_accuracy}
        self.close_epoch(progress, scores, text)

    def write_figures(self, train, probabilities, counts):
        """Draw all figures, for the test images' probabilities (N, 10) and the counts (10, 10)."""
        from scratchnet.evaluation import (
            plots,  # matplotlib takes longer to import than an epoch's tenth
        )

        test = self.dataset.test
        (self.folder / "figures").mkdir(exist_ok=True)
        first = self.network.parametric_layers[0].W
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
            "filters": plots.filters(self.network.parametric_layers[0].W),
            "features": plots.feature_maps(image, maps),
        }


def split(dataset, options):
    """Return (training, validation); a `val_size` of None is settled here.

    MNIST can spare one image in twelve, 5,000 in all; the sample, with its 4,000, only 100.
    """
    if options.val_size is None:
        options.val_size = 100 if dataset.name == "sample" else len(dataset.train.labels) // 12
    try:
        train, validation = data.hold_out(dataset.train, options.val_size, options.seed)
    except ValueError as error:
        raise UsageError(f"--val-size: {error}") from error
    if options.dry_run:
        options.epochs = 1
        train = data.Split(train.images[: options.batch_size], train.labels[: options.batch_size])
    return train, validation


def load_recogniser(path):
    """Return the (tensors, state) of a checkpoint that a `RecogniserRun` saved.

    Raises:
        CheckpointError: as `checkpoint.load`; it is no run's; or its weights are not those of the
            network it names, for which no memory is taken then.
    """
    tensors, state = checkpoint.load(path)
    if not _is_recogniser(state):
        raise CheckpointError(f"{path} is no checkpoint of a digit recogniser")
    state["config"] = config = BEFORE_THEM | state["config"]
    convolutions = sum(bool(re.fullmatch(r"conv\d+\.W", name)) for name in tensors)
    n_in = None  # of the first dense layer: what those before it make of the pixels
    for i, n_out in enumerate((*config["hidden"], 10), start=convolutions + 1):
        if (name := f"linear{i}.W") not in tensors:
            raise CheckpointError(f"{path} is of another network: {name} is missing")
        shape = tensors[name].shape
        wanted = (*shape[:1], n_out) if n_in is None else (n_in, n_out)
        if shape != wanted:
            raise CheckpointError(
                f"{path} is of another network: {name} is {shape}, {wanted} by its widths"
            )
        n_in = n_out
    return tensors, state


def load_network(name, dataset=None):
    """Return the trained network of a run: of its folder, or of its checkpoint.

    Raises:
        CheckpointError: there is none; or it was trained on other data than `dataset`, if one is
            given: the test images may be among those.
    """
    path = Path(name) / "model.safetensors" if Path(name).is_dir() else Path(name)
    tensors, state = load_recogniser(path)
    config = state["config"]
    if dataset:
        check_data(path, config, dataset)
    # every weight drawn here is replaced
    network = MODELS[config["model"]](config["hidden"], rng=np.random.default_rng(0))
    weights = {name: array for name, array in tensors.items() if not name.startswith("velocity.")}
    checkpoint.restore(dict(network.parameters()), weights, path)
    return network


def _is_recogniser(state):
    """Whether the state of a checkpoint is what is saved here, as far as it is relied upon."""
    if not isinstance(state.get("config"), dict):
        return False
    state = state | {"config": BEFORE_THEM | state["config"]}
    hidden = state["config"].get("hidden")
    return (
        is_state(state, RecogniserRun)
        and state["config"]["model"] in list(MODELS)
        and isinstance(hidden, list)
        and all(type(width) is int and width > 0 for width in hidden)
    )
