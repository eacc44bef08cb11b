"""Sheets of small images and their animation: every pixel where it belongs."""

import numpy as np
import pytest
from PIL import Image

from scratchnet.evaluation import image_grid
from scratchnet.evaluation.image_grid import make_grid


def test_images_stand_row_by_row_dark_on_white_with_gaps_between(sample):
    images = sample.train.images[::800]  # five
    sheet = make_grid(images, 3)
    assert sheet.shape == (2 * 30 + 2, 3 * 30 + 2)
    assert (sheet[[0, 1, 30, 31]] == 255).all()
    for i, image in enumerate(images):
        top, left = 2 + 30 * (i // 3), 2 + 30 * (i % 3)
        np.testing.assert_array_equal(255 - sheet[top : top + 28, left : left + 28], image)
    assert (sheet[32:, 62:] == 255).all()  # there is no sixth


def test_an_animation_shows_every_sheet_with_its_title_and_waits_at_the_end(sample, tmp_path):
    sheets = [make_grid(sample.train.images[i : i + 4], 2) for i in (0, 400, 800)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for sheet, path in zip(sheets, paths, strict=True):
        image_grid.save(sheet, path)
    image_grid.animate(paths, ["epoch 0", "epoch 1", "epoch 2"], tmp_path / "all.gif")
    captions = set()
    with Image.open(tmp_path / "all.gif") as animation:
        assert animation.n_frames == 3
        assert animation.info["loop"] == 0
        for i, sheet in enumerate(sheets):
            animation.seek(i)
            assert animation.info["duration"] == (2000 if i == 2 else 250)
            frame = np.asarray(animation.convert("L"))
            np.testing.assert_array_equal(frame[: len(sheet)], sheet)
            captions.add(frame[len(sheet) :].tobytes())
    assert len(captions) == 3


def test_a_sheet_that_cannot_be_written_leaves_the_old_file_whole(sample, tmp_path):
    path = tmp_path / "sheet.png"
    image_grid.save(make_grid(sample.train.images[:1], 1), path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="no_folder"):
        image_grid.save(make_grid(sample.train.images[:4], 2), tmp_path / "no_folder" / "a.png")
    assert path.read_bytes() == before
