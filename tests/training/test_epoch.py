"""An epoch by each engine: which images it is shown, at which learning rate, with which noise."""

from types import SimpleNamespace

import numpy as np

from scratchnet import MLP, SGD
from scratchnet.data import Split
from scratchnet.training import compilation
from scratchnet.training.config import GANConfig, TrainConfig
from scratchnet.training.epoch import ENGINES, adversarial
from scratchnet.training.gan_run import GANProgress
from scratchnet.training.progress import Progress

NEVER_STOPPED = SimpleNamespace(honour=lambda: None)


def test_the_fused_engine_follows_augmentation_and_learning_rate_as_the_layers_do(sample):
    few = Split(sample.train.images[::8], sample.train.labels[::8])  # 500
    config = TrainConfig(augment=True, lr_decay=0.5, momentum=0.5, hidden=[16])
    ends = []
    for engine in ENGINES.values():
        network = MLP((784, 16, 10), rng=np.random.default_rng(0))
        sgd = SGD(network, config.lr, config.momentum)
        train_one_epoch = engine(network, sgd, config, few)
        for epoch in (1, 2):
            train_one_epoch(epoch, Progress("", 500, config.batch_size, 500, NEVER_STOPPED))
        ends.append(np.concatenate([p.ravel() for _, p in network.parameters()]))
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-5)


def test_a_gan_is_shown_every_image_from_minus_1_to_1_and_new_noise_in_each_step(
    sample, monkeypatch
):
    images = sample.train.images[:: 4000 // 50]  # 50: batches of 20, 20 and 10
    real, noise = [], []

    def discriminator_step(x, z):
        real.append(x)
        noise.append(z)
        return 0.5

    def generator_step(z):
        noise.append(z)
        return 0.5

    gan = SimpleNamespace(
        discriminator_step=discriminator_step,
        generator_step=generator_step,
        generator=SimpleNamespace(forward=lambda z: z),
    )
    config = GANConfig(batch_size=20, noise=7)
    monkeypatch.setattr(compilation, "rehearse_gan", lambda *_: None)  # it takes steps, too
    train_one_epoch = adversarial(gan, config, images)
    noise.clear()  # of the steps that were taken to compile what they call
    for epoch in (1, 2):
        real.clear()
        train_one_epoch(epoch, GANProgress("", 50, 20, 500, NEVER_STOPPED))
        found = np.concatenate(real)  # (50,784)
        expected = images.reshape(50, 784) / 127.5 - 1
        np.testing.assert_allclose(
            found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], rtol=0, atol=1e-6
        )
    assert [len(z) for z in noise] == 2 * [20, 20, 20, 20, 10, 10]
    assert len({tuple(z[0]) for z in noise}) == len(noise) == 12
