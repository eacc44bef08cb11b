"""Learning rates that explode are 5 and keep the last good epoch; dull images are no error."""

import json
import re

import numpy as np
import pytest

from scratchnet import data
from scratchnet.training import checkpoint
from tests.conftest import run_module, write_idx_folder
from tests.faults.catalogue import assert_one_line, refused, train


@pytest.mark.parametrize("engine", ["layered", "fused"])
def test_a_learning_rate_of_a_million_is_5_and_names_the_step_and_the_loss(
    digits_folder, tmp_path, engine
):
    words = train(digits_folder, tmp_path, "--lr", 1e6, "--engine", engine)
    shown = refused(5, ["try a lower --lr", "no epoch was saved"], *words, keeping=digits_folder)
    assert re.match(r"the loss is (nan|inf) at Epoch \[1/10\], step \d+;", shown.stderr)


def test_a_loss_that_explodes_later_is_5_and_keeps_the_last_good_epoch(digits_folder, tmp_path):
    # Each step is 1.1 times the last: an epoch or two go well.
    options = ("--lr", 1e-4, "--momentum", 1.1, "--batch-size", 64, "--epochs", 200, "--hidden", 8)
    shown = run_module(*train(digits_folder, tmp_path, *options))
    assert_one_line(shown, 5, [str(tmp_path / "model.safetensors"), "holds the last good epoch"])
    done = len(re.findall(r"images/s$", shown.stdout, re.M))
    assert done >= 1
    _, state = checkpoint.load(tmp_path / "model.safetensors")
    epochs = [row.split(",")[0] for row in (tmp_path / "history.csv").read_text().split()[1:]]
    assert epochs == [str(epoch) for epoch in range(1, state["epoch"])]


def test_a_loss_that_explodes_with_the_last_step_is_5(digits_folder, tmp_path):
    options = ("--lr", 1e30, "--batch-size", 10_000, "--epochs", 1, "--val-size", 0)
    words = train(digits_folder, tmp_path, *options)
    refused(5, "try a lower --lr", *words, keeping=digits_folder)


def split(sample, kind):
    images, labels = sample.train.images[::40].copy(), sample.train.labels[::40].copy()
    if kind == "all zero":
        images[:] = 0
    if kind == "all constant":
        images[:] = 255
    if kind == "of one class":
        labels[:] = 7
    n = 1 if kind == "a single one" else len(labels)
    return data.Split(images[-n:], labels[-n:])


def train_on(dull, tmp_path, *options):
    folder = tmp_path / "data"
    folder.mkdir()
    write_idx_folder(folder, dull, dull)
    words = ("--data-dir", folder, "--out", tmp_path / "out", "--epochs", 2, "--hidden", 8)
    shown = run_module("scratchnet.train", *words, *options)
    assert (shown.returncode, shown.stderr) == (0, "")
    return tmp_path / "out"


@pytest.mark.parametrize("engine", ["layered", "fused"])
@pytest.mark.parametrize("kind", ["all zero", "all constant", "of one class", "a single one"])
def test_images_from_which_nothing_can_be_learned_are_no_error(sample, tmp_path, kind, engine):
    out = train_on(split(sample, kind), tmp_path, "--engine", engine, "--no-plots")
    assert np.isfinite(json.loads((out / "metrics.json").read_text())["test_loss"])


@pytest.mark.parametrize("kind", ["all zero", "a single one"])
def test_of_images_from_which_nothing_can_be_learned_the_figures_are_drawn(sample, tmp_path, kind):
    out = train_on(split(sample, kind), tmp_path)
    assert len(list((out / "figures").iterdir())) == 5
