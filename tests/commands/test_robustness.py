"""The command that measures trained networks on corrupted digits."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from scratchnet import data, robustness
from scratchnet.data.corruptions import CORRUPTIONS, corrupt
from scratchnet.evaluation import plots
from scratchnet.training.classifier_run import load_network
from tests.conftest import rows_of, run_module
from tests.faults.catalogue import assert_one_line

ALL = [("clean", 0)] + [(name, s) for name, d in CORRUPTIONS.items() for s in d.strengths]


def measure(folder, out, *models, **kwargs):
    options = ("--data-dir", folder, "--out", out, "--model", *models)
    return run_module("scratchnet.robustness", *options, **kwargs)


def table(out):
    return rows_of(out / "accuracy.csv")


@pytest.fixture(scope="module")
def runs(digits_folder, tmp_path_factory):
    """Two little runs, one of them on augmented images."""
    folder = tmp_path_factory.mktemp("runs")
    for name, options in (("plain", ()), ("augmented", ("--augment",))):
        shown = run_module(
            *("scratchnet.train", "--data-dir", digits_folder, "--out", folder / name),
            *("--epochs", 3, "--no-plots", *options),
        )
        assert shown.returncode == 0, shown.stderr
    return folder / "plain", folder / "augmented"


@pytest.fixture(scope="module")
def measured(runs, digits_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("robustness")
    shown = measure(digits_folder, out, *runs)
    assert shown.returncode == 0, shown.stderr
    return out, shown


def test_the_table_has_a_row_a_strength_and_a_column_a_run(measured, runs):
    rows = table(measured[0])
    assert [(row["degradation"], float(row["strength"])) for row in rows] == ALL
    assert list(rows[0])[2:] == [str(run) for run in runs]


def test_the_clean_row_is_what_training_scored(measured, runs):
    for run in runs:
        scored = json.loads((run / "metrics.json").read_text())["test_accuracy"]
        assert float(table(measured[0])[0][str(run)]) == scored


def test_every_network_is_scored_on_the_same_corrupted_digits(measured, runs, digits_folder):
    test = data.load("auto", digits_folder).test
    for kind, (name, corruption) in enumerate(CORRUPTIONS.items()):
        strength = corruption.strengths[2]
        images = corrupt(test.images, name, strength, np.random.default_rng((0, kind)))
        (row,) = (
            row
            for row in table(measured[0])
            if row["degradation"] == name and float(row["strength"]) == strength
        )
        for run in runs:
            logits = load_network(run / "model.safetensors").forward(data.to_unit_interval(images))
            right = (logits.argmax(axis=1) == test.labels).mean()
            assert float(row[str(run)]) == right, name


def test_what_is_printed_is_what_is_written(measured):
    printed = [line.split() for line in measured[1].stdout.splitlines() if line.endswith("%")]
    assert len(printed) == len(ALL)
    for line, row in zip(printed, table(measured[0]), strict=True):
        assert line[-2:] == [f"{float(score):.2%}" for score in list(row.values())[2:]]


def test_the_figures_show_something(measured):
    for name in ("digits", "accuracy"):
        assert np.asarray(Image.open(measured[0] / f"{name}.png")).std() > 0


def test_the_figure_of_digits_shows_the_first_of_each_class(
    runs, digits_folder, tmp_path, monkeypatch
):
    seen = {}
    monkeypatch.setattr(plots, "corrupted_digits", lambda shown, _: seen.update(shown) or Figure())
    monkeypatch.setattr(robustness, "measure", lambda networks, test, seed: {("clean", 0): [1.0]})
    monkeypatch.setattr(plots, "robustness", lambda scores, names: Figure())
    options = ("--data-dir", digits_folder, "--model", runs[0], "--out", tmp_path, "--seed", 3)

    robustness.main(list(map(str, options)))

    images, labels = data.load("auto", digits_folder).test
    first = [images[labels == digit][0] for digit in range(10)]
    assert list(seen) == ALL
    assert (seen["clean", 0] == first).all()
    noise = corrupt(np.array(first), "noise", 0.5, np.random.default_rng((3, 0)))
    assert (seen["noise", 0.5] == noise).all()


def test_the_same_seed_leaves_the_same_files_and_another_seed_other_ones(
    measured, runs, digits_folder, tmp_path
):
    # a checkpoint is as good as its folder
    measure(digits_folder, tmp_path, *(run / "model.safetensors" for run in runs))
    same = [list(row.values()) for row in table(tmp_path)]
    assert same == [list(row.values()) for row in table(measured[0])]
    measure(digits_folder, tmp_path, *runs, "--seed", 1)
    assert table(tmp_path)[0] == table(measured[0])[0]
    assert table(tmp_path) != table(measured[0])


class TestAMistake:
    def test_in_the_model_is_4(self, runs, digits_folder, tmp_path):
        shown = measure(digits_folder, tmp_path / "out", tmp_path)
        assert_one_line(shown, 4, f"{tmp_path} holds no model.safetensors")
        (tmp_path / "damaged").write_bytes((runs[0] / "model.safetensors").read_bytes()[:-1])
        shown = measure(digits_folder, tmp_path / "out", runs[0], tmp_path / "damaged")
        assert_one_line(shown, 4, "damaged")
        assert not (tmp_path / "out").exists()

    def test_in_the_data_is_3(self, runs, tmp_path):
        assert_one_line(measure(tmp_path / "nowhere", tmp_path, *runs), 3, "nowhere")

    def test_of_a_model_that_learned_from_other_data_is_4(self, runs, tmp_path):
        shown = run_module(
            *("scratchnet.robustness", "--dataset", "sample", "--model", runs[0]),
            *("--out", tmp_path / "out"),
        )
        assert_one_line(shown, 4, "other data")

    def test_in_the_options_is_2(self, digits_folder, runs, tmp_path):
        assert_one_line(run_module("scratchnet.robustness"), 2, "--model")
        shown = measure(digits_folder, tmp_path, runs[0], "--seed", -1)
        assert_one_line(shown, 2, "--seed")

    def test_in_the_place_for_the_files_is_6(self, runs, digits_folder, tmp_path):
        (tmp_path / "file").write_text("mine")
        assert_one_line(measure(digits_folder, tmp_path / "file", *runs), 6, "file")
        assert (tmp_path / "file").read_text() == "mine"
