"""Both steps of a GAN in lockstep with PyTorch's."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import kernels
from scratchnet.nn.losses import binary_cross_entropy
from scratchnet.nn.optim import Adam, adam_update
from scratchnet.training.config import GANConfig
from tests.torch_ref.lockstep_steps import FLOATS, assert_excused, backwards_sum, failures
from torch_ref.lockstep import gan, report


def small_gan(dtype, hidden=(16, 12), seed=0, **options):
    return gan.begin(hidden, 0.01, rng=np.random.default_rng(seed), dtype=dtype, **options)


@pytest.mark.parametrize(
    ("dtype", "matmul", "steps"),
    [
        ("float64", "numpy", 10),
        ("float32", "simd", 10),
        pytest.param("float64", "simd", 200, marks=pytest.mark.exhaustive),
        pytest.param("float32", "simd", 200, marks=pytest.mark.exhaustive),
    ],
)
def test_every_tensor_of_both_steps_of_the_gan_is_pytorchs_on_real_batches(
    digits, pictures, dtype, matmul, steps
):
    drawn = {"rng": np.random.default_rng(0), "dtype": dtype, "matmul": kernels.get(matmul)}
    pair = gan.begin(GANConfig().hidden, GANConfig().lr, **drawn)
    summaries = {side: report.Summary() for side in (pair.discriminator, pair.generator)}
    for taken in islice(gan.walk(pair, digits, pictures, 64, seed=0, dtype=dtype), 2 * steps):
        summaries[taken.lockstep].add(taken)

    for summary in summaries.values():
        assert summary.ok, str(summary)
        assert summary.steps == steps
        assert "an unsynchronised twin drifts off by" in str(summary)
    # x, loss, t; 2 z, a and their gradients; logits; means, squares, 3 x 2 parameters, gradients
    assert len(summaries[pair.discriminator].worst) == 3 + 8 + 2 + 24
    # 5 hidden layers; 6 x 2 parameters, their gradients, and 3 x 2 means and squares
    assert len(summaries[pair.generator].worst) == 3 + 20 + 2 + 24 + 12


@settings(max_examples=100, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 12), max_size=2),
    n_images=st.integers(1, 12),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e3]),
    shift=st.sampled_from([0.0, -100.0, 100.0]),
)
def test_any_gan_takes_steps_like_pytorchs_with_extreme_logits_and_saturated_layers_too(
    hidden, n_images, dtype, seed, scale, shift
):
    pair, rng = small_gan(dtype, hidden, seed), np.random.default_rng(seed)
    pair.ours.discriminator.parametric_layers[-1].W *= scale
    for layer in pair.ours.combined.parametric_layers[:-1]:
        layer.b += shift

    for _ in range(2):
        real = rng.uniform(-1, 1, (n_images, 784)).astype(dtype)  # (B,784)
        noise = rng.standard_normal((2, n_images, GANConfig().noise)).astype(dtype)  # (2,B,Z)
        for step in pair.step(real, noise, torch.from_numpy(real)):
            assert not failures(step)


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_a_gan_that_drifts_off_fails_though_each_step_is_pytorchs(digits, pictures, side):
    pair, summary = small_gan("float64"), report.Summary(side)
    with torch.no_grad():
        getattr(pair.twin, side)[0].bias += 1e-11

    for taken in islice(gan.walk(pair, digits, pictures, 8, seed=0, dtype="float64"), 4):
        assert taken.ok
        if taken.lockstep.title == side:
            summary.add(taken)

    assert not summary.ok
    assert summary.drift[0] >= 1e-11
    assert "(limit 1e-12)" in str(summary)


def leaky_edge(dtype, matmul=np.matmul):
    """Take a step of a discriminator whose first pre-activations are 0 up to rounding."""
    pair, rng = small_gan(dtype, (300,), matmul=matmul), np.random.default_rng(0)
    real = rng.uniform(-1, 1, (1, 784)).astype(dtype)  # (1,784)
    first = pair.ours.discriminator.parametric_layers[0]
    first.b[:] = -(real @ first.W)[0]  # (300,)
    first.b += (rng.standard_normal(300) * np.finfo(dtype).eps / 2).astype(dtype)
    noise = rng.standard_normal((2, 1, GANConfig().noise)).astype(dtype)  # (2,1,Z)
    return pair.step(real, noise, torch.from_numpy(real))[0]


def test_a_float32_leaky_relu_within_rounding_of_0_may_take_either_slope_and_is_named():
    step = leaky_edge("float32", backwards_sum)

    assert_excused(step)


def test_a_float64_leaky_relu_with_another_slope_is_never_excused():
    step = leaky_edge("float64", backwards_sum)

    assert step.flips
    assert not any(flip.excused for flip in step.flips)


WRONG_GANS = {
    "another slope": (lambda gan: vars(gan.discriminator.layers[1]).update(slope=0.25), "a1"),
    "more is moved": (
        lambda gan: vars(gan).update(generator_adam=Adam(gan.combined, 0.01, (0.5, 0.999))),
        "W4",
    ),
    "a step was lost": (lambda gan: vars(gan.generator_adam).update(step=lambda: None), "t"),
    "another Adam": (lambda gan: vars(gan.discriminator_adam).update(eps=1e-7), "W1"),
    "decoupled weight decay": (
        lambda gan: vars(gan.discriminator_adam).update(update=adamw_update),
        "W1",
    ),
}


def adamw_update(p, *moments_and_rates):
    """AdamW's, with PyTorch's default weight decay of 0.01: 1e-4 of a weight in a step."""
    p *= 1 - 0.01 * 0.01
    adam_update(p, *moments_and_rates)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", WRONG_GANS)
def test_a_gan_that_does_otherwise_than_pytorchs_fails(name, dtype):
    spoil, first_wrong = WRONG_GANS[name]
    other, rng = small_gan(dtype).ours, np.random.default_rng(0)
    spoil(other)
    pair = gan.GANLockstep(other, binary_cross_entropy)
    real, noise = rng.uniform(-1, 1, (5, 784)), rng.standard_normal((2, 5, GANConfig().noise))
    real, noise = real.astype(dtype), noise.astype(dtype)

    discriminator, generator = pair.step(real, noise, torch.from_numpy(real))
    wrong = failures(discriminator) + failures(generator)

    assert wrong[0].startswith(f"{first_wrong} ")


def test_a_loop_that_gives_the_generator_what_the_discriminator_has_seen_fails(monkeypatch):
    def careless(gan, batches, progress):
        for real, noise in batches:
            gan.discriminator_step(real, noise[0])
            gan.generator_step(noise[0])

    monkeypatch.setattr(gan, "train_gan_epoch", careless)
    pair, rng = small_gan("float64"), np.random.default_rng(0)
    real, noise = rng.uniform(-1, 1, (5, 784)), rng.standard_normal((2, 5, GANConfig().noise))

    discriminator, generator = pair.step(real, noise, torch.from_numpy(real))

    assert not failures(discriminator)
    assert failures(generator)[0].startswith("x ")
