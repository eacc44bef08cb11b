"""JAX with a whole jitted epoch: `lax.scan` runs the steps, and Python is out of the loop."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders.jax_step import mean_loss
from scratchnet import data


def prepare(images, labels, parameters, *, batch_size, lr):
    x, labels = jnp.array(data.to_unit_interval(images)), jnp.array(labels, jnp.int32)
    arrays = [jnp.array(p) for p in parameters]
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))

    @jax.jit
    def steps(layers, x, labels, batches):
        def step(layers, chosen):
            loss, gradients = jax.value_and_grad(mean_loss)(layers, x[chosen], labels[chosen])
            return jax.tree.map(lambda p, g: p - lr * g, layers, gradients), loss

        return jax.lax.scan(step, layers, batches)

    def train_epoch(order):
        nonlocal layers
        order = order.astype(np.int32)
        whole = len(order) // batch_size * batch_size  # scan wants batches of one size
        layers, _ = steps(layers, x, labels, order[:whole].reshape(-1, batch_size))
        if whole < len(order):
            layers, _ = steps(layers, x, labels, order[None, whole:])
        return [np.asarray(p) for layer in layers for p in layer]

    return train_epoch
