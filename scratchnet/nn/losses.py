"""Loss functions: softmax cross-entropy and binary cross-entropy, with their gradients.

    softmax cross-entropy     logits --softmax--> p --(-log p[label], mean over the batch)--> L
                              dlogits = (p - onehot(label)) / B
    binary cross-entropy      logits --sigmoid--> p --(-t log p - (1-t) log(1-p), mean)--> L
                              dlogits = (p - t) / N

A loss says in one number how wrong the network is. Its gradient is the whole lesson of
classification in one line: what was predicted minus what is true. The loss and the softmax, or
sigmoid, stand in one function since their derivatives cancel to just that.

In the comments: B images in a batch, C classes.
"""

import numpy as np

from scratchnet.nn.activations import sigmoid


def softmax(logits):
    """Return softmax(logits): probabilities p (B, C) for the scores (B, C); each row sums to 1."""
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))  # (B,C)
    return exp / exp.sum(axis=1, keepdims=True)  # (B,C) / (B,1) -> (B,C)


def softmax_cross_entropy(logits, labels):
    """Return the mean cross-entropy of softmax(logits) with the labels, and its gradient.

    With the maximum m of each row (Goodfellow et al., *Deep Learning*, 2016, section 6.2.2.3):

        -log p[label] = log Σ exp(logits - m) - (logits[label] - m)

    Subtracting m changes nothing in exact arithmetic and keeps exp from overflowing; taking the
    logarithm of the sum, not of p, keeps log from ever seeing a probability rounded to 0.

    Args:
        logits: scores (B, C), floating point, B at least 1.
        labels: the true classes (B,), integers in [0, C).

    Returns:
        loss: a scalar of the logits' dtype, in nats.
        dlogits: dL/dlogits, of the shape and dtype of logits.

    Raises:
        ValueError: shapes that do not fit, labels that are no integers or no classes.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)  # lists or tensors, too
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or len(labels) == 0:
        raise ValueError(
            f"logits (B, C) and labels (B,) with B of at least 1 are needed, "
            f"not {logits.shape} and {labels.shape}"
        )
    n_images, n_classes = logits.shape
    check_labels(labels, n_classes)

    shifted = logits - logits.max(axis=1, keepdims=True)  # (B,C) - (B,1) -> (B,C)
    exp = np.exp(shifted)  # (B,C)
    total = exp.sum(axis=1, keepdims=True)  # (B,1)

    images = np.arange(n_images)  # (B,)
    loss = (np.log(total[:, 0]) - shifted[images, labels]).mean()  # (B,) -> ()

    dlogits = exp / total  # p: (B,C) / (B,1) -> (B,C)
    dlogits[images, labels] -= 1  # p - onehot: (B,C)
    dlogits /= n_images  # the loss is a mean, so its gradient is one too
    return loss, dlogits


def check_labels(labels, n_classes):
    """Raise ValueError unless the labels (B,), at least one, are integers in [0, n_classes)."""
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"labels must be integers from 0 to {n_classes - 1}, "
            f"not {labels.dtype} from {labels.min()} to {labels.max()}"
        )


def binary_cross_entropy(logits, targets):
    """Return the mean binary cross-entropy of sigmoid(logits) with the targets, and its gradient.

    With p = sigmoid(x), a target t costs (Goodfellow et al., *Deep Learning*, 2016,
    section 6.2.2.2)

        -t log p - (1 - t) log(1 - p) = max(x, 0) - t x + log(1 + exp(-|x|))

    where nothing overflows, and no logarithm sees a probability rounded to 0.

    Args:
        logits: scores of any shape, floating point, at least one.
        targets: the probabilities that are right, in [0, 1], of the shape and dtype of logits.

    Returns:
        loss: a scalar of the logits' dtype, in nats.
        dlogits: dL/dlogits, of the shape and dtype of logits.

    Raises:
        ValueError: shapes or dtypes that differ, no logits, targets that are no probabilities.
    """
    if logits.shape != targets.shape or logits.dtype != targets.dtype or logits.size == 0:
        raise ValueError(
            f"logits and targets must have one shape and dtype and not be empty, "
            f"not {logits.shape} {logits.dtype} and {targets.shape} {targets.dtype}"
        )
    if not (targets.min() >= 0 and targets.max() <= 1):
        raise ValueError(f"targets must lie in [0, 1], not {targets.min()} to {targets.max()}")
    # as logits: the formula above, and its derivative
    costs = np.maximum(logits, 0) - targets * logits + np.log1p(np.exp(-np.abs(logits)))
    dlogits = (sigmoid(logits) - targets) / logits.size
    return costs.mean(), dlogits
