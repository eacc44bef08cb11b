"""A walk: training steps of an implementation, every one of them from the right state.

    right state ──step──> x, z1, a1, ..., loss, dlogits, ..., dW1, db1, and W1_after, ...
    right state of the next step ──step──> ...

So a mistake in one step does not hide in the wrong weights of the step before: what is wrong in a
step is that step's own. Two epochs of 70 digits in batches of 32, 32 and 6, and two more steps that
mistakes dislike: one with a unit that is exactly 0, one with logits in the thousands.

In a GAN, "D." stands before the tensors of the discriminator's step, and "G." before those of the
generator's, in which the discriminator's layers count on from the generator's.
"""

import functools
import re
from types import SimpleNamespace as Case

import numpy as np

from scratchnet.checking.trace import short, state, watch
from scratchnet.exercises import implementation
from scratchnet.exercises.probes import digits
from scratchnet.exercises.sample_training import RECIPE

SMALL = {"mlp": (784, 16, 12, 10), "cnn": (8, 10), "gan": (8, (16,))}
PLACES = "epoch", "a unit that is 0", "logits in the thousands"


def mlp_cases():
    return _cases("mlp")


def cnn_cases():
    return _cases("cnn")


def gan_cases():
    return _cases("gan")


CASES = {"mlp": mlp_cases, "cnn": cnn_cases, "gan": gan_cases}


def _cases(model):
    return {place: Case(model=model, place=place) for place in PLACES}


def walk(nn, case):
    """Yield (name, array): "dW1 in epoch 1, batch 3". A probe, as those of `probes`."""
    right = _right_states(case.model, case.place)
    for where, trace, _ in _steps(nn, case, right):
        for name, array in trace.items():
            yield f"{name} in {where}", array


def build(nn, model, dtype=np.float64):
    """Return [(network, optimiser, its step), ...] of a small model: of a GAN there are two."""
    layer_args = {"rng": np.random.default_rng(0), "dtype": dtype}
    if model == "gan":
        noise, hidden = SMALL["gan"]
        generator = nn.gan.Generator(noise, hidden, **layer_args)
        both = nn.gan.GAN(generator, nn.gan.Discriminator(hidden, **layer_args), 2e-3, 1e-3)
        return [
            (both.discriminator, both.discriminator_adam, both.discriminator_step),
            (both.combined, both.generator_adam, both.generator_step),
        ]
    if model == "cnn":
        network = nn.cnn.CNN(SMALL["cnn"], channels=(2, 3), **layer_args)
    else:
        network = nn.network.MLP(SMALL["mlp"], **layer_args)
    optimiser = nn.optim.SGD(network, **RECIPE)

    def learn(x, labels):
        loss, dlogits = nn.losses.softmax_cross_entropy(network.forward(x), labels)
        network.backward(dlogits)
        optimiser.step()
        return loss

    return [(network, optimiser, learn)]


@functools.cache
def _right_states(model, place):
    """Return {step: its state before it}, of scratchnet itself."""
    steps = _steps(implementation.ours(), Case(model=model, place=place), None)
    return {where: before for where, _, before in steps}


def _steps(nn, case, right):
    """Yield (where, trace, state before) of every step; `right` are the states to start from."""
    players = build(nn, case.model)
    for network, _, _ in players:
        if case.place == PLACES[1]:
            for hidden in network.parametric_layers[:-1]:
                unit = (0,) if hidden.W.ndim == 4 else (slice(None), 0)
                hidden.W[unit] = hidden.b[0] = 0
    if case.place == PLACES[2]:
        players[-1][0].parametric_layers[-1].W *= 1e5
    for where, batch in _batches(nn, case):
        for player, title, its in zip(players, ("D.", "G."), batch, strict=False):
            network, optimiser, learn = player
            title = title if len(players) > 1 else ""
            if right:
                _set_state(network, optimiser, right[title + where])
            before = state(network, optimiser)
            trace = dict(zip(("x", "labels"), its, strict=True)) if not title else {}
            trace |= watch(network, optimiser, functools.partial(learn, *its))
            yield title + where, _in_order(trace, title), before


def _batches(nn, case):
    """Yield (where, [what each step is given]) of the images that a case trains on."""
    images, labels = digits()
    epochs = (1, 2) if case.place == PLACES[0] else (1,)
    for epoch in epochs:
        order = {"seed": 3, "epoch": epoch}
        if case.model == "gan":
            x = nn.batches.to_tanh_range(images, np.float64)  # (N,784)
            found = nn.batches.gan_batches(x, 32, SMALL["gan"][0], **order)
            batches = [
                [(real, noise[0].astype(np.float64)), (noise[1].astype(np.float64),)]
                for real, noise in found
            ]
        else:
            x = nn.batches.to_unit_interval(images, np.float64)  # (N,784)
            batches = [[batch] for batch in nn.batches.batches(x, labels, 32, **order)]
        for number, batch in enumerate(batches, start=1):
            if case.place == PLACES[0]:
                yield f"epoch {epoch}, batch {number}", batch
            else:
                yield f"a step with {case.place}", batch
                return


def _set_state(network, optimiser, right):
    """Give the parameters and the optimiser's state the right values, where they have the shape."""
    arrays = short(network.parameters())
    for letter, kept in optimiser.state().items():
        arrays |= {"t": kept} if isinstance(kept, np.ndarray) else short(kept, letter)
    for name, array in arrays.items():
        if name in right and array.shape == right[name].shape:
            array[...] = right[name]


def _in_order(trace, title):
    """Name what is there after the step W1_after, and bring the loss before its gradient."""
    named = {}
    for name, array in trace.items():
        if name == "dlogits" and "loss" in trace:
            named[f"{title}loss"] = trace["loss"]
        if name != "loss":
            after = re.fullmatch(r"([mv]?[Wb]\d+|t)", name)
            named[f"{title}{name}_after" if after else f"{title}{name}"] = array
    return named


def tensors(traces):
    """Return the names of the tensors of a walk's traces, in the order of computation."""
    return list(
        dict.fromkeys(name.split(" in ")[0] for its in traces.values() for name in its if name)
    )
