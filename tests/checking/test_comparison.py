"""Comparison lets rounding pass, and nothing else."""

import numpy as np
import pytest

from scratchnet.checking import comparison

FLOATS = ["float32", "float64"]


def gradient(dtype, shape=(30, 20)):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def no_excuse():
    """An error bound of nothing."""
    return 0.0


WRONGS = {
    "a NaN": lambda g: np.where(np.arange(g.size).reshape(g.shape) == 5, np.nan, g),
    "all NaN": lambda g: np.full_like(g, np.nan),
    "an infinity": lambda g: np.where(np.arange(g.size).reshape(g.shape) == 5, np.inf, g),
    "zeros": np.zeros_like,
    "1 % off": lambda g: g * g.dtype.type(1.01),
    "the opposite sign": np.negative,
    "transposed": lambda g: np.ascontiguousarray(g.T).reshape(g.shape),
    "one element forgotten": lambda g: np.where(g == g.max(), 0, g).astype(g.dtype),
    "two rows swapped": lambda g: g[[1, 0, *range(2, len(g))]],
    "a thousand eps off": lambda g: g * (1 + 1000 * np.finfo(g.dtype).eps),
    "another shape": lambda g: g.T,
    "a narrower dtype": lambda g: g.astype(np.float16),
    "complex numbers": lambda g: g + 0j,
    "missing": lambda g: None,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("wrong", WRONGS)
def test_a_wrong_gradient_fails(wrong, dtype):
    g = gradient(dtype)

    compared = comparison.compare("dW", WRONGS[wrong](g), g, no_excuse)

    assert not compared.ok
    assert compared.result == "FAIL"
    assert compared.excess > 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_against_nan_fails_too(dtype):
    g = np.full((3, 2), np.nan, dtype)

    assert not comparison.compare("dW", g, g, no_excuse).ok
    assert not comparison.compare("loss", g[0, 0], g[0, 0], no_excuse).ok


@pytest.mark.parametrize("dtype", FLOATS)
def test_infinity_against_infinity_fails_too(dtype):
    g = np.full((3, 2), np.inf, dtype)

    assert not comparison.compare("z", g, g, no_excuse).ok


@pytest.mark.parametrize("dtype", FLOATS)
def test_something_against_nothing_fails(dtype):
    nothing = np.zeros((3, 2), dtype)

    assert comparison.compare("dW", nothing, nothing, no_excuse).ok
    assert not comparison.compare("dW", nothing + np.finfo(dtype).tiny, nothing, no_excuse).ok


def test_what_differs_from_nothing_is_infinitely_many_eps_off():
    nothing = np.zeros((3, 2))

    compared = comparison.compare("dW", nothing + 1e-300, nothing, no_excuse)

    assert compared.of_max == compared.of_norm == compared.excess == np.inf


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_limits_are_128_eps_of_the_largest_element_and_64_eps_of_the_norm(dtype):
    eps = np.finfo(dtype).eps
    flat = np.ones(100, dtype)  # norm 10: the largest element decides
    lone = np.eye(1, 100, dtype=dtype)[0]  # norm 1: the norm decides
    first = np.eye(1, 100, dtype=dtype)[0]

    assert comparison.compare("g", flat + 128 * eps * first, flat, no_excuse).ok
    assert not comparison.compare("g", flat + 130 * eps * first, flat, no_excuse).ok
    assert comparison.compare("g", lone + 64 * eps * first, lone, no_excuse).ok
    assert not comparison.compare("g", lone + 66 * eps * first, lone, no_excuse).ok


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_limit_of_the_loss_is_8_eps(dtype):
    loss, eps = np.array(1, dtype), np.finfo(dtype).eps

    assert comparison.compare("loss", loss + 8 * eps, loss, no_excuse).ok
    assert not comparison.compare("loss", loss + 9 * eps, loss, no_excuse).ok


def test_images_and_labels_must_have_the_same_bits():
    x, labels = gradient("float32"), np.array([1, 2, 3])

    assert comparison.compare("x", x.copy(), x).ok
    assert not comparison.compare("x", np.nextafter(x, np.float32(9)), x).ok
    assert not comparison.compare("labels", np.array([1, 2, 4]), labels).ok


def test_an_error_bound_excuses_element_by_element_and_says_so():
    theirs = np.array([1e-9, 1e-9])  # what is left of two sums that cancel
    ours = theirs + np.array([1e-12, 0])

    inside = comparison.compare("db", ours, theirs, lambda: np.array([2e-12, 0]))
    outside = comparison.compare("db", ours, theirs, lambda: np.array([0, 2e-12]))

    assert inside.result == "ok, cancels"
    assert inside.bound == pytest.approx(0.5, rel=1e-3)
    assert not outside.ok


def test_an_error_bound_is_not_computed_while_the_strict_criterion_holds():
    g = gradient("float64")

    def never():
        raise AssertionError

    assert comparison.compare("dW", g * (1 + 2e-16), g, never).ok


def test_a_shape_that_would_broadcast_fails():
    g = gradient("float64")
    row = np.ones_like(g) * g[0]  # (30,20), all its rows the same

    for ours in (row[:1], row[0], row[None]):
        assert not comparison.compare("dW", ours, row, no_excuse).ok
    assert not comparison.compare("labels", np.array([7]), np.array([7, 7])).ok


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_a_step_updates_has_to_lie_within_its_bound_though_it_is_strictly_equal(dtype):
    g, eps = gradient(dtype), np.finfo(dtype).eps
    decayed = g * g.dtype.type(1 - 20 * eps)  # far below 128 eps of the largest

    def compared(ours, bound):
        return comparison.compare("W", ours, g, lambda: bound * np.abs(g), updated=True)

    assert comparison.compare("W", decayed, g, lambda: eps * np.abs(g)).ok
    assert not compared(decayed, eps).ok
    assert compared(decayed, 21 * eps).ok
    for wrong in (np.nan, np.inf):
        spoilt = np.where(g == g.max(), wrong, g).astype(dtype)
        assert not compared(spoilt, 9.0).ok
        assert compared(spoilt, 9.0).excess == np.inf


TENSORS = {name: gradient("float64") + i for i, name in enumerate(("z1", "loss", "dW1", "W1"))}


def compared_step(**ours):
    """Compare a step of four tensors, those named being other ones; return {name: ok}."""
    bounds = dict.fromkeys(TENSORS, no_excuse)
    compared = comparison.compare_step(bounds, TENSORS | ours, TENSORS, {"W1": TENSORS["W1"]})
    return {c.name: c.ok for c in compared}


@pytest.mark.parametrize("name", TENSORS)
def test_every_tensor_of_a_step_is_compared_and_a_wrong_one_stops_no_other(name):
    for wrong in (TENSORS[name] * 1.01, TENSORS[name] * np.nan, TENSORS[name][:1], None):
        assert compared_step(**{name: wrong}) == {other: other != name for other in TENSORS}


def test_what_a_step_updates_is_known_by_the_state_before_it():
    less = 1 - 20 * np.finfo(np.float64).eps

    for name in TENSORS:
        compared = compared_step(**{name: TENSORS[name] * less})
        assert compared == {other: not other == name == "W1" for other in TENSORS}


def test_two_wrong_tensors_are_both_named_and_what_follows_from_the_first_has_no_bound():
    def generous():
        return np.full(TENSORS["z1"].shape, 9.0)

    ours = TENSORS | {"z1": TENSORS["z1"] + 10, "dW1": TENSORS["dW1"] + 1}
    alone = TENSORS | {"dW1": TENSORS["dW1"] + 1}
    bounds = dict.fromkeys(TENSORS, generous)

    both, one = (
        [c.name for c in comparison.compare_step(bounds, side, TENSORS, ()) if not c.ok]
        for side in (ours, alone)
    )

    assert both == ["z1", "dW1"]
    assert one == []


def test_a_tensor_that_pytorch_does_not_have_is_an_error():
    theirs = {name: array for name, array in TENSORS.items() if name != "dW1"}

    with pytest.raises(KeyError, match="dW1"):
        comparison.compare_step(dict.fromkeys(TENSORS, no_excuse), TENSORS, theirs, ())
