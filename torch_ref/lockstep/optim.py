"""Optimiser adapters: the state of an optimiser on either side, and the error bounds of its step.

    SGD    velocities      vW1, vb1, ...   where it has momentum
    Adam   first moments   mW1, mb1, ...
           second moments  vW1, vb1, ...
           steps           t

The letters are those of the docstrings in `scratchnet.nn.optim`.
"""

import numpy as np
import torch

from scratchnet.checking import error_bounds
from scratchnet.checking.trace import short
from torch_ref.model import each_parameter


class OptimiserAdapter:
    """One of scratchnet's optimisers, `ours`, and PyTorch's of the same name.

    Attributes:
        KEYS: {letter: PyTorch's key} of the state that is kept for every parameter.
        options: {name: value} of its OPTIONS, the same on both sides.
    """

    def __init__(self, ours):
        self.ours = ours
        self.options = {name: getattr(ours, name) for name in self.OPTIONS}

    def __str__(self):
        shown = (f"{name.replace('_', ' ')} {v}" for name, v in self.options.items() if v)
        return f"{type(self.ours).__name__} with {', '.join(shown)}"

    def keys(self):
        """Return [(letter, PyTorch's key), ...] of the state that our optimiser has."""
        return [(letter, key) for letter, key in self.KEYS.items() if letter in self.ours.state()]

    def to_torch(self, parameters):
        """Return PyTorch's optimiser of these parameters."""
        return getattr(torch.optim, type(self.ours).__name__)(parameters, **self.options)

    def copy_state(self, theirs, model):
        """Overwrite the state of PyTorch's optimiser, of the parameters that it updates, with ours.

        Args: PyTorch's optimiser, and the network that it updates, or updates a part of.
        """
        for letter, key in self.keys():
            kept = dict(self.ours.state()[letter])
            for name, p, across in updated(theirs, model):
                theirs.state[p][key] = torch.from_numpy(across(kept[name])).clone()

    def their_state(self, theirs, model):
        """Return copies of its state, {"vW1": array, ...}, in our names and shapes."""
        arrays = {}
        for letter, key in self.keys():
            for name, p, across in updated(theirs, model):
                arrays |= short([(name, across(theirs.state[p][key].numpy()).copy())], letter)
        return arrays

    def copy_for(self, network, state):
        """Return such an optimiser, in NumPy, for a network of another dtype, in the given state.

        Args: the network; {"vW1": array, ...}, as `trace.state` returns it.
        """
        other = type(self.ours)(network, **self.options)
        for letter, kept in other.state().items():
            arrays = {"": kept} if letter in state else short(kept)  # "t" is one for all parameters
            for name, array in arrays.items():
                array[...] = state[letter + name]
        return other


class SGDAdapter(OptimiserAdapter):
    """Velocities, where there is momentum."""

    KEYS, OPTIONS = {"v": "momentum_buffer"}, ("lr", "momentum", "weight_decay")

    def bounds(self, p, pair, before):
        """Return {name: function that gives the error bound} of parameter p and its velocity."""
        sgd, g, v = self.ours, f"d{p}", before.get(f"v{p}", np.zeros_like(before[p]))
        rest = before[p], v, sgd.momentum, sgd.weight_decay
        bounds = {f"v{p}": lambda: error_bounds.velocity_bound(pair(g), *rest)}
        return (bounds if sgd.momentum else {}) | {
            p: lambda: error_bounds.parameter_bound(pair(g), *rest, sgd.lr)
        }


class AdamAdapter(OptimiserAdapter):
    """First and second moment estimates, and the number of steps."""

    KEYS, OPTIONS = {"m": "exp_avg", "v": "exp_avg_sq"}, ("lr", "betas", "eps")

    def copy_state(self, theirs, model):
        super().copy_state(theirs, model)
        for state in theirs.state.values():
            state["step"] = torch.tensor(float(self.ours.steps))

    def their_state(self, theirs, model):
        (t,) = {float(state["step"]) for state in theirs.state.values()}  # one a parameter
        return super().their_state(theirs, model) | {"t": np.array(t, np.int64)}

    def bounds(self, p, pair, before):
        """Return {name: function that gives the error bound} of parameter p and its moments."""
        g, m, v = f"d{p}", f"m{p}", f"v{p}"
        (beta1, beta2), t = self.ours.betas, int(before["t"]) + 1
        return {
            m: lambda: error_bounds.mean_bound(pair(g), before[m], beta1),
            v: lambda: error_bounds.square_bound(pair(g), before[v], beta2),
            p: lambda: error_bounds.adam_bound(pair(m), pair(v), before[p], t, **self.options),
        }


ADAPTERS = {"SGD": SGDAdapter, "Adam": AdamAdapter}


def adapter(optimiser):
    """Return the adapter of one of scratchnet's optimisers; TypeError if there is none."""
    name = type(optimiser).__name__
    if name not in ADAPTERS:
        raise TypeError(f"no adapter is known for the optimiser {name}: it needs one in ADAPTERS")
    return ADAPTERS[name](optimiser)


def updated(theirs, model):
    """Return [(name, tensor, across), ...] of the parameters that PyTorch's optimiser updates."""
    (group,) = theirs.param_groups
    ids = set(map(id, group["params"]))
    each = each_parameter(model)
    return [(f"{layer}.{p}", t, across) for layer, p, t, across in each if id(t) in ids]
