"""The GAN: who learns from what, and that a whole epoch of training is PyTorch's."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from scratchnet import Linear
from scratchnet.checking import gradcheck
from scratchnet.data import to_unit_interval
from scratchnet.nn.activations import LeakyReLU, Tanh
from scratchnet.nn.gan import GAN, Discriminator, Generator, discriminator_batch, generator_batch
from scratchnet.nn.losses import binary_cross_entropy
from torch_ref import gan as torch_gan
from torch_ref.model import parameters

NOISE = 5
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def small_gan(dtype="float64", hidden=(12,), lrs=(0.01, 0.02)):
    drawn = {"rng": np.random.default_rng(0), "dtype": dtype}
    return GAN(Generator(NOISE, hidden, **drawn), Discriminator(hidden, **drawn), *lrs)


def digits_and_noise(sample, n_images=20, dtype="float64"):
    """Real digits (B, 784) in [-1, 1] and noise (B, Z)."""
    images = sample.train.images[:: len(sample.train.images) // n_images][:n_images]
    noise = np.random.default_rng(1).standard_normal((n_images, NOISE))
    return 2 * to_unit_interval(images, dtype) - 1, noise.astype(dtype)


def snapshot(*networks):
    return [array.copy() for network in networks for _, array in network.parameters()]


def changed(before, *networks):
    return [(a != b).any() for a, b in zip(before, snapshot(*networks), strict=True)]


def test_the_networks_have_the_layers_that_they_promise():
    generator = Generator(5, (7, 9), rng=np.random.default_rng(0))
    discriminator = Discriminator((9, 7), rng=np.random.default_rng(0))

    kinds = [type(layer) for layer in generator.layers]
    assert kinds == [Linear, LeakyReLU, Linear, LeakyReLU, Linear, Tanh]
    kinds = [type(layer) for layer in discriminator.layers]
    assert kinds == [Linear, LeakyReLU, Linear, LeakyReLU, Linear]
    assert torch_gan.widths(generator) == [5, 7, 9, 784]
    assert torch_gan.widths(discriminator) == [784, 9, 7, 1]
    slopes = [layer.slope for layer in (*generator.layers[1:4:2], *discriminator.layers[1::2])]
    assert slopes == [0.2] * 4


def test_together_they_are_one_network_of_the_same_layers():
    gan = small_gan()

    assert gan.combined.layers == gan.generator.layers + gan.discriminator.layers


@both_dtypes
def test_fakes_are_images_from_minus_one_to_one_and_float32_stays_float32(sample, dtype):
    gan, (real, noise) = small_gan(dtype), digits_and_noise(sample, dtype=dtype)

    losses = [gan.discriminator_step(real, noise), gan.generator_step(noise)]
    fakes = gan.generator.forward(noise)

    assert fakes.shape == (20, 784)
    assert np.abs(fakes).max() <= 1
    arrays = [fakes, *losses, *snapshot(gan.combined)]
    for adam in (gan.generator_adam, gan.discriminator_adam):
        arrays += [array for _, array in adam.first_moments + adam.second_moments]
    arrays += [array for _, array in gan.combined.gradients()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_real_images_come_first_and_are_1_and_fakes_are_0():
    real, fakes = np.full((2, 784), 3.0, np.float32), np.full((3, 784), 4.0, np.float32)

    x, targets = discriminator_batch(real, fakes)

    assert x[:, 0].tolist() == [3, 3, 4, 4, 4]
    assert targets.tolist() == [[1], [1], [0], [0], [0]]
    assert targets.dtype == np.float32


def test_the_generator_wishes_all_its_fakes_to_be_real():
    noise, targets = generator_batch(np.ones((3, NOISE), np.float32))

    assert noise.shape == (3, NOISE)
    assert targets.tolist() == [[1], [1], [1]]
    assert targets.dtype == np.float32


def test_telling_apart_moves_the_discriminator_alone_and_deceiving_the_generator_alone(sample):
    gan, (real, noise) = small_gan(), digits_and_noise(sample)

    before = snapshot(gan.generator, gan.discriminator)
    gan.discriminator_step(real, noise)
    assert changed(before, gan.generator, gan.discriminator) == [False] * 4 + [True] * 4

    before = snapshot(gan.generator, gan.discriminator)
    gan.generator_step(noise)
    assert changed(before, gan.generator, gan.discriminator) == [True] * 4 + [False] * 4
    assert gan.generator_adam.steps == gan.discriminator_adam.steps == 1


def test_each_step_lowers_the_loss_that_it_returns(sample):
    gan, (real, noise) = small_gan(lrs=(1e-4, 1e-4)), digits_and_noise(sample)

    for step in (lambda: gan.discriminator_step(real, noise), lambda: gan.generator_step(noise)):
        losses = [step() for _ in range(5)]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < losses[0]


def test_a_discriminator_left_alone_learns_to_tell_digits_from_fakes(sample):
    gan, (real, noise) = small_gan(), digits_and_noise(sample)
    for _ in range(100):
        gan.discriminator_step(real, noise)

    logits = gan.discriminator.forward(discriminator_batch(real, gan.generator.forward(noise))[0])
    assert (logits[:20] > 0).all()
    assert (logits[20:] < 0).all()


def test_the_gradient_of_the_generator_through_the_discriminator_is_the_slope():
    gan, rng = small_gan(hidden=(8, 9)), np.random.default_rng(0)
    batch = generator_batch(rng.standard_normal((6, NOISE)))

    checks = gradcheck.check_network(gan.combined, binary_cross_entropy, *batch, rng=rng, probes=40)

    assert list(checks) == [name for name, _ in gan.combined.parameters()]
    assert all(check.ok for check in checks.values()), checks


def test_an_epoch_of_pytorchs_loop_is_an_epoch_of_ours(sample):
    gan, (real, _) = small_gan(), digits_and_noise(sample, n_images=70)
    theirs = torch_gan.to_torch(gan)
    rng, draws, losses = np.random.default_rng(2), [], np.zeros(2)

    for images in (real[:32], real[32:64], real[64:]):
        noise = rng.standard_normal((2, len(images), NOISE))  # (2,B,Z)
        each = gan.discriminator_step(images, noise[0]), gan.generator_step(noise[1])
        losses += len(images) * np.array(each)
        draws += list(torch.from_numpy(noise))
    pictures = torch.from_numpy((real + 1) / 2).view(-1, 1, 28, 28)
    loader = DataLoader(TensorDataset(pictures, torch.zeros(70)), batch_size=32)
    their_losses = torch_gan.train_epoch(
        theirs, torch.nn.BCEWithLogitsLoss(), loader, lambda _: draws.pop(0)
    )

    assert not draws
    np.testing.assert_allclose(their_losses, losses / 70, rtol=1e-12)
    for (name, ours), (_, torchs) in zip(
        gan.combined.parameters(), parameters(theirs.combined), strict=True
    ):
        np.testing.assert_allclose(torchs, ours, rtol=0, atol=1e-12, err_msg=name)
