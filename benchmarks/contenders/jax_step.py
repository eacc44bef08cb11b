"""JAX with one jitted step: the loss is written down, its gradient derived, the update compiled."""

import jax
import jax.numpy as jnp
import numpy as np

from scratchnet import data


def mean_loss(parameters, x, labels):
    *hidden, (W, b) = parameters
    for W_hidden, b_hidden in hidden:
        x = jax.nn.relu(x @ W_hidden + b_hidden)
    logp = jax.nn.log_softmax(x @ W + b)
    return -jnp.take_along_axis(logp, labels[:, None], axis=1).mean()


def prepare(images, labels, parameters, *, batch_size, lr):
    x, labels = data.to_unit_interval(images), labels.astype(np.int32)
    arrays = [jnp.array(p) for p in parameters]
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))

    @jax.jit
    def step(layers, x, labels):
        loss, gradients = jax.value_and_grad(mean_loss)(layers, x, labels)
        return jax.tree.map(lambda p, g: p - lr * g, layers, gradients), loss

    def train_epoch(order):
        nonlocal layers
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            layers, _ = step(layers, x[chosen], labels[chosen])
        return [np.asarray(p) for layer in layers for p in layer]

    return train_epoch
