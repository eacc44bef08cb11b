"""How wrong a yes or no is: the loss of a network that tells two things apart.

    logits --sigmoid--> p --(-t log p - (1-t) log(1-p), mean)--> L
    dlogits = (p - t) / N

It is `scratchnet.loss` for two classes, one of which has the logit 0: again what was predicted
minus what is true.
"""

import numpy as np

from scratchnet.activations import sigmoid


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
