"""One trial of a hyper-parameter search: what is suggested, and how it is trained and pruned.

Optuna ──suggest──> options ──train_and_validate, an epoch at a time──> validation accuracy
"""

import hashlib
import json

import numpy as np

from scratchnet import data
from scratchnet.errors import NumericError
from scratchnet.evaluation.metrics import evaluate
from scratchnet.nn.network import MLP
from scratchnet.nn.optim import SGD
from scratchnet.training.config import MODELS, TrainConfig
from scratchnet.training.epoch import learning_rate


def suggest(trial):
    """Return the options that Optuna suggests for a trial, rounded to what a reader can copy."""

    def real(name, low, high, **kwargs):
        return float(f"{trial.suggest_float(name, low, high, **kwargs):.3g}")

    depth = trial.suggest_int("depth", 1, 3)
    options = {
        "lr": real("lr", 0.01, 0.3, log=True),
        "lr_decay": real("lr_decay", 0.7, 1),
        "momentum": real("momentum", 0, 0.95),
        "weight_decay": real("weight_decay", 1e-6, 1e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
    }
    # Later layers are narrower: of 512 wide ones, each would cost as much as the first.
    widest = (512, 256, 256)[:depth]
    width = [trial.suggest_int(f"width{i}", 64, n, step=64) for i, n in enumerate(widest, start=1)]
    return options | {"hidden": width}


def train_and_validate(trial, search, train, validation):
    """Train a network for one trial of a `TuneConfig`; return its final validation accuracy.

    Raises:
        optuna.TrialPruned: it does worse than others did, or its loss is no longer finite.
    """
    from optuna import TrialPruned

    from scratchnet.kernels.fused import FusedEngine

    config = TrainConfig(epochs=search.epochs, seed=search.seed, **suggest(trial))
    network = MODELS[config.model](config.hidden, rng=np.random.default_rng(config.seed))
    sgd = SGD(network, config.lr, config.momentum, config.weight_decay)
    engine = FusedEngine(network, sgd, train.images, train.labels, config.batch_size)
    x_val = data.to_unit_interval(validation.images)  # (V,784)
    for epoch in range(1, config.epochs + 1):
        sgd.lr = learning_rate(config, epoch)
        order = data.shuffled(len(train.labels), seed=config.seed, epoch=epoch)  # (N,)
        for chunk in engine.chunks(order):
            engine.train(chunk)
        try:
            _, score, _ = evaluate(network, x_val, validation.labels)
        except NumericError as error:
            raise TrialPruned from error
        trial.report(score, epoch)
        if epoch < config.epochs and trial.should_prune():
            raise TrialPruned
    return score


def compile_engine(train):
    """Have the engine compiled before the first trial, whose pace the other workers watch."""
    from scratchnet.kernels.fused import FusedEngine

    network = MLP((784, 10), rng=np.random.default_rng(0))
    FusedEngine(network, SGD(network, 0.1), train.images[:1], train.labels[:1], 1)


def study_name(dataset, config):
    """Name the study after all that must be alike if two trials are to be compared."""
    sums = hashlib.sha256(json.dumps(dataset.sha256, sort_keys=True).encode()).hexdigest()
    return f"{dataset.name}-{sums[:8]}-{config.val_size}-{config.epochs}-{config.seed}"
