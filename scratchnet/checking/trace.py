"""The trace of a training step: every tensor that it computes, by name.

    x ─> z1 ─> a1 ─> z2 ─> a2 ─> logits ─> loss
         dz1 <─ da1 <─ dz2 <─ da2 <─ dlogits <─'      and dW1, db1, ... beside them
    then the parameters W1, b1, ... after the update, and the state of the optimiser: vW1, ...

What max pooling number 1 makes of a1 is p1, and flattened it is f1.

The network is watched from outside, through its methods `forward` and `backward`, while it does
what it always does.
"""

import re
from contextlib import contextmanager

import numpy as np

from scratchnet.checking.layer_bounds import layer_names


def state(network, optimiser):
    """Return copies of the parameters {"W1": array, ...} and of the optimiser's state."""
    arrays = _copies(network.parameters())
    for letter, kept in optimiser.state().items():
        # t, the number of steps, is one array for all parameters
        arrays |= {letter: kept.copy()} if isinstance(kept, np.ndarray) else _copies(kept, letter)
    return arrays


def trace_scratchnet(network, optimiser, loss_function, x, labels):
    """Take one training step with scratchnet; return {name: array}, all of them copies."""

    def learn():
        loss, dlogits = loss_function(network.forward(x), labels)
        network.backward(dlogits)
        optimiser.step()
        return loss

    return watch(network, optimiser, learn) | {"labels": labels.copy()}


def watch(network, optimiser, learn):
    """Watch a step that somebody else takes; return {name: array}, all of them copies.

    Args:
        learn: a function of no arguments that lets the network and the optimiser take one training
            step, and returns the loss.
    """
    with watched(network, optimiser) as trace:
        loss = learn()
    return trace | {"loss": np.array(loss)}


@contextmanager
def watched(network, optimiser):
    """Watch the step that is taken meanwhile; after it, the trace that is given holds all but the
    loss."""
    trace = {}
    names = layer_names(network.layers)
    network.forward = _recording(network.forward, trace, given="x")
    network.backward = _recording(network.backward, trace, given="dlogits")
    for name, layer in zip(names, network.layers, strict=True):
        layer.forward = _recording(layer.forward, trace, returned=name)
    # What layer k returns going back is the gradient of what layer k-1 returned going forward.
    for name, layer in zip(names, network.layers[1:], strict=False):
        layer.backward = _recording(layer.backward, trace, returned=f"d{name}")
    try:
        yield trace
    finally:
        for each in (network, *network.layers):
            vars(each).pop("forward")  # uncovers the method of the class
            vars(each).pop("backward", None)
    trace |= _copies(network.gradients()) | state(network, optimiser)


def _recording(method, trace, *, given=None, returned=None):
    def recorded(array, **options):
        if given:
            trace[given] = array.copy()
        result = method(array, **options)
        if returned:
            trace[returned] = result.copy()
        return result

    return recorded


def short(pairs, prefix=""):
    """Turn [("linear1.dW", array), ...] into {"dW1": array, ...}."""
    parts = ((re.fullmatch(r"[a-z]+(\d+)\.(\w+)", name).groups(), array) for name, array in pairs)
    return {f"{prefix}{kind}{number}": array for (number, kind), array in parts}


def _copies(pairs, prefix=""):
    return {name: array.copy() for name, array in short(pairs, prefix).items()}
