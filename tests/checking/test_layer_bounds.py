"""Every layer has one row in the table of checks, and its bounds hold without PyTorch."""

import subprocess
import sys

import numpy as np
import pytest

from scratchnet import CNN, Conv2d, Linear, MaxPool2d, softmax_cross_entropy
from scratchnet.checking.comparison import compare_step
from scratchnet.checking.layer_bounds import LAYERS, LOSSES, known, layer_names, step_bounds
from scratchnet.checking.trace import trace_scratchnet
from tests.conftest import ROOT

WITHOUT_TORCH = """
import importlib, pkgutil, sys
sys.modules["torch"] = None
from scratchnet import checking
names = [module.name for module in pkgutil.iter_modules(checking.__path__)]
for name in names:
    importlib.import_module(f"scratchnet.checking.{name}")
print(*names)
"""


def test_no_module_of_checking_needs_torch():
    shown = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert shown.returncode == 0, shown.stderr
    assert {"comparison", "gradcheck", "layer_bounds", "trace"} <= set(shown.stdout.split())


class Softplus:
    """A layer of one's own, for which there are no bounds."""


def test_a_layer_without_a_row_in_the_table_is_refused():
    with pytest.raises(TypeError, match="the layer Softplus: it needs a row"):
        layer_names([Linear(3, 2, rng=np.random.default_rng(0)), Softplus()])


def test_windows_that_overlap_have_no_bounds_yet():
    with pytest.raises(NotImplementedError, match="windows that overlap"):
        LAYERS["MaxPool2d"].bounds(None, MaxPool2d(3, 2), "a1", "dp1", None, None)


class StillSGD:
    """An optimiser that moves nothing."""

    def step(self):
        pass

    def state(self):
        return {}


def step_of(dtype, matmul=np.matmul):
    """Return (network, trace) of one step of a CNN that is the same for every dtype."""
    shape = {"image": (2, 9, 8), "channels": (4, 3), "size": 3}
    cnn = CNN((5, 3), **shape, rng=np.random.default_rng(0), dtype=np.float32, matmul=matmul)
    for layer in cnn.parametric_layers:
        layer.W, layer.b = layer.W.astype(dtype), layer.b.astype(dtype)
    x = np.random.default_rng(1).random((6, 144), np.float32).astype(dtype)  # (6,144)
    return cnn, trace_scratchnet(cnn, StillSGD(), softmax_cross_entropy, x, np.arange(6) % 3)


def compared_with_float64(trace, cnn):
    """Compare a float32 trace of the CNN with the float64 one, by the error bounds alone."""
    reference = {name: array.astype(trace[name].dtype) for name, array in step_of(float)[1].items()}
    bounds = step_bounds(
        cnn,
        LOSSES["softmax_cross_entropy"],
        lambda p, pair, before: {p: None},
        {name: array for name, array in trace.items() if name[0] in "Wb"},
        trace,
        reference,
    )
    with np.errstate(divide="ignore"):
        return {
            name: np.divide(
                np.abs(trace[name].astype(np.float64) - reference[name]),
                bound(),
                out=np.zeros(trace[name].shape),
                where=trace[name] != reference[name],
            ).max()
            for name, bound in bounds.items()
            if bound
        }, compare_step(bounds, trace, reference, ())


def test_a_cnn_in_float32_is_within_its_error_bounds_of_float64_in_every_tensor():
    cnn, trace = step_of(np.float32)

    multiples, comparisons = compared_with_float64(trace, cnn)

    assert {"z1", "p1", "z2", "f2", "dW1", "dW2", "da1", "dp1", "db1", "loss"} <= multiples.keys()
    assert max(multiples.values()) <= 1, multiples
    assert all(c.ok for c in comparisons)


def test_the_bounds_of_a_convolution_count_the_terms_of_its_sums():
    """2 γ_k of the sum of magnitudes: of ones, that is how many there are."""
    u = 2.0**-24
    conv = Conv2d(2, 3, 3, rng=np.random.default_rng(0))
    conv.forward(np.ones((4, 2, 5, 5), np.float32))  # to (4,3,3,3)
    W, b = np.ones((3, 2, 3, 3), np.float32), np.full(3, 7, np.float32)
    sides = {"x": np.ones((4, 2, 5, 5), np.float32), "dy": np.ones((4, 3, 3, 3), np.float32)}

    bounds = known(conv).bounds(lambda name: (sides[name], sides[name]), conv, "x", "dy", W, b)

    centre = np.s_[:, :, 2, 2]  # a pixel of 3 x 3 windows of each of the 3 channels out
    for name, place, k, magnitude in (
        ("y", np.s_[:], 2 * 3 * 3 + 1, 2 * 3 * 3 + 7),
        ("dW", np.s_[:], 4 * 3 * 3, 4 * 3 * 3),
        ("db", np.s_[:], 4 * 3 * 3, 4 * 3 * 3),
        ("dx", centre, 3 * 3 * 3, 3 * 3 * 3),
    ):
        allowed = 2 * k * u / (1 - k * u) * magnitude
        np.testing.assert_allclose(bounds[name]()[place], allowed, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", ["z1", "z2", "dW1", "dp1"])
def test_a_thousandth_too_much_is_outside_the_error_bounds_of_a_convolution(name):
    cnn, trace = step_of(np.float32)
    trace[name] *= np.float32(1.001)

    multiples, _ = compared_with_float64(trace, cnn)

    assert multiples[name] > 1
