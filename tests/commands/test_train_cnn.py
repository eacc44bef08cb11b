"""The commands with the convolutional network: trained, stopped, resumed, predicted with."""

import json
import signal

import numpy as np
import pytest
from PIL import Image

from scratchnet.errors import CheckpointError
from scratchnet.training.classifier_run import load_network
from tests.commands.test_train import assert_same_weights, interrupt, train
from tests.conftest import run_module

OPTIONS = ("--model", "cnn", "--epochs", 2, "--batch-size", 9)


@pytest.fixture(scope="module")
def finished(digits_folder, tmp_path_factory):
    """A run that nobody disturbed: its folder and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    shown = train(digits_folder, out, *OPTIONS)
    assert shown.returncode == 0, shown.stderr
    return out, shown


def test_a_run_says_what_it_trains_and_leaves_its_figures(finished):
    out, shown = finished
    assert "net     1x28x28-16C5-MP2-32C5-MP2-1568-128-10" in shown.stdout
    assert "conv2     32 x 16 x 5 x 5 + 32     12,832 parameters" in shown.stdout
    assert json.loads((out / "config.json").read_text())["options"]["momentum"] == 0.9
    for name in ("filters", "features", "curves", "mistakes"):
        assert np.asarray(Image.open(out / "figures" / f"{name}.png")).std() > 0
    assert json.loads((out / "metrics.json").read_text())["test_accuracy"] > 0.5


def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_bits(
    finished, digits_folder, tmp_path
):
    code, stderr = interrupt(digits_folder, tmp_path, signal.SIGTERM, "[2/2], Step [3/", *OPTIONS)
    assert code == 143
    resumed = run_module(*stderr.partition("python -m ")[2].split(), "--no-plots")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_weights(tmp_path, finished[0])


def test_a_digit_is_predicted_as_by_the_network_that_was_trained(finished, sample, tmp_path):
    Image.fromarray(sample.test.images[0]).save(tmp_path / "digit.png")
    model = finished[0] / "model.safetensors"
    shown = run_module("scratchnet.predict", tmp_path / "digit.png", "--model", model, "--json")
    assert shown.returncode == 0, shown.stderr
    (answer,) = json.loads(shown.stdout)
    x = sample.test.images[:1].reshape(1, 784).astype(np.float32) / 255
    assert answer["digit"] == load_network(model).forward(x).argmax()


def test_the_fused_engine_is_refused_in_one_line(digits_folder, tmp_path):
    shown = train(digits_folder, tmp_path, "--model", "cnn", "--engine", "fused")
    assert shown.returncode == 2
    assert shown.stderr == "--engine fused trains an mlp only, no cnn\n"


def test_a_checkpoint_is_not_resumed_as_another_model(finished, digits_folder):
    model = finished[0] / "model.safetensors"
    shown = run_module(
        "scratchnet.train", "--resume", model, "--model", "mlp", "--data-dir", digits_folder
    )
    assert shown.returncode == 4
    assert "--model mlp (there cnn)" in shown.stderr


def test_a_checkpoint_whose_model_was_changed_is_refused(finished, tmp_path):
    content = (finished[0] / "model.safetensors").read_bytes()
    assert content.count(b'\\"model\\": \\"cnn\\"') == 1
    forged = tmp_path / "forged.safetensors"
    forged.write_bytes(content.replace(b'\\"cnn\\"', b'\\"mlp\\"'))
    with pytest.raises(CheckpointError, match="damaged"):
        load_network(forged)
