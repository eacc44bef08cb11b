"""scikit-learn's MLPClassifier: a call of `partial_fit` is an epoch."""

import numpy as np
from sklearn.neural_network import MLPClassifier

from scratchnet import data


def prepare(images, labels, parameters, *, batch_size, lr):
    x = data.to_unit_interval(images)
    model = MLPClassifier(
        hidden_layer_sizes=[len(b) for b in parameters[1:-1:2]],
        solver="sgd",
        batch_size=batch_size,
        learning_rate_init=lr,
        momentum=0,
        alpha=0,  # no weight decay
        shuffle=False,
    )
    # Only a first call creates the weights; then they are overwritten.
    model.partial_fit(x[:batch_size], labels[:batch_size], classes=np.arange(10))
    for mine, given in zip(
        model.coefs_ + model.intercepts_, parameters[::2] + parameters[1::2], strict=True
    ):
        mine[:] = given

    def train_epoch(order):
        model.partial_fit(x[order], labels[order])
        return [p for pair in zip(model.coefs_, model.intercepts_, strict=True) for p in pair]

    return train_epoch
