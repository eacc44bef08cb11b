"""Activation functions: what PyTorch computes, for any shape, at every edge of the format."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from scratchnet.checking import gradcheck
from scratchnet.nn.activations import LeakyReLU, Sigmoid, Tanh, sigmoid

FLOATS = ["float32", "float64"]
LAYERS = {
    "LeakyReLU": (lambda: LeakyReLU(0.2), torch.nn.LeakyReLU(0.2)),
    "Tanh": (Tanh, torch.nn.Tanh()),
    "Sigmoid": (Sigmoid, torch.nn.Sigmoid()),
}
EDGES = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1.0, -1.0, 1000.0, -1000.0]
every_layer = pytest.mark.parametrize("name", LAYERS)
both_dtypes = pytest.mark.parametrize("dtype", FLOATS)


def beside_torch(name, x, dy):
    """[(ours, PyTorch's), ...] of y and dx for a batch x and its gradient dy."""
    create, theirs = LAYERS[name]
    layer, leaf = create(), torch.tensor(x, requires_grad=True)
    y = theirs(leaf)
    y.backward(torch.tensor(dy))
    with np.errstate(all="raise", under="ignore"):  # not a warning, whatever comes
        return [(layer.forward(x), y.detach().numpy()), (layer.backward(dy), leaf.grad.numpy())]


def assert_same(name, pairs, dy):
    """LeakyReLU gives the same bits; exp and tanh may be four last places off, on either side.

    Then 1 - y and 1 - y² are off by as much as y and y², however small they are themselves.
    """
    (y, their_y), (dx, their_dx) = pairs
    assert y.dtype == their_y.dtype == dx.dtype == their_dx.dtype
    info = np.finfo(y.dtype)
    if name == "LeakyReLU":
        np.testing.assert_array_equal(y, their_y)
        np.testing.assert_array_equal(dx, their_dx)
        return
    np.testing.assert_allclose(y, their_y, rtol=8 * info.eps, atol=info.tiny)
    np.testing.assert_array_equal(np.isnan(dx), np.isnan(their_dx))
    allowed = 8 * info.eps * (np.abs(their_dx) + np.abs(dy) * their_y**2) + 2 * info.tiny
    known = ~np.isnan(dx)
    assert (np.abs(dx - their_dx)[known] <= allowed[known]).all()


@st.composite
def batches(draw):
    """Arrays x, of any shape and any numbers, and dy, from -1 to 1."""
    dtype, shape = draw(st.sampled_from(FLOATS)), draw(array_shapes(max_dims=4, max_side=5))
    width = int(dtype.removeprefix("float"))
    return draw(arrays(dtype, shape)), draw(
        arrays(dtype, shape, elements=st.floats(-1, 1, width=width))
    )


@every_layer
@settings(max_examples=100)
@given(batches())
def test_any_batch_goes_forward_and_back_as_in_pytorch(name, batch):
    assert_same(name, beside_torch(name, *batch), batch[1])


@every_layer
@both_dtypes
def test_nan_infinities_zeros_and_huge_numbers_pass_as_in_pytorch(name, dtype):
    x = np.array([EDGES], dtype)
    dy = np.full_like(x, 0.7)

    pairs = beside_torch(name, x, dy)

    assert_same(name, pairs, dy)
    for ours, theirs in pairs:
        zeros = theirs == 0
        np.testing.assert_array_equal(np.signbit(ours[zeros]), np.signbit(theirs[zeros]))


@every_layer
def test_the_slope_is_the_one_that_is_measured(name):
    x = np.random.default_rng(0).normal(size=(6, 7)) * 3

    check = gradcheck.check_layer(LAYERS[name][0](), x, rng=np.random.default_rng(1))["x"]

    assert check.ok, check


@every_layer
@pytest.mark.parametrize(("shape", "other"), [((2, 5), (5, 2)), ((2, 5), (2, 1)), ((2,), (1, 2))])
def test_a_gradient_that_does_not_fit_is_refused_with_both_shapes(name, shape, other):
    layer = LAYERS[name][0]()
    layer.forward(np.zeros(shape))

    both = f"{re.escape(str(shape))}.*{re.escape(str(other))}"
    with pytest.raises(ValueError, match=f"{name}.*{both}"):
        layer.backward(np.zeros(other))


@every_layer
def test_no_gradient_is_taken_before_the_first_batch(name):
    with pytest.raises(ValueError, match=r"\(0,\)"):
        LAYERS[name][0]().backward(np.zeros(1))


def test_a_leaky_relu_has_the_lesser_slope_at_zero_and_pytorchs_by_default():
    layer = LeakyReLU()
    assert layer.slope == torch.nn.LeakyReLU().negative_slope

    assert layer.forward(np.array([-2.0, 0.0, 2.0])).tolist() == [-0.02, 0, 2]
    assert layer.backward(np.array([3.0, 3.0, 3.0])).tolist() == [0.03, 0.03, 3]


@pytest.mark.parametrize("slope", [0, 1, -0.1, 1.5, np.nan])
def test_a_leaky_relu_refuses_slopes_that_are_not_between_0_and_1(slope):
    with pytest.raises(ValueError, match="between 0 and 1"):
        LeakyReLU(slope)


@both_dtypes
def test_a_sigmoid_loses_no_digits_where_it_is_next_to_zero(dtype):
    x = np.array([-50, -20, -5], dtype)

    exact = [math.exp(float(v)) / (1 + math.exp(float(v))) for v in x]

    np.testing.assert_allclose(sigmoid(x), exact, rtol=4 * np.finfo(dtype).eps)


@both_dtypes
def test_a_sigmoid_and_its_mirror_image_make_one(dtype):
    x = np.linspace(-30, 30, 601, dtype=dtype)

    np.testing.assert_allclose(sigmoid(x) + sigmoid(-x), 1, rtol=2 * np.finfo(dtype).eps)
