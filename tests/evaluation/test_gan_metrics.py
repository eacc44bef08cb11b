"""The judge of generated digits: what it counts, and that its distance is the one of the paper."""

import numpy as np
import pytest
from scipy import linalg

from scratchnet.evaluation.gan_metrics import Judge, frechet_distance
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
def judge(reader, sample):
    return Judge(load_network(reader), sample.test.images)


def test_digits_are_counted_that_it_is_sure_of_by_what_it_takes_them_for(judge, sample):
    verdict = judge(sample.test.images)
    assert 0.05 < verdict.recognised < 0.95
    assert sum(verdict.digits) == pytest.approx(verdict.recognised)
    assert judge.recognised(sample.test.images) == verdict.recognised
    p = []
    for image in sample.test.images[:2000]:  # one by one, by the book
        z = judge.network.forward(image.reshape(1, 784).astype(np.float32) / 255)[0]
        p.append(np.exp(z - z.max()) / np.exp(z - z.max()).sum())
    sure = [probabilities.argmax() for probabilities in p if probabilities.max() > 0.9]
    assert verdict.digits == [sure.count(digit) / len(p) for digit in range(10)]


def test_real_digits_are_nearer_than_corrupted_ones_and_one_digit_again_and_again_is_far(
    judge, sample
):
    same, other = judge(sample.test.images), judge(sample.train.images)
    once = judge(np.repeat(sample.test.images[:1], 1000, axis=0))
    noise = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
    assert same.distance == pytest.approx(0, abs=1e-4)
    assert same.distance < other.distance < min(once.distance, judge(noise).distance)


def test_one_real_image_is_refused_and_one_feature_is_enough(judge, sample):
    with pytest.raises(ValueError, match="two real images"):
        Judge(judge.network, sample.test.images[:1])
    a, b = np.random.default_rng(0).standard_normal((2, 100, 1))
    assert frechet_distance(a, b) > 0
