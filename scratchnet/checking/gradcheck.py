"""Gradient checking: compare gradients with central finite differences.

    dL/dw ≈ (L(w + h) - L(w - h)) / 2h

No derivation and no framework stands behind these slopes, so they share no mistake with the code.
The truncation error is h²/6 of the third derivative, the rounding error that of L over h; in
float64 with h = 1e-5 both stay near 1e-10. Across the kink of a ReLU the difference measures
nothing, so such probes are left out.

To check a layer of your own, anything with `forward(x)` and `backward(dy)`:

    >>> import numpy as np
    >>> from scratchnet import Linear
    >>> from scratchnet.checking.gradcheck import check_layer
    >>> rng = np.random.default_rng(0)
    >>> layer = Linear(4, 3, rng=rng, dtype=np.float64)
    >>> {name: check.ok for name, check in check_layer(layer, rng.random((5, 4)), rng=rng).items()}
    {'x': True, 'W': True, 'b': True}
"""

from dataclasses import dataclass

import numpy as np

STEP = 1e-5
RELATIVE, ABSOLUTE = 1e-6, 1e-9  # allowed: 1e-6 |g| + 1e-9
KEPT = 0.95  # the share of the probes that has to be usable


@dataclass(frozen=True)
class Check:
    """What the probes of one array have shown."""

    probes: int
    kept: int  # those that no ReLU changed sides under
    worst: float  # the largest error, as a multiple of what is allowed; a NaN fails

    @property
    def ok(self):
        return self.worst <= 1 and self.kept >= KEPT * self.probes


def check_gradient(loss, values, gradient, *, rng, probes=100):
    """Compare a gradient with measured slopes, in `probes` places drawn from all; return a Check.

    Args:
        loss: a function of no arguments that returns (L, sides): the loss at the present `values`,
            and any boolean array that tells on which side of their kinks the units are.
        values: a float64 array, probed in place and restored.
        gradient: dL/dvalues, an array of the same shape.
        rng: the `numpy.random.Generator` that draws the places.

    Raises:
        ValueError: another dtype than float64, or a gradient of another shape.
    """
    if values.dtype != np.float64 or gradient.shape != values.shape:
        raise ValueError(
            f"values must be float64 and the gradient of their shape, not {values.dtype} "
            f"{values.shape} and {gradient.shape}"
        )
    places = rng.choice(values.size, min(probes, values.size), replace=False)
    excesses = [0.0]
    for place in zip(*np.unravel_index(places, values.shape), strict=True):
        before = values[place]
        values[place] = before + STEP
        above, sides_above = loss()
        values[place] = before - STEP
        below, sides_below = loss()
        values[place] = before
        if np.array_equal(sides_above, sides_below):
            error = abs((above - below) / (2 * STEP) - gradient[place])
            excesses.append(error / (RELATIVE * abs(gradient[place]) + ABSOLUTE))
    return Check(len(places), len(excesses) - 1, float(np.max(excesses)))


def check_layer(layer, x, *, rng, probes=100, parameters=None):
    """Check what `layer.backward` returns and leaves, against slopes; return {name: Check}.

    The loss is the mean of the layer's outputs, each with a random weight. Checked are "x" and the
    layer's parameters, such as "W" and "b". A layer with kinks tells its side of them by an
    attribute `mask`, as `ReLU`, or `argmax`, as `MaxPool2d`.

    Args:
        layer: has `forward(x)` and `backward(dy)`; its parameters are float64 arrays.
        x: inputs (B, I) in float64, some distance away from any kink.
        parameters: their names; by default all arrays that were there before `forward`, and that
            neither pass replaces.

    Raises:
        ValueError: a parameter "W" without a gradient "dW".
    """
    before = dict(vars(layer))
    weights = rng.standard_normal(layer.forward(x).shape)  # (B,O)

    def loss():
        return (weights * layer.forward(x)).mean(), _sides([layer])

    loss()
    dx = layer.backward(weights / weights.size)  # (B,I)
    if parameters is None:
        parameters = _parameters(layer, before, x)
    for name in parameters:
        if not isinstance(getattr(layer, f"d{name}", None), np.ndarray):
            raise ValueError(f"{type(layer).__name__}.backward has left no d{name} for {name}")
    gradients = {"x": (x, dx)}
    gradients |= {name: (getattr(layer, name), getattr(layer, f"d{name}")) for name in parameters}
    return {
        name: check_gradient(loss, values, gradient, rng=rng, probes=probes)
        for name, (values, gradient) in gradients.items()
    }


def check_network(network, loss_function, x, labels, *, rng, probes=100):
    """Check every gradient of a scratchnet network on x (B, I), labels (B,); return {name: Check}.

    Args:
        loss_function: `scratchnet.softmax_cross_entropy`, or one like it.
    """

    def loss():
        value, _ = loss_function(network.forward(x), labels)
        return value, _sides(network.layers)

    _, dlogits = loss_function(network.forward(x), labels)
    network.backward(dlogits)
    pairs = zip(network.parameters(), network.gradients(), strict=True)
    return {
        name: check_gradient(loss, values, gradient, rng=rng, probes=probes)
        for (name, values), (_, gradient) in pairs
    }


def _parameters(layer, before, x):
    """Return the names of the layer's parameters, the arrays that a step on x leaves in place.

    Args: `before` holds the layer's attributes before that step.
    """
    names, now = [], vars(layer)
    for name, value in before.items():
        is_array = isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size
        is_gradient = name.startswith("d") and name[1:] in before
        if not is_array or is_gradient or now.get(name) is not value or value is x:
            continue
        if f"d{name}" not in now:
            raise ValueError(
                f"{type(layer).__name__}.{name} has no gradient d{name}; if it is no parameter, "
                "say by `parameters` which there are"
            )
        names.append(name)
    return names


def _sides(layers):
    """Return, as one array, on which side of its kinks each unit of the layers is."""
    kinks = (vars(layer).get(kind) for layer in layers for kind in ("mask", "argmax"))
    return np.concatenate([(), *(sides.ravel() for sides in kinks if sides is not None)])
