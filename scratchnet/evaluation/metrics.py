"""Loss, accuracy and confusion matrix of a trained network, on images it has not learned from.

In the comments: N images, C classes.
"""

import math

import numpy as np

from scratchnet.errors import NumericError
from scratchnet.nn.losses import softmax, softmax_cross_entropy


def evaluate(network, x, labels):
    """Return the mean loss, the accuracy and the probabilities (N, 10) for x (N, 784).

    Raises:
        NumericError: the loss is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the error below says it
        chunks = [network.forward(x[i : i + 1000]) for i in range(0, len(x), 1000)]
        logits = np.concatenate(chunks)  # (N,10)
        loss, _ = softmax_cross_entropy(logits, labels)
    if not math.isfinite(loss):
        raise NumericError(f"the loss on {len(x):,} images not trained on is {loss}")
    p = softmax(logits)  # (N,10)
    return float(loss), accuracy(p.argmax(axis=1), labels), p


def accuracy(predicted, labels):
    """Return the share of predictions that are right, in [0, 1].

    Args: two arrays of classes, integers (N,); ValueError for other shapes or no image.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"predictions {predicted.shape}, labels {labels.shape} must be one (N,)")
    return float((predicted == labels).mean())


def confusion_matrix(predicted, labels, n_classes=10):
    """Return the counts (C, C) of each pair of classes: rows true, columns predicted.

    Args: two arrays of classes, integers (N,) in [0, C); ValueError for anything else.
    """
    if predicted.shape != labels.shape or labels.ndim != 1:
        raise ValueError(f"predictions {predicted.shape}, labels {labels.shape} must be one (N,)")
    for classes in (predicted, labels):
        if len(classes) and (classes.min() < 0 or classes.max() >= n_classes):
            found = f"{classes.min()} to {classes.max()}"
            raise ValueError(f"classes run from 0 to {n_classes - 1}, not {found}")
    counts = np.zeros((n_classes, n_classes), np.int64)  # (C,C)
    np.add.at(counts, (labels, predicted), 1)  # one more at (true, predicted) for each image
    return counts
