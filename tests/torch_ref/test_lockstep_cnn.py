"""A convolutional network in lockstep with PyTorch's."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnet
from scratchnet import kernels
from scratchnet.training.config import MODELS
from tests.torch_ref.lockstep_steps import FLOATS, backwards_sum, failures, one_step
from torch_ref.lockstep import report, step
from torch_ref.lockstep.step import Lockstep


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("steps", [10, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_every_tensor_of_the_cnn_is_pytorchs_on_real_batches(digits, pictures, dtype, steps):
    drawn = {"rng": np.random.default_rng(0), "dtype": dtype, "matmul": kernels.get("simd")}
    cnn = MODELS["cnn"]([128], **drawn)
    pair = Lockstep(cnn, scratchnet.SGD(cnn, 0.01, momentum=0.9))
    summary = report.Summary()
    for taken in islice(step.walk(pair, digits, pictures, 32, seed=0, dtype=dtype), steps):
        summary.add(taken)

    assert summary.ok, str(summary)
    assert summary.steps == steps
    # x, labels, loss; z, a, p of 2 images, f, z, a and their gradients, logits; 8 x 3 parameters,
    # their gradients and velocities
    assert len(summary.worst) == 3 + 18 + 2 + 24


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rung", ["tiled", "sparse", "numpy"])
def test_every_tensor_of_the_cnn_is_pytorchs_with_kernels_of_the_ladder(
    digits, pictures, dtype, rung
):
    cnn = MODELS["cnn"]([128], rng=np.random.default_rng(0), dtype=dtype, matmul=kernels.get(rung))
    pair = Lockstep(cnn, scratchnet.SGD(cnn, 0.01, momentum=0.9))
    for taken in islice(step.walk(pair, digits, pictures, 8, seed=0, dtype=dtype), 2):
        assert not failures(taken)


@settings(max_examples=60, deadline=None)
@given(
    image=st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9)),
    channels=st.lists(st.integers(1, 5), min_size=1, max_size=2),
    hidden=st.lists(st.integers(1, 6), max_size=2),
    size=st.sampled_from([1, 3, 5]),
    n_images=st.integers(1, 8),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 2**32),
)
def test_any_cnn_takes_two_steps_like_pytorchs(
    image, channels, hidden, size, n_images, dtype, seed
):
    rng = np.random.default_rng(seed)
    shape = {"image": image, "channels": channels, "size": size}
    cnn = scratchnet.CNN((*hidden, 4), **shape, rng=rng, dtype=dtype)
    x = rng.random((n_images, int(np.prod(image)))).astype(dtype)  # (B,I)
    x[rng.random(x.shape) < 0.5] = 0
    labels = rng.integers(4, size=n_images)
    pair = Lockstep(cnn, scratchnet.SGD(cnn, 0.1, 0.5, 1e-3))

    for _ in range(2):
        step = pair.step((x, labels), (torch.from_numpy(x), torch.from_numpy(labels)))

        assert not failures(step)


def nearly_equal_pixels(dtype, matmul):
    """Take a step on windows whose pixels differ by rounding alone; return it."""
    rng = np.random.default_rng(0)
    shape = {"image": (9, 8, 8), "channels": (4,), "size": 1}
    cnn = scratchnet.CNN((3,), **shape, rng=rng, dtype=dtype, matmul=matmul)
    cnn.parametric_layers[0].b[:] = 2  # no ReLU near 0
    x = np.repeat(rng.random((5, 9, 1), dtype), 64, axis=2).reshape(5, 576)  # (5,CHW)
    x *= 1 + rng.integers(-1, 2, x.shape).astype(dtype) * np.finfo(dtype).eps
    return one_step(cnn, x, np.arange(5) % 3)


def test_a_float32_maximum_may_lie_in_either_of_two_nearly_equal_pixels_and_is_named():
    step = nearly_equal_pixels("float32", backwards_sum)

    assert {flip.name for flip in step.flips} == {"a1"}
    assert not failures(step)
    for flip in step.flips:
        assert flip.theirs <= 0 <= flip.ours <= flip.bound < 1e-4
    summary = report.Summary()
    summary.add(step)
    assert f"{len(step.flips)} windows whose maxima lie in different pixels" in str(summary)


def test_a_float64_maximum_in_another_pixel_is_never_excused():
    step = nearly_equal_pixels("float64", backwards_sum)

    assert step.flips
    assert not step.ok
    assert not any(flip.excused for flip in step.flips)
