"""The training command: what it prints, what it leaves behind, and that nothing is ever lost."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import threadpoolctl
from PIL import Image

import scratchnet.gan
import scratchnet.train
from scratchnet import MLP, SGD, data, softmax_cross_entropy
from scratchnet.cli.options import cores
from scratchnet.data.corruptions import augmented
from scratchnet.errors import Stopped
from scratchnet.kernels import LADDER
from scratchnet.training import checkpoint
from scratchnet.training.classifier_run import ClassifierRun, load_network
from scratchnet.training.gan_run import GANRun
from tests.conftest import ROOT, rows_of, run_module

FIGURES = ("samples", "curves", "confusion", "mistakes", "weights")
# Small and quick, with a last batch that is smaller than the others, and every kind of state.
OPTIONS = ("--epochs", 3, "--batch-size", 9, "--momentum", 0.5, "--weight-decay", 0.001)


def train(folder, out, *options, **kwargs):
    """Run the command on the digits in `folder`."""
    return run_module("scratchnet.train", "--data-dir", folder, "--out", out, *options, **kwargs)


@pytest.fixture(scope="module")
def finished(digits_folder, tmp_path_factory):
    """A run that nobody disturbed: its folder and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    shown = train(digits_folder, out, *OPTIONS, "--log-interval", 20)
    assert shown.returncode == 0, shown.stderr
    return out, shown


def weights(out):
    tensors, _ = checkpoint.load(out / "model.safetensors")
    return tensors


def assert_same_weights(out, other):
    assert weights(out).keys() == weights(other).keys()
    for name, array in weights(out).items():
        assert array.tobytes() == weights(other)[name].tobytes(), name


class TestARun:
    def test_first_says_what_data_what_network_and_what_kernel(self, finished, digits_folder):
        lines = finished[1].stdout.splitlines()
        assert lines[0].startswith("data    NOT MNIST: 525 training, 47 validation and 200 test")
        assert str(digits_folder) in lines[0]
        assert "checksums" in lines[1]
        assert "784-128-64-10" in lines[2]
        assert "784 x 128" in lines[3]
        assert "109,386" in lines[6]
        assert lines[7].startswith("kernel  numpy")

    def test_prints_losses_a_line_an_epoch_and_the_result_but_no_bar_without_a_terminal(
        self, finished
    ):
        shown = finished[1]
        assert re.search(r"^Epoch \[2/3\], Step \[40/59\], Loss: \d\.\d{4}$", shown.stdout, re.M)
        assert (
            len(re.findall(r"^Epoch \[\d/3\]: training loss .* images/s$", shown.stdout, re.M)) == 3
        )
        assert re.search(r"^test    accuracy \d\d\.\d\d%, loss \d\.\d{4}", shown.stdout, re.M)
        assert shown.stderr == ""

    def test_prints_what_its_files_hold(self, finished):
        out, shown = finished
        lines = shown.stdout.splitlines()
        for row in csv.DictReader((out / "history.csv").read_text().splitlines()):
            line = next(line for line in lines if line.startswith(f"Epoch [{row['epoch']}/3]: "))
            losses = (float(row[name]) for name in ("train_loss", "val_loss"))
            said = "training loss {:.4f}, validation loss {:.4f}".format(*losses)
            assert f": {said}, accuracy {float(row['val_accuracy']):.2%}, " in line
            speed = int(row["images_per_second"])
            assert line.endswith(f" s, {speed:,} images/s")
            assert speed == pytest.approx(525 / float(row["seconds"]), rel=0.05)
        counts = json.loads((out / "metrics.json").read_text())["confusion_matrix"]
        head = lines.index("        rows: true digit; columns: predicted") + 1
        assert lines[head].split() == list("0123456789")
        for digit, row in enumerate(counts):
            assert lines[head + 1 + digit].split() == [str(digit), *map(str, row)]
        files = "config.json, figures, history.csv, metrics.json, model.safetensors"
        assert lines[-1] == f"files   {files} in {out}"

    def test_leaves_its_configuration(self, finished, digits_folder):
        config = json.loads((finished[0] / "config.json").read_text())
        assert config["options"]["batch_size"] == 9
        assert config["options"]["val_size"] == 47
        assert config["options"]["hidden"] == [128, 64]
        assert config["data"]["sha256"] == data.load("auto", digits_folder).sha256
        assert config["versions"]["numpy"] == np.__version__

    def test_leaves_a_row_of_history_an_epoch(self, finished):
        with (finished[0] / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
        names = "epoch train_loss val_loss val_accuracy seconds images_per_second"
        assert " ".join(rows[0]) == names
        assert float(rows[2]["train_loss"]) < float(rows[0]["train_loss"])

    def test_leaves_the_scores_of_the_weights_it_saved(self, finished, digits_folder):
        metrics = json.loads((finished[0] / "metrics.json").read_text())
        network = load_network(finished[0] / "model.safetensors")
        test = data.load("auto", digits_folder).test
        predicted = network.forward(data.to_unit_interval(test.images)).argmax(axis=1)
        assert metrics["dataset"] == "custom"
        assert metrics["test_accuracy"] == (predicted == test.labels).mean()
        counts = np.array(metrics["confusion_matrix"])
        expected = np.zeros((10, 10), int)
        for true, found in zip(test.labels, predicted, strict=True):
            expected[true, found] += 1
        assert counts.tolist() == expected.tolist()
        loss, _ = softmax_cross_entropy(
            network.forward(data.to_unit_interval(test.images)), test.labels
        )
        assert metrics["test_loss"] == pytest.approx(float(loss), rel=1e-6)
        assert metrics["train_seconds"] > 0

    def test_leaves_the_scores_of_its_last_epoch_on_the_images_held_out(
        self, finished, digits_folder
    ):
        network = load_network(finished[0] / "model.safetensors")
        found = data.load("auto", digits_folder)
        _, validation = data.hold_out(found.train, 47, seed=0)
        logits = network.forward(data.to_unit_interval(validation.images))  # (47,10)
        loss, _ = softmax_cross_entropy(logits, validation.labels)
        row = rows_of(finished[0] / "history.csv")[-1]
        assert float(row["val_loss"]) == pytest.approx(float(loss), rel=1e-6)
        assert float(row["val_accuracy"]) == (logits.argmax(axis=1) == validation.labels).mean()

    def test_leaves_five_figures_that_show_something(self, finished):
        assert {path.stem for path in (finished[0] / "figures").iterdir()} == set(FIGURES)
        for name in FIGURES:
            assert np.asarray(Image.open(finished[0] / "figures" / f"{name}.png")).std() > 0

    def test_with_the_same_seed_leaves_the_same_files_but_for_times(
        self, finished, digits_folder, tmp_path
    ):
        train(digits_folder, tmp_path, *OPTIONS, "--log-interval", 20)
        names = ["config.json", "model.safetensors", *(f"figures/{name}.png" for name in FIGURES)]
        for name in names:
            assert (tmp_path / name).read_bytes() == (finished[0] / name).read_bytes(), name
        histories = [
            (out / "history.csv").read_text().splitlines() for out in (tmp_path, finished[0])
        ]
        for line, other in zip(*histories, strict=True):
            assert line.split(",")[:4] == other.split(",")[:4]
        metrics = [
            json.loads((out / "metrics.json").read_text()) for out in (tmp_path, finished[0])
        ]
        for scores in metrics:
            del scores["train_seconds"]
        assert metrics[0] == metrics[1]

    def test_takes_the_steps_that_its_options_name(self, finished, digits_folder):
        found = data.load("auto", digits_folder)
        split, _ = data.hold_out(found.train, 47, seed=0)
        mlp = MLP((784, 128, 64, 10), rng=np.random.default_rng(0))
        sgd = SGD(mlp, lr=0.1, momentum=0.5, weight_decay=0.001)
        x = data.to_unit_interval(split.images)
        with threadpoolctl.threadpool_limits(1):
            for epoch in (1, 2, 3):
                total = 0.0
                for batch, labels in data.batches(x, split.labels, 9, seed=0, epoch=epoch):
                    loss, dlogits = softmax_cross_entropy(mlp.forward(batch), labels)
                    mlp.backward(dlogits)
                    sgd.step()
                    total += float(loss) * len(labels)
        for name, array in mlp.parameters():
            assert weights(finished[0])[name].tobytes() == array.tobytes()
        with (finished[0] / "history.csv").open() as file:
            assert float(list(csv.DictReader(file))[2]["train_loss"]) == total / len(x)

    def test_takes_its_steps_on_the_augmented_images_at_the_rate_of_each_epoch(
        self, digits_folder, tmp_path
    ):
        options = ("--epochs", 2, "--augment", "--lr-decay", 0.5, "--no-plots")
        train(digits_folder, tmp_path, *options)
        split, _ = data.hold_out(data.load("auto", digits_folder).train, 47, seed=0)
        mlp = MLP((784, 128, 64, 10), rng=np.random.default_rng(0))
        with threadpoolctl.threadpool_limits(1):
            for epoch, lr in ((1, 0.1), (2, 0.05)):
                sgd = SGD(mlp, lr)
                x = data.to_unit_interval(augmented(split.images, seed=0, epoch=epoch))
                for batch, labels in data.batches(x, split.labels, 32, seed=0, epoch=epoch):
                    mlp.backward(softmax_cross_entropy(mlp.forward(batch), labels)[1])
                    sgd.step()
        for name, array in mlp.parameters():
            assert weights(tmp_path)[name].tobytes() == array.tobytes()

    def test_with_another_seed_leaves_other_weights(self, finished, digits_folder, tmp_path):
        train(digits_folder, tmp_path, *OPTIONS, "--seed", 1, "--no-plots")
        assert (weights(tmp_path)["linear1.W"] != weights(finished[0])["linear1.W"]).any()

    @pytest.mark.parametrize("name", LADDER)
    def test_can_be_made_with_every_kernel_of_the_ladder(
        self, finished, digits_folder, tmp_path, name
    ):
        options = ("--matmul", name, "--threads", 1, "--epochs", 1, "--no-plots")
        shown = train(digits_folder, tmp_path, *OPTIONS, *options)
        assert shown.returncode == 0, shown.stderr
        assert f"kernel  {name} (" in shown.stdout
        with (finished[0] / "history.csv").open() as file:
            expected = float(next(csv.DictReader(file))["train_loss"])
        with (tmp_path / "history.csv").open() as file:
            assert float(next(csv.DictReader(file))["train_loss"]) == pytest.approx(
                expected, rel=1e-4
            )

    def test_draws_nothing_and_holds_nothing_out_when_told_so(self, digits_folder, tmp_path):
        shown = train(digits_folder, tmp_path, "--epochs", 1, "--val-size", 0, "--no-plots")
        assert "572 training, 0 validation" in shown.stdout
        assert not (tmp_path / "figures").exists()
        assert (tmp_path / "history.csv").read_text().splitlines()[1].split(",")[2:4] == ["", ""]

    def test_of_any_depth_and_of_a_batch_larger_than_the_data_works(self, digits_folder, tmp_path):
        for hidden in ((), (7,), (9, 8, 7)):
            out = tmp_path / str(len(hidden))
            shown = train(
                *(digits_folder, out, "--epochs", 1, "--hidden", *hidden),
                *("--batch-size", 10_000, "--no-plots"),
            )
            assert shown.returncode == 0, shown.stderr
            assert len(weights(out)) == 4 * (len(hidden) + 1)

    def test_says_where_the_code_of_the_fused_engine_is_from(self, digits_folder, capsys):
        words = ["--data-dir", str(digits_folder), "--engine", "fused", "--dry-run", "--no-plots"]
        for origin in ("(compiled|loaded from the cache)", "loaded from the cache"):
            scratchnet.train.main(words)
            said = rf"\ncode    making the kernels ready: {origin} in \d+\.\d s\n"
            assert re.search(said, capsys.readouterr().out)

    def test_that_is_dry_leaves_no_file(self, digits_folder, tmp_path):
        command = "import sys; from scratchnet import train; train.main(sys.argv[1:])"
        command += "; print('imported', {'matplotlib', 'numba'} & set(sys.modules))"
        shown = subprocess.run(
            [sys.executable, "-c", command, "--data-dir", digits_folder, "--dry-run"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )
        assert "Step [1/1]" in shown.stdout
        assert "test    accuracy" in shown.stdout
        (folder,) = re.findall(r"run     (\S+) \(a dry run", shown.stdout)
        assert not os.path.exists(folder)
        assert "imported set()" in shown.stdout

    def test_on_the_sample_says_so_in_its_first_line_and_its_results(self, tmp_path):
        shown = run_module(
            *("scratchnet.train", "--dataset", "sample", "--epochs", 1, "--out", tmp_path),
            "--no-plots",
        )
        lines = shown.stdout.splitlines()
        assert "SAMPLE" in lines[0]
        assert "--dataset mnist" in lines[1]
        assert "of the sample" in next(line for line in lines if line.startswith("test"))
        assert json.loads((tmp_path / "metrics.json").read_text())["dataset"] == "sample"

    def test_takes_its_options_from_a_file_but_those_on_the_command_line_win(
        self, digits_folder, tmp_path
    ):
        file = {"hidden": [20, 10], "lr": 0.05, "epochs": 3, "no_plots": True, "val_size": None}
        (tmp_path / "options.json").write_text(json.dumps(file))
        out = tmp_path / "out"
        shown = train(digits_folder, out, "--config", tmp_path / "options.json", "--epochs", 1)
        assert shown.returncode == 0, shown.stderr
        options = json.loads((out / "config.json").read_text())["options"]
        assert options | file | {"epochs": 1, "val_size": 47} == options
        assert not (out / "figures").exists()

    def test_is_made_again_from_the_config_json_that_it_left(
        self, finished, digits_folder, tmp_path
    ):
        words = ["--config", str(finished[0] / "config.json"), "--out", str(tmp_path / "again")]
        scratchnet.train.main([*words, "--no-plots"])
        assert_same_weights(tmp_path / "again", finished[0])

    def test_names_its_folder_after_the_date(self, digits_folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        options = ("--data-dir", digits_folder, "--epochs", 1, "--no-plots")
        shown = run_module("scratchnet.train", *options)
        assert shown.returncode == 0, shown.stderr
        (folder,) = (tmp_path / "runs").iterdir()
        assert (folder / "metrics.json").exists()


def interrupt(folder, out, signum, after, *options, module="scratchnet.train"):
    """Start a run, send it the signal once it has printed a line that contains `after`."""
    command = [sys.executable, "-m", module, "--data-dir", folder, "--out", out]
    command += ["--log-interval", 1, *options]
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if after in line:
                process.send_signal(signum)
                break
        process.stdout.read()
        return process.wait(timeout=60), process.stderr.read()


class TestAnInterruptedRun:
    @pytest.mark.parametrize(
        ("after", "signum", "code"),
        [
            ("[1/3], Step [1/", signal.SIGINT, 130),
            ("[2/3], Step [30/", signal.SIGTERM, 143),
            ("[3/3], Step [59/", signal.SIGINT, 130),
        ],
    )
    def test_that_is_resumed_ends_with_the_same_bits(
        self, finished, digits_folder, tmp_path, after, signum, code
    ):
        returncode, stderr = interrupt(digits_folder, tmp_path, signum, after, *OPTIONS)
        assert returncode == code
        (line,) = stderr.splitlines()
        assert f"go on with python -m scratchnet.train --resume {tmp_path}" in line

        resumed = run_module(*line.partition("python -m ")[2].split(), "--no-plots")
        assert resumed.returncode == 0, resumed.stderr
        assert_same_weights(tmp_path, finished[0])
        same = [line.split(",")[:4] for line in (tmp_path / "history.csv").read_text().split()]
        assert same == [
            line.split(",")[:4] for line in (finished[0] / "history.csv").read_text().split()
        ]

    @pytest.mark.parametrize("engine", ["layered", "fused"])
    def test_with_augmented_images_and_a_falling_rate_ends_with_the_same_bits_too(
        self, digits_folder, tmp_path, engine
    ):
        options = (*OPTIONS, "--augment", "--lr-decay", 0.5, "--engine", engine, "--no-plots")
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        train(digits_folder, whole, *options)
        after = "[2/3], Step [30/"
        assert interrupt(digits_folder, parts, signal.SIGTERM, after, *options)[0] == 143
        resumed = run_module(
            *("scratchnet.train", "--resume", parts),
            *("--data-dir", digits_folder, "--no-plots"),
        )
        assert resumed.returncode == 0, resumed.stderr
        assert "corrupted mildly" in resumed.stdout
        assert_same_weights(parts, whole)
        config = json.loads((parts / "config.json").read_text())["options"]
        assert (config["augment"], config["lr_decay"]) == (True, 0.5)

    def test_can_go_on_for_more_epochs_elsewhere(self, finished, digits_folder, tmp_path):
        half, rest = tmp_path / "half", tmp_path / "rest"
        train(digits_folder, half, *OPTIONS, "--epochs", 1, "--no-plots")
        model = half / "model.safetensors"
        before = model.read_bytes()
        resumed = train(digits_folder, rest, "--resume", model, "--epochs", 3, "--no-plots")
        assert resumed.returncode == 0, resumed.stderr
        assert_same_weights(rest, finished[0])
        assert model.read_bytes() == before

    def test_is_not_saved_in_the_middle_of_a_batch_and_leaves_no_folder_without_a_checkpoint(
        self, digits_folder, tmp_path, monkeypatch
    ):
        steps = iter(range(100))

        def step(self):
            if next(steps) % 6 == 5:
                raise Stopped(signal.SIGTERM)  # as a second signal does

        monkeypatch.setattr(SGD, "step", step)
        (tmp_path / "mine").mkdir()  # what was there before stays
        for out in ("mine", "runs/new"):
            words = ["--data-dir", str(digits_folder), "--out", str(tmp_path / out)]
            with pytest.raises(Stopped):
                scratchnet.train.main(words)
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
        assert not (tmp_path / "mine" / "model.safetensors").exists()

    def test_that_is_stopped_while_its_figures_are_drawn_says_how_to_go_on(
        self, digits_folder, tmp_path, monkeypatch
    ):
        def write_figures(*_):
            raise Stopped(signal.SIGINT)

        monkeypatch.setattr(ClassifierRun, "write_figures", write_figures)
        words = ["--data-dir", str(digits_folder), "--out", str(tmp_path), "--epochs", "1"]
        with pytest.raises(Stopped, match=f"SIGINT; go on with .* --resume {tmp_path}"):
            scratchnet.train.main(words)

    def test_leaves_a_newer_checkpoint_beside_its_own_alone(
        self, finished, digits_folder, tmp_path
    ):
        shutil.copytree(finished[0], tmp_path / "run")
        older = tmp_path / "run" / "older.safetensors"
        shutil.copy(tmp_path / "run" / "model.safetensors", older)
        shown = run_module(
            *("scratchnet.train", "--resume", older, "--epochs", 4, "--data-dir", digits_folder)
        )
        assert shown.returncode == 2
        assert_same_weights(tmp_path / "run", finished[0])

    def test_cannot_have_done_more_than_is_asked_for(self, finished, digits_folder):
        shown = run_module(
            *("scratchnet.train", "--resume", finished[0] / "model.safetensors"),
            *("--data-dir", digits_folder, "--epochs", 2),
        )
        assert shown.returncode == 2
        assert "has done 3 epochs already" in shown.stderr

    def test_may_have_been_saved_before_there_were_so_many_options(
        self, finished, digits_folder, tmp_path
    ):
        tensors, state = checkpoint.load(finished[0] / "model.safetensors")
        for name in ("model", "lr_decay", "augment"):
            del state["config"][name]
        checkpoint.save(tmp_path / "model.safetensors", tensors, state)
        options = ("--data-dir", digits_folder, "--no-plots")
        shown = run_module("scratchnet.train", "--resume", tmp_path / "model.safetensors", *options)
        assert shown.returncode == 0, shown.stderr

    def test_refuses_to_go_on_with_other_data(self, finished):
        shown = run_module(*("scratchnet.train", "--resume", finished[0], "--dataset", "sample"))
        assert shown.returncode == 4
        assert "other data" in shown.stderr


@pytest.mark.skipif(cores() < 2, reason="two threads need two processors")
def test_the_threads_that_are_asked_for_are_those_of_the_blas(digits_folder, tmp_path, monkeypatch):
    limits = []
    limit = threadpoolctl.threadpool_limits
    monkeypatch.setattr(
        threadpoolctl, "threadpool_limits", lambda *args: limits.append(args) or limit(*args)
    )
    for threads in ("1", "2"):
        words = ["--data-dir", str(digits_folder), "--out", str(tmp_path / threads), "--dry-run"]
        scratchnet.train.main([*words, "--threads", threads])
    assert limits == [(1, "blas"), (2, "blas")]


@pytest.mark.parametrize("command", [scratchnet.train, scratchnet.gan])
def test_the_threads_that_are_asked_for_are_those_of_the_kernels(
    digits_folder, monkeypatch, command
):
    counts = []
    monkeypatch.setattr("scratchnet.kernels.threads.set_threads", counts.append)
    monkeypatch.setattr(ClassifierRun, "write_figures", lambda *_: None)
    monkeypatch.setattr(GANRun, "write_figures", lambda *_: None)
    words = ["--data-dir", str(digits_folder), "--dry-run", "--matmul", "simd"]
    for count in range(1, min(2, cores()) + 1):
        command.main([*words, "--threads", str(count)])
    assert counts == list(range(1, min(2, cores()) + 1))


def test_three_epochs_of_the_full_mnist_reach_an_accuracy_of_over_96_percent(mnist, tmp_path):
    shown = run_module(
        *("scratchnet.train", "--data-dir", mnist.origin, "--epochs", 3, "--out", tmp_path),
        *("--no-plots", "--seed", 3),
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads((tmp_path / "metrics.json").read_text())["test_accuracy"] > 0.96
