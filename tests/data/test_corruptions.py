"""Degraded digits: each strength does what it says, and nothing depends on hidden state."""

import numpy as np
import pytest
from scipy import ndimage

from scratchnet.data.corruptions import CORRUPTIONS, MILD, augmented, corrupt

EACH = pytest.mark.parametrize("name", CORRUPTIONS)


def corrupted(images, name, strength, seed=0):
    return corrupt(images, name, strength, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def digits(sample):
    return sample.test.images[::10]  # (100,28,28)


@EACH
def test_strength_0_changes_nothing(digits, name):
    assert (corrupted(digits, name, 0) == digits).all()


@EACH
def test_the_five_strengths_take_digits_further_and_further_away(digits, name):
    distances = []
    for strength in CORRUPTIONS[name].strengths:
        seen = corrupted(digits, name, strength)
        assert seen.dtype == np.uint8
        distances.append(np.square(seen - digits.astype(float)).mean())
    assert len(distances) == 5
    assert distances == sorted(set(distances))


@EACH
def test_the_same_generator_gives_the_same_images_and_leaves_the_digits_alone(digits, name):
    before = digits.copy()
    strength = CORRUPTIONS[name].strengths[-1]
    assert (corrupted(digits, name, strength) == corrupted(digits, name, strength)).all()
    assert (digits == before).all()


@EACH
def test_no_image_is_as_good_as_one(digits, name):
    assert corrupted(digits[:0], name, CORRUPTIONS[name].strengths[0]).shape == (0, 28, 28)


def test_noise_has_the_standard_deviation_it_names():
    grey = np.full((50, 28, 28), 128, np.uint8)
    assert corrupted(grey, "noise", 0.1).std() == pytest.approx(25.5, rel=0.02)


def test_blur_spreads_a_point_by_its_standard_deviation():
    point = np.zeros((1, 28, 28), np.uint8)
    point[0, 14, 14] = 255
    blurred = corrupted(point, "blur", 1.5)[0].astype(float)
    spread = (blurred.sum(axis=1) * (np.arange(28) - 14) ** 2).sum() / blurred.sum()
    assert spread == pytest.approx(1.5**2, rel=0.1)


def test_shift_moves_the_centre_of_each_digit_so_far_in_a_direction_of_its_own(digits):
    moved = corrupted(digits, "shift", 3)
    ways = np.array(
        [
            np.subtract(ndimage.center_of_mass(after), ndimage.center_of_mass(before))
            for before, after in zip(digits, moved, strict=True)
        ]
    )
    assert np.hypot(*ways.T)[:20] == pytest.approx(3, abs=0.01)  # later ones are cut at the edge
    assert len(np.unique(ways.round(3), axis=0)) == len(digits)


def test_rotation_turns_some_digits_one_way_and_some_the_other(digits):
    turned = corrupted(digits, "rotation", 90)
    lefts = [
        (after == np.rot90(before)).all() for before, after in zip(digits, turned, strict=True)
    ]
    rights = [
        (after == np.rot90(before, -1)).all() for before, after in zip(digits, turned, strict=True)
    ]
    assert sum(lefts) + sum(rights) == len(digits)
    assert min(sum(lefts), sum(rights)) > len(digits) / 4


@pytest.mark.parametrize(("name", "strength"), [("shift", 3.5), ("rotation", 20)])
def test_moved_digits_are_interpolated_linearly_between_their_pixels(digits, name, strength):
    black_and_white = np.where(digits > 127, 200.0, 100.0).astype(np.float32)
    moved = CORRUPTIONS[name].apply(black_and_white, strength, np.random.default_rng(0))

    between = moved[:, 9:19, 9:19]  # no black has come in here from outside
    assert between.min() >= 100 - 1e-3  # a spline would overshoot
    assert between.max() <= 200 + 1e-3
    assert len(np.unique(between.round())) > 50  # the nearest pixel would be one of the two


def test_contrast_moves_every_pixel_that_share_of_the_way_to_the_mean(digits):
    faded = corrupted(digits, "contrast", 0.7)
    mean = digits.mean(axis=(1, 2), keepdims=True)
    assert np.abs(faded - (mean + 0.3 * (digits - mean))).max() <= 0.5 + 1e-4


def test_occlusion_blacks_out_one_whole_square_in_each_image():
    white = np.full((50, 28, 28), 255, np.uint8)
    hidden = corrupted(white, "occlusion", 9) == 0
    assert (hidden.sum(axis=(1, 2)) == 81).all()
    assert (hidden.any(axis=1).sum(axis=1) == 9).all()
    assert (hidden.any(axis=2).sum(axis=1) == 9).all()
    assert len(np.unique(hidden, axis=0)) > 25


def test_occlusion_falls_on_every_place_where_its_square_fits():
    white = np.full((4000, 28, 28), 255, np.uint8)
    hidden = corrupted(white, "occlusion", 24) == 0  # there are 5 x 5 places
    assert len(np.unique(hidden[:, :5, :5], axis=0)) == 25
    assert len(np.unique(hidden, axis=0)) == 25


@pytest.mark.parametrize("name", ["shift", "rotation"])
def test_what_comes_in_from_outside_is_black(name):
    white = np.full((20, 28, 28), 255, np.uint8)
    moved = corrupted(white, name, CORRUPTIONS[name].strengths[-1])
    assert (moved == 0).any(axis=(1, 2)).all()


class TestAnAugmentedEpoch:
    def test_is_a_pure_function_of_seed_and_epoch(self, sample):
        images = sample.train.images[:200].copy()
        epoch = augmented(images, seed=1, epoch=2)
        assert (epoch == augmented(images, seed=1, epoch=2)).all()
        assert (epoch != augmented(images, seed=1, epoch=3)).any()
        assert (epoch != augmented(images, seed=2, epoch=2)).any()
        assert (images == sample.train.images[:200]).all()

    def test_leaves_one_image_in_thirteen_as_it_is_and_each_at_its_place(self, sample):
        images = sample.train.images
        seen = augmented(images, seed=0, epoch=1)
        same = (seen == images).all(axis=(1, 2))
        # A weak square may fall where there is no ink, so a few more look untouched.
        assert 1 / 13 - 0.02 < same.mean() < 1 / 13 + 0.06
        a, b = (x.reshape(len(x), -1) - x.mean(axis=(1, 2))[:, None] for x in (images, seen))
        likeness = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
        assert np.median(likeness) > 0.8

    def test_knows_the_mild_strengths_only(self, sample, monkeypatch):
        used = set()

        def spy(images, name, strength, rng):
            if len(images):
                used.add((name, strength))
            return images

        monkeypatch.setattr("scratchnet.data.corruptions.corrupt", spy)
        augmented(sample.train.images[:500], seed=0, epoch=1)
        mild = {(name, s) for name, d in CORRUPTIONS.items() for s in d.strengths[:MILD]}
        assert used == mild
