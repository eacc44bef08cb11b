"""GAN metrics: what the classifier counts, and that the distance is the one of the paper."""

import numpy as np
import pytest
from scipy import linalg

from scratchnet import MLP, data
from scratchnet.data import to_unit_interval
from scratchnet.evaluation.gan_metrics import GANMetrics, frechet_distance
from scratchnet.training.classifier_run import load_network


def test_the_distance_is_that_of_the_formula_with_a_matrix_root():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((500, 8)) @ rng.standard_normal((8, 8))
    b = rng.standard_normal((300, 8)) @ rng.standard_normal((8, 8)) + 1
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    apart = a.mean(axis=0) - b.mean(axis=0)
    expected = apart @ apart + np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_a_shift_by_three_is_a_distance_of_nine_also_with_dead_features():
    features = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    features[:, 1:3] = 0  # a ReLU that is always off
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-7)
    shifted = features.copy()
    shifted[:, 2] += 3
    assert frechet_distance(features, shifted) == pytest.approx(9, abs=1e-7)


@pytest.fixture(scope="module")
def metrics(classifier_run, sample):
    return GANMetrics(load_network(classifier_run), sample.test.images)


def test_digits_are_counted_that_it_is_confident_of_by_its_prediction(metrics, sample):
    score = metrics(sample.test.images)
    assert 0.05 < score.confident < 0.95
    assert sum(score.digits) == pytest.approx(score.confident)
    p = []
    for image in sample.test.images[:2000]:  # one by one, by the book
        z = metrics.network.forward(image.reshape(1, 784).astype(np.float32) / 255)[0]
        p.append(np.exp(z - z.max()) / np.exp(z - z.max()).sum())
    confident = [probabilities.argmax() for probabilities in p if probabilities.max() > 0.9]
    assert score.digits == [confident.count(digit) / len(p) for digit in range(10)]


def test_images_in_their_thousands_are_counted_once_each(sample):
    network = MLP((784, 6, 10), rng=np.random.default_rng(0))
    images = np.concatenate([sample.train.images[:1500:3], sample.test.images[:501]])
    metrics = GANMetrics(network, images)
    assert metrics.real.shape == (1001, 6)
    network.forward(to_unit_interval(images))
    np.testing.assert_allclose(metrics.real, network.parametric_layers[-1].x, atol=1e-6)


def test_real_digits_are_nearer_than_corrupted_ones_and_one_digit_again_and_again_is_far(
    metrics, sample
):
    same, other = metrics(sample.test.images), metrics(sample.train.images)
    once = metrics(np.repeat(sample.test.images[:1], 1000, axis=0))
    noise = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
    assert same.distance == pytest.approx(0, abs=1e-4)
    assert same.distance < other.distance < min(once.distance, metrics(noise).distance)


def test_the_features_are_what_enters_the_last_layer(metrics, sample):
    images = sample.train.images[::40]  # (100,28,28)
    first, *_ = metrics.network.parametric_layers
    features = [  # of the one hidden layer
        np.maximum(data.to_unit_interval(x) @ first.W + first.b, 0)  # (N,32)
        for x in (images, sample.test.images)
    ]
    assert metrics(images).distance == pytest.approx(frechet_distance(*features), rel=1e-4)


def test_the_confident_share_is_the_same_without_the_distance(metrics, sample):
    images = sample.train.images[::40]
    assert metrics.confident_share(images) == metrics(images).confident


def test_one_real_image_is_refused_and_one_feature_is_enough(metrics, sample):
    with pytest.raises(ValueError, match="two real images"):
        GANMetrics(metrics.network, sample.test.images[:1])
    a, b = np.random.default_rng(0).standard_normal((2, 100, 1))
    assert frechet_distance(a, b) > 0
