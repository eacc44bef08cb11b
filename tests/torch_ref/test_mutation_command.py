"""The command `python -m torch_ref.mutation` measures every bug, and fails for one that hides."""

import dataclasses
import json
import re
import runpy
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import scratchnet
from scratchnet.checking.bugs import BUGS, Bug
from scratchnet.checking.planting import import_planted
from scratchnet.cli import entry
from torch_ref import data
from torch_ref.mutation import __main__ as mutation
from torch_ref.mutation import detection
from torch_ref.mutation.detection import RIGHTS

MLP_BUG, GAN_BUG = (next(bug for bug in BUGS if bug.model == model) for model in ("mlp", "gan"))
HIDDEN = MLP_BUG._replace(name="hides", edits=tuple((right, right) for right, _ in MLP_BUG.edits))


@pytest.fixture
def measure(digits_folder, tmp_path, monkeypatch):
    """A function that runs the command on some bugs, and returns the rows of its results."""
    monkeypatch.setattr(mutation, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(mutation, "RIGHTS", RIGHTS[:1])
    pictures, test, found = data.load("auto", digits_folder)
    found = dataclasses.replace(found, name="mnist")  # results of others are not kept
    monkeypatch.setattr(mutation.data, "load", lambda *_: (pictures, test, found))

    def run(*bugs):
        monkeypatch.setattr(mutation, "BUGS", bugs)
        mutation.main(["--data-dir", str(digits_folder)])
        return json.loads((tmp_path / "results.json").read_text())["rows"]

    return run


def test_each_bug_is_trained_and_detected_beside_the_right_network(measure, capsys):
    right, mlp, gan = measure(MLP_BUG, GAN_BUG)

    shown = capsys.readouterr().out
    assert (right["bug"], right["wrong_tensor"], right["factor"]) == ("None", None, None)
    assert 0.1 < right["test_accuracy"] < 0.9  # two epochs on 572 images
    for row, bug in ((mlp, MLP_BUG), (gan, GAN_BUG)):
        assert (row["bug"], row["model"], row["file"]) == (bug.name, bug.model, bug.file)
        assert row["edits"] == [list(edit) for edit in bug.edits]
        assert row["factor"] == "inf" or row["factor"] > 1e6
        assert f"{bug.model}: {bug.name}: {row['wrong_tensor']}, " in shown
    assert 0 <= mlp["test_accuracy"] <= 1
    assert len(gan["losses"]) == 2


def test_a_bug_that_is_not_detected_ends_the_command_with_1(measure):
    with pytest.raises(SystemExit) as stop:
        measure(HIDDEN)

    assert stop.value.code == 1


@pytest.mark.parametrize(("name", "ran"), [("__main__", [mutation.main]), ("torch_ref.zoo", [])])
def test_its_former_name_is_the_same_command(name, ran, monkeypatch):
    commands = []
    monkeypatch.setattr(entry, "run", commands.append)
    runpy.run_module("torch_ref.zoo", run_name=name)
    assert commands == ran


def test_planting_leaves_no_module_of_the_copy_behind(monkeypatch):
    monkeypatch.delitem(sys.modules, "scratchnet.nn.gan")

    assert import_planted(MLP_BUG).nn.gan
    assert "scratchnet.nn.gan" not in sys.modules


def test_a_bug_that_makes_no_matrix_product_of_its_shapes_is_detected_by_that(digits, pictures):
    edit = ("self.matmul(dy, self.W.T)", "self.matmul(dy, self.W)")
    planted = import_planted(Bug("not transposed", "mlp", "nn/layers.py", (edit,)))

    assert detection.detect(planted, digits, pictures) == ("a shape", np.inf)


@pytest.mark.parametrize("right", RIGHTS[:2], ids=lambda right: right.model)
def test_the_probes_are_pre_activations_of_0_and_logits_in_the_thousands(right, digits, pictures):
    *_, zeros, huge = detection._steps(import_planted(right), digits, pictures, right.model)

    hidden = [name for name in zeros.ours if re.fullmatch(r"z\d", name)]
    assert len(hidden) >= 2
    assert not any(zeros.ours[z][:, 0].any() for z in hidden)
    assert np.abs(huge.ours["logits"]).max() > 1000


def test_the_probes_of_a_gan_are_the_same(digits, pictures):
    gan = RIGHTS[4]
    *_, zeros, _, huge, _ = detection._gan_steps(import_planted(gan), digits, pictures, gan.model)

    assert not zeros.ours["z1"][:, 0].any()  # of the discriminator, whose turn it is
    assert np.abs(huge.ours["logits"]).max() > 1000


def test_another_data_set_than_mnist_and_its_sample_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mutation, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(mutation, "measure", lambda *_: [])
    with pytest.raises(SystemExit) as stop:
        mutation.main(["--dataset", "cifar"])

    assert stop.value.code == 2
    assert "--dataset: invalid choice: 'cifar'" in capsys.readouterr().err


def test_the_losses_of_a_gan_are_the_means_of_its_last_epoch(sample, monkeypatch):
    epochs = []

    def train_gan_epoch(gan, batches, progress):
        epochs.append(len(epochs) + 1)
        for number, (real, noise) in enumerate(batches):
            assert (real.min(), real.max()) == (-1, 1)
            assert noise.shape == (2, len(real), detection.NOISE)
            progress.record(epochs[-1] + number, np.nan, len(real))

    epoch = SimpleNamespace(train_gan_epoch=train_gan_epoch)
    planted = SimpleNamespace(data=scratchnet.data, training=SimpleNamespace(epoch=epoch))
    monkeypatch.setattr(detection, "build", lambda *_: None)

    assert detection.losses_after_training(planted, sample) == [2 + np.mean(range(125)), None]
    assert epochs == [1, 2]
