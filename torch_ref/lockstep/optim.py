"""What an optimiser remembers from step to step, on either side, and by what law it goes on.

    SGD    velocities  vW1, vb1, ...   where it has momentum
    Adam   means       mW1, mb1, ...
           squares     vW1, vb1, ...
           steps       t

The letters are those of the docstrings in `scratchnet.optim` and `scratchnet.adam`.
"""

import copy

import numpy as np
import torch

from scratchnet.checking import error_bounds
from scratchnet.checking.trace import short
from scratchnet.nn.optim import adam_update
from torch_ref.model import across, named


class Optimiser:
    """One of scratchnet's optimisers, `ours`, and what PyTorch calls the same.

    Attributes:
        kept: {letter: (our attribute, PyTorch's key)} of what is remembered of every parameter.
        counts: names of what is counted, and so the same on both sides.
    """

    counts = ()

    def __init__(self, ours):
        self.ours = ours

    def memory(self):
        """Return copies of what ours remembers, {"vW1": array, ...}."""
        return self._by_name(getattr(self.ours, attribute) for attribute, _ in self.kept.values())

    def their_memory(self, theirs):
        """Return copies of what PyTorch's remembers, in our names and shapes."""
        (group,) = theirs.param_groups
        return self._by_name(
            named((theirs.state[p][key] for p in group["params"]), "W", "b")
            for _, key in self.kept.values()
        )

    def hand_over(self, theirs):
        """Let PyTorch's optimiser remember what ours does, of the parameters that it moves."""
        (group,) = theirs.param_groups
        for attribute, key in self.kept.values():
            remembered = getattr(self.ours, attribute)
            # of different lengths only where a planted bug moves more than it should
            for (_, array), p in zip(remembered, group["params"], strict=False):
                theirs.state[p][key] = torch.from_numpy(across(array)).clone()

    def again(self, network, memory):
        """Return such an optimiser for another network, with this memory."""
        other = copy.copy(self.ours)
        other.network = network
        parameters = network.parameters()
        for letter, (attribute, _) in self.kept.items():
            arrays = [memory[name].copy() for name in short(parameters, letter)]
            names = (name for name, _ in parameters)
            setattr(other, attribute, list(zip(names, arrays, strict=True)))
        return other

    def _by_name(self, remembered):
        names = {}
        for letter, pairs in zip(self.kept, remembered, strict=True):
            names |= {name: array.copy() for name, array in short(pairs, letter).items()}
        return names


class SGD(Optimiser):
    """Velocities, where there is momentum."""

    def __init__(self, ours):
        super().__init__(ours)
        self.kept = {"v": ("velocities", "momentum_buffer")} if ours.momentum else {}

    def __str__(self):
        sgd = self.ours
        momentum = f", momentum {sgd.momentum}" if sgd.momentum else ""
        decay = f", weight decay {sgd.weight_decay}" if sgd.weight_decay else ""
        return f"SGD with lr {sgd.lr}{momentum}{decay}"

    def to_torch(self, parameters):
        """Return PyTorch's optimiser of these parameters, with the same options."""
        sgd = self.ours
        return torch.optim.SGD(
            parameters, sgd.lr, momentum=sgd.momentum, weight_decay=sgd.weight_decay
        )

    def bands(self, p, pair, before):
        """Return {name: function that gives the band} of parameter p and what is kept of it."""
        sgd, v = self.ours, before.get(f"v{p}", np.zeros_like(before[p]))
        options = {"momentum": sgd.momentum, "weight_decay": sgd.weight_decay}
        g = f"d{p}"
        law = {p: lambda: error_bounds.parameter_band(pair(g), before[p], v, sgd.lr, **options)}
        if sgd.momentum:
            law = {
                f"v{p}": lambda: error_bounds.velocity_band(pair(g), before[p], v, **options)
            } | law
        return law


class Adam(Optimiser):
    """Means and squares of the gradients, and the number of steps."""

    counts = ("t",)

    def __init__(self, ours):
        super().__init__(ours)
        self.kept = {"m": ("first_moments", "exp_avg"), "v": ("second_moments", "exp_avg_sq")}

    def __str__(self):
        return f"Adam with lr {self.ours.lr} and betas {self.ours.betas}"

    def to_torch(self, parameters):
        """Return PyTorch's optimiser of these parameters, with the same options."""
        adam = self.ours
        return torch.optim.Adam(parameters, adam.lr, adam.betas, adam.eps)

    def memory(self):
        return super().memory() | {"t": self.ours.steps.copy()}

    def their_memory(self, theirs):
        steps = {float(state["step"]) for state in theirs.state.values()}
        (t,) = steps  # every parameter has a count of its own
        return super().their_memory(theirs) | {"t": np.array(t, np.int64)}

    def hand_over(self, theirs):
        super().hand_over(theirs)
        for state in theirs.state.values():
            state["step"] = torch.tensor(float(self.ours.steps))

    def again(self, network, memory):
        other = super().again(network, memory)
        other.steps = memory["t"].copy()
        other.update = adam_update  # like the ladder, the compiled one knows no longdouble
        return other

    def bands(self, p, pair, before):
        """Return {name: function that gives the band} of parameter p and what is kept of it."""
        adam, g, m, v = self.ours, f"d{p}", f"m{p}", f"v{p}"
        t = int(before["t"]) + 1
        return {
            m: lambda: error_bounds.mean_band(pair(g), before[m], adam.betas[0]),
            v: lambda: error_bounds.square_band(pair(g), before[v], adam.betas[1]),
            p: lambda: error_bounds.adam_band(
                *(pair(m), pair(v), before[p]), t, adam.lr, adam.betas, adam.eps
            ),
        }


OPTIMISERS = {"SGD": SGD, "Adam": Adam}


def beside(optimiser):
    """Return what is known here about one of scratchnet's optimisers."""
    return OPTIMISERS[type(optimiser).__name__](optimiser)
