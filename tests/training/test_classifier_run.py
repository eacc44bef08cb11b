"""What of the training images is held out to validate."""

import dataclasses

import numpy as np
import pytest

from scratchnet import data
from scratchnet.training.classifier_run import hold_out_validation
from scratchnet.training.config import TrainConfig


@pytest.mark.parametrize(
    ("name", "n", "held_out"), [("mnist", 60_000, 5000), ("custom", 60, 5), ("sample", 4000, 480)]
)
def test_one_image_in_twelve_is_held_out_and_of_the_sample_480(sample, name, n, held_out):
    dots = data.Split(np.zeros((n, 1, 1), np.uint8), np.zeros(n, int))
    dataset = dataclasses.replace(sample, name=name, train=dots)
    config, training, validation = hold_out_validation(dataset, TrainConfig())
    assert config.val_size == len(validation.labels) == held_out
    assert len(training.labels) == n - held_out


def test_the_seed_decides_which(sample):
    for seed in (0, 3):
        _, *found = hold_out_validation(sample, TrainConfig(seed=seed))
        for split, expected in zip(found, data.hold_out(sample.train, 480, seed), strict=True):
            np.testing.assert_array_equal(split.images, expected.images)
