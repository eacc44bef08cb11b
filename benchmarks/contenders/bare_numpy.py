"""The same network, written out in bare NumPy: no classes, no checks, one function an epoch.

It is the yardstick for what the readable version costs, and it ends at the very same bits.
"""

import numpy as np

from scratchnet import data


def prepare(images, labels, parameters, *, batch_size, lr):
    x = data.to_unit_interval(images)
    parameters = [p.copy() for p in parameters]

    def epoch(order):
        cuts = (order[i : i + batch_size] for i in range(0, len(order), batch_size))
        train_epoch(parameters, ((x[chosen], labels[chosen]) for chosen in cuts), lr)
        return parameters

    return epoch


def train_epoch(parameters, batches, lr):
    """Train [W1, b1, W2, b2, W3, b3] in place on (x (B, 784), labels (B,)) pairs."""
    W1, b1, W2, b2, W3, b3 = parameters
    for x, labels in batches:
        z1 = x @ W1 + b1
        a1 = np.maximum(z1, 0)
        z2 = a1 @ W2 + b2
        a2 = np.maximum(z2, 0)
        logits = a2 @ W3 + b3

        n = len(labels)
        shifted = logits - logits.max(axis=1, keepdims=True)
        exp = np.exp(shifted)
        total = exp.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - shifted[np.arange(n), labels]).mean()
        dlogits = exp / total
        dlogits[np.arange(n), labels] -= 1
        dlogits /= n

        dW3, db3 = a2.T @ dlogits, dlogits.sum(axis=0)
        dz2 = dlogits @ W3.T
        dz2[z2 <= 0] = 0
        dW2, db2 = a1.T @ dz2, dz2.sum(axis=0)
        dz1 = dz2 @ W2.T
        dz1[z1 <= 0] = 0
        dW1, db1 = x.T @ dz1, dz1.sum(axis=0)

        for p, g in zip(parameters, (dW1, db1, dW2, db2, dW3, db3), strict=True):
            p -= lr * g
    return loss
