"""A digit classifier in training: its arrays, its scores, its figures, and how it is loaded again.

model.safetensors ──load_classifier──> tensors, state ──ClassifierRun.resume──> a run
                  ──load_network──> a trained network
"""

import dataclasses
import re

import numpy as np

from scratchnet import data
from scratchnet.data import to_unit_interval
from scratchnet.errors import UsageError
from scratchnet.evaluation.metrics import evaluate
from scratchnet.training import checkpoint
from scratchnet.training.config import MODELS, TrainConfig, default_val_size
from scratchnet.training.run import Run, check_data, check_widths, load_state


class ClassifierRun(Run):
    """A network that learns to classify digits, and its optimiser."""

    CONFIG = TrainConfig
    NETWORK = "digit classifier"
    COMMAND = "scratchnet.train"
    SCORES = ("train_loss", "val_loss", "val_accuracy")

    def __init__(self, folder, config, dataset, train, validation, network, optimiser):
        super().__init__(folder, config, dataset, len(train.labels))
        self.train, self.validation = train, validation
        self.x_val = to_unit_interval(validation.images)  # (V,784)
        self.network = network
        self.optimiser = optimiser

    @property
    def arrays(self):
        velocities = {f"velocity.{name}": v for name, v in self.optimiser.velocities}
        return dict(self.network.parameters()) | velocities

    def end_epoch(self, progress):
        """Print and save a finished epoch, as `close_epoch`, with its scores on the validation."""
        train_loss, val_loss, val_accuracy = progress.loss_sum / progress.n_images, None, None
        text = f"training loss {train_loss:.4f}"
        if len(self.x_val):
            labels = self.validation.labels
            val_loss, val_accuracy, _ = evaluate(self.network, self.x_val, labels)
            text += f", validation loss {val_loss:.4f}, accuracy {val_accuracy:.2%}"
        self.close_epoch(progress, (train_loss, val_loss, val_accuracy), text)

    def write_figures(self, probabilities, counts):
        """Draw all figures, for the test images' probabilities (N, 10) and the counts (10, 10)."""
        from scratchnet.evaluation import plots  # only here: importing matplotlib takes a while

        test, first = self.dataset.test, self.network.parametric_layers[0].W
        figures = {
            "samples": plots.samples(self.train.images, self.train.labels),
            "curves": plots.curves(self.history),
            "confusion": plots.confusion(counts),
            "mistakes": plots.mistakes(test.images, test.labels, probabilities),
        }
        if first.ndim == 4:  # the kernels of a convolution
            maps = self.network.feature_maps(to_unit_interval(test.images[:1]))
            figures["filters"] = plots.filters(first)
            figures["features"] = plots.feature_maps(test.images[0], maps)
        else:
            figures["weights"] = plots.weights(first)
        for name, figure in figures.items():
            plots.save(figure, self.folder.figures() / f"{name}.png")


def hold_out_validation(dataset, config):
    """Return (config, training, validation), with a `val_size` of None settled in the config.

    UsageError if no image is left to train on.
    """
    if config.val_size is None:
        config = dataclasses.replace(config, val_size=default_val_size(dataset))
    try:
        return config, *data.hold_out(dataset.train, config.val_size, config.seed)
    except ValueError as error:
        raise UsageError(f"--val-size: {error}") from error


def load_classifier(path):
    """Return the (tensors, state) of a checkpoint that a `ClassifierRun` saved.

    CheckpointError as `load_state` and `check_widths`.
    """
    tensors, state = load_state(path, ClassifierRun)
    first = 1 + sum(bool(re.fullmatch(r"conv\d+\.W", name)) for name in tensors)  # dense layer
    n_in = tensors.get(f"linear{first}.W", np.empty(0)).shape[:1]  # whatever the pixels become
    check_widths(path, tensors, (*n_in, *state["config"]["hidden"], 10), "linear{}.W", first)
    return tensors, state


def load_network(name, dataset=None):
    """Return the trained network of a run: of its folder, or of its checkpoint.

    Raises:
        CheckpointError: there is none; or it was trained on other data than `dataset`, if one is
            given: the test images may be among those.
    """
    path = checkpoint.path_of(name)
    tensors, state = load_classifier(path)
    config = state["config"]
    if dataset:
        check_data(path, state["data"], dataset)
    # every weight drawn here is replaced
    network = MODELS[config["model"]](config["hidden"], rng=np.random.default_rng(0))
    weights = {name: array for name, array in tensors.items() if not name.startswith("velocity.")}
    checkpoint.restore(dict(network.parameters()), weights, path)
    return network
