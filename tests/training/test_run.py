"""A run on a clock of its own, and whatever happens to it: nothing lost, nothing counted twice."""

import json
import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest

import scratchnet.train
from scratchnet import SGD
from scratchnet.errors import CheckpointError, NumericError, Stopped
from scratchnet.training import checkpoint, classifier_run, progress
from scratchnet.training.classifier_run import load_classifier
from scratchnet.training.config import TrainConfig
from scratchnet.training.run_folder import RunFolder, open_run_folder
from tests.conftest import rows_of

# 525 images: 11 batches, the last of 25.
OPTIONS = ("--batch-size", 50, "--hidden", 8, "--epochs", 2)


def train(folder, out, *options):
    """Run the command in this process."""
    words = ("--data-dir", folder, "--out", out, "--no-plots", *options)
    scratchnet.train.main([str(word) for word in words])


def epoch_of(out):
    """The epoch under way in a checkpoint."""
    return checkpoint.load(out / "model.safetensors")[1]["epoch"]


@pytest.fixture
def in_step(monkeypatch):
    """A list of functions, to be called with the optimiser and the number of its step after it."""
    functions, count, step = [], iter(range(1, 10_000)), SGD.step

    def step_and_more(self):
        step(self)
        number = next(count)
        for function in functions:
            function(self, number)

    monkeypatch.setattr(SGD, "step", step_and_more)
    return functions


@pytest.fixture
def clock(in_step, monkeypatch):
    """A clock on which a step of the optimiser takes half a second, and an evaluation an hour."""
    clock, evaluate = SimpleNamespace(now=0.0), classifier_run.evaluate

    def in_an_hour(*args):
        clock.now += 3600
        return evaluate(*args)

    def half_a_second(optimiser, number):
        clock.now += 0.5

    in_step.append(half_a_second)
    monkeypatch.setattr(classifier_run, "evaluate", in_an_hour)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


@pytest.mark.parametrize("stopped_in", [None, 3, 15])
def test_the_seconds_are_those_of_training_alone_however_often_it_is_stopped(
    digits_folder, tmp_path, clock, in_step, stopped_in
):
    def stop(_, number):
        if number == stopped_in:
            os.kill(os.getpid(), signal.SIGTERM)

    in_step.append(stop)
    if stopped_in is None:
        train(digits_folder, tmp_path, *OPTIONS)
    else:
        with pytest.raises(Stopped):
            train(digits_folder, tmp_path, *OPTIONS)
        clock.now += 86_400
        train(digits_folder, tmp_path, "--resume", tmp_path / "model.safetensors")
    for row in rows_of(tmp_path / "history.csv"):  # 525 images in 11 steps
        assert (row["seconds"], row["images_per_second"]) == ("5.5", "95")
    assert json.loads((tmp_path / "metrics.json").read_text())["train_seconds"] == 11


def test_weights_that_are_no_longer_finite_are_not_saved_by_ctrl_c(
    digits_folder, tmp_path, in_step
):
    def break_and_stop(optimiser, number):
        if number == 15:  # in the second epoch, before any loss could tell
            optimiser.network.parametric_layers[-1].b[3] = np.inf
            os.kill(os.getpid(), signal.SIGINT)

    in_step.append(break_and_stop)
    with pytest.raises(NumericError, match=r"linear2\.b .* holds the last good epoch"):
        train(digits_folder, tmp_path, *OPTIONS)
    assert epoch_of(tmp_path) == 2


def test_an_epoch_whose_history_cannot_be_written_is_not_done(digits_folder, tmp_path, monkeypatch):
    write_history = RunFolder.write_history

    def full(self, history, scores):
        if len(history) == 2:
            raise OSError(28, "No space left on device")
        write_history(self, history, scores)

    monkeypatch.setattr(RunFolder, "write_history", full)
    with pytest.raises(OSError, match="No space left"):
        train(digits_folder, tmp_path, *OPTIONS)
    assert epoch_of(tmp_path) == 2


def test_a_history_that_is_ahead_of_its_checkpoint_is_cut_back(digits_folder, tmp_path):
    """As a process leaves them that was killed after the history and before the checkpoint."""
    model = tmp_path / "model.safetensors"
    train(digits_folder, tmp_path, *OPTIONS, "--epochs", 1)
    shutil.copy(model, tmp_path / "older")
    train(digits_folder, tmp_path, "--resume", model, "--epochs", 2)
    expected = [list(row.values())[:4] for row in rows_of(tmp_path / "history.csv")]
    shutil.move(tmp_path / "older", model)
    train(digits_folder, tmp_path, "--resume", model, "--epochs", 2)
    assert [list(row.values())[:4] for row in rows_of(tmp_path / "history.csv")] == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 0}, "its epoch: 0 must be at least 1"),
        ({"epoch": -1}, "its epoch: -1 must be at least 1"),
        ({"under_way": {"batch": -1, "loss_sum": 0, "seconds": 0}}, "its batch: -1 must be"),
        ({"under_way": {"batch": 0, "loss_sum": 0}}, "it has no 'seconds'"),
    ],
    ids=str,
)
def test_a_checkpoint_that_stands_where_no_run_can_is_refused(small_run, tmp_path, change, words):
    tensors, state = checkpoint.load(small_run / "model.safetensors")
    checkpoint.save(tmp_path / "forged", tensors, state | change)
    with pytest.raises(CheckpointError, match=words):
        load_classifier(tmp_path / "forged")


def test_a_folder_belongs_to_one_run_until_that_ends(tmp_path):
    config = TrainConfig(out=str(tmp_path))
    with open_run_folder(config), pytest.raises(BlockingIOError), open_run_folder(config):
        pass
    with open_run_folder(config):
        pass


def test_a_dry_run_takes_one_batch_of_one_epoch(digits_folder, capsys):
    scratchnet.train.main(["--data-dir", str(digits_folder), "--dry-run", "--no-plots"])
    assert capsys.readouterr().out.count("images/s") == 1
