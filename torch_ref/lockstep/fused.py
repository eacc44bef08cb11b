"""The fused epoch in lockstep: one compiled function, seen through the memory that it leaves.

    x ─> a1 ─> a2 ─> logits ─> loss          what it keeps of a batch: the images, the outputs after
    dz1 <─ dz2 <─ dlogits <─'                each ReLU, and the gradients before it, in scratch
    then vW1, W1, ..., in the arrays of the network and of the optimiser

A pre-activation is overwritten by its ReLU, and no dW is ever written: its terms go into the
velocities, or into the weights themselves, one by one. That order of additions has error bounds of
its own, which stand here.

In the comments: B images, I inputs and O outputs of a layer.
"""

from contextlib import contextmanager
from unittest import mock

import numpy as np

from scratchnet.checking.error_bounds import apart, bilinear_bound, gamma, product_bound
from scratchnet.checking.layer_bounds import LOSSES
from scratchnet.checking.trace import state
from torch_ref.lockstep.step import Lockstep


@contextmanager
def batch_by_batch(module):
    """Let the FusedEngine of `scratchnet.kernels.fused` leave its function after every batch.

    Gives the list of the engines that are built meanwhile.
    """
    engines = []

    class Engine(module.FusedEngine):
        def __init__(self, *args):
            super().__init__(*args)
            engines.append(self)

    with mock.patch.multiple(module, AT_ONCE=1, FusedEngine=Engine):
        yield engines


class FusedLockstep(Lockstep):
    """A Lockstep whose steps a FusedEngine takes on the arrays of the network and the optimiser.

    Attributes:
        engine: the FusedEngine.
    """

    @contextmanager
    def watched(self, chosen):
        """Watch the step on the images numbered `chosen`; the trace holds all but the loss."""
        trace, B = {}, len(chosen)
        yield trace
        engine, last = self.engine, len(self.engine.sizes) - 2
        trace |= {"x": engine.unit[0, engine.batch[0][:B]], "labels": engine.labels[chosen]}
        # without momentum the gradients are multiplied by -lr where they lie
        scale = engine.dtype.type(1 if self.optimiser.momentum else -self.optimiser.lr)
        for k in range(last + 1):
            first, n_out = engine.batch_size * engine.sizes[1 : k + 1].sum(), engine.sizes[k + 1]
            there = slice(first, first + B * n_out)
            output, gradient = (
                scratch[there].reshape(B, n_out) for scratch in (engine.outputs, engine.gradients)
            )
            if k < last:  # positive where z is: that tells the side of each ReLU
                trace[f"z{k + 1}"] = output.copy()
            trace["logits" if k == last else f"a{k + 1}"] = output.copy()
            trace["dlogits" if k == last else f"dz{k + 1}"] = gradient / scale
        trace |= state(self.network, self.optimiser)

    def bounds(self, before, ours, theirs):
        """Return the error bound of every tensor of the trace, in the order of computation."""

        def pair(name):
            return ours[name], theirs[name]

        depth = len(self.network.parametric_layers)
        inputs = ["x", *(f"a{k}" for k in range(1, depth))]
        outputs = [*inputs[1:], "logits"]
        gradients = [*(f"dz{k}" for k in range(1, depth)), "dlogits"]
        loss_bound, dlogits_bound = LOSSES[self.loss_name]

        def forward(k):
            W, b = before[f"W{k}"], np.abs(before[f"b{k}"])
            return lambda: product_bound(pair(inputs[k - 1]), (W, W), extra=b, terms=1)

        def backward(k):
            # multiplied by -lr and divided again: two roundings of the factor, two of the result
            W = before[f"W{k + 1}"].T
            return lambda: bilinear_bound(pair(gradients[k]), (W, W), np.matmul, len(W) + 4)

        bounds = {"x": None, "labels": None}
        bounds |= {name: forward(k) for k, name in enumerate(outputs, start=1)}
        bounds["loss"] = lambda: loss_bound(pair("logits"), theirs["labels"])
        bounds["dlogits"] = lambda: dlogits_bound(pair("logits"), pair("dlogits"))
        bounds |= {f"dz{k}": backward(k) for k in range(depth - 1, 0, -1)}
        ones = np.ones((len(ours["x"]), 1), ours["x"].dtype)  # (B,1), what a bias is multiplied by
        for k, (x, dy) in enumerate(zip(inputs, gradients, strict=True), start=1):
            bounds |= self._update_bounds(f"W{k}", pair(x), pair(dy), pair, before)
            bounds |= self._update_bounds(f"b{k}", (ones, ones), pair(dy), pair, before)
        return bounds

    def _update_bounds(self, name, x, dy, pair, before):
        """Return the bounds of a parameter p and its velocity v, from the pairs x (B,I), dy (B,O).

        With momentum, v' = momentum v + weight_decay p + Σ x dy, each of B terms added to the sum
        of those before, and p' = p - lr v'. Without, p' = (1 - lr weight_decay) p + Σ x (-lr dy):
        p is rounded anew with each term that is not 0.
        """
        sgd, p = self.optimiser, np.abs(before[name].astype(np.float64))
        eps = float(np.finfo(before[name].dtype).eps)
        terms = len(dy[0]) + 6

        def summed(extra=0.0):
            sides = [side.T for side in x]  # (I,B)
            bound = bilinear_bound(sides, dy, np.matmul, terms, extra=extra)  # (I,B) @ (B,O)
            return bound.reshape(p.shape)

        def velocity():
            v = np.abs(before[f"v{name}"].astype(np.float64))
            extra = sgd.momentum * v + sgd.weight_decay * p
            return summed(extra.reshape(-1, dy[0].shape[1]))

        def stepped():
            v = pair(f"v{name}")
            size = np.abs(v[1].astype(np.float64))
            return sgd.lr * apart(v) + 2 * (gamma(1, eps) * p + gamma(3, eps) * sgd.lr * size)

        def added():
            added = (x[0] != 0).T.astype(np.float64) @ (dy[0] != 0)  # (I,B) @ (B,O)
            share = (added.reshape(p.shape) + 6) / terms
            return sgd.lr * summed() + share * gamma(terms, eps) * p

        if not sgd.momentum:
            return {name: added}
        return {f"v{name}": velocity, name: stepped}

    def _flips(self, flipped, bounds, ours, theirs):
        known = {f"z{name[1:]}": bound for name, bound in bounds.items() if name[0] == "a"}
        return super()._flips(flipped, bounds | known, ours, theirs)
