"""The GAN's command: what it says and leaves, and that nothing of a run is ever lost."""

import csv
import json
import re
import signal

import numpy as np
import pytest
from PIL import Image

import scratchnet.gan
import scratchnet.train
from scratchnet import data, kernels
from scratchnet.cli.options import cores
from scratchnet.data.batches import Split, draw_noise
from scratchnet.errors import UsageError
from scratchnet.evaluation import gan_metrics
from scratchnet.kernels.adam import adam_update
from scratchnet.nn.gan import GAN, Discriminator, Generator
from scratchnet.training import checkpoint
from scratchnet.training.classifier_run import load_network
from tests.commands.test_train import interrupt
from tests.conftest import rows_of, run_module, write_idx_folder
from tests.faults.catalogue import refused

MODEL = "model.safetensors"
# 572 images: 12 batches, the last of 22.
OPTIONS = ("--epochs", 3, "--batch-size", 50, "--hidden", 16, "--noise", 8)
OPTIONS += ("--discriminator-hidden", 16, 8)


@pytest.fixture(scope="module")
def options(classifier_run):
    return (*OPTIONS, "--judge", classifier_run)


def train(folder, out, *options):
    return run_module("scratchnet.gan", "--data-dir", folder, "--out", out, *options)


@pytest.fixture(scope="module")
def finished(digits_folder, options, tmp_path_factory):
    """A run that nobody disturbed: its folder and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    shown = train(digits_folder, out, *options)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    return out, shown


def left(folder):
    """All that a run has left, but for the times: {name of the file: content}."""
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rows = csv.DictReader(files["history.csv"].decode().splitlines())
    files["history.csv"] = [list(row.values())[:4] for row in rows]
    for name in ("metrics.json", "config.json"):
        files[name] = json.loads(files[name])
    del files["metrics.json"]["train_seconds"]
    return files


class TestARun:
    def test_says_what_learns_from_what_and_which_classifier_evaluates(
        self, finished, classifier_run
    ):
        lines = finished[1].stdout.splitlines()
        assert lines[0].startswith("data    NOT MNIST: 572 images without their labels, from")
        assert "net     generator, float32, LeakyReLU between" in lines
        assert "        linear2   16 x 784 + 784     13,328 parameters" in lines
        assert f"metrics by the classifier {classifier_run}: 784-32-10" in lines
        assert any(line.startswith("kernel  simd (numba") for line in lines)

    def test_tells_both_losses_and_the_confident_share_a_line_an_epoch(self, finished):
        for epoch in (1, 2, 3):
            (line,) = (
                line
                for line in finished[1].stdout.splitlines()
                if line.startswith(f"Epoch [{epoch}/3]: loss D ")
            )
            assert re.search(r"loss D \d.\d{4}, G \d\.\d{4}, confident .*%, .* images/s$", line)
        assert "Epoch [1/3], Step [12/12], Loss: D 0." in finished[1].stdout

    def test_leaves_a_picture_an_epoch_their_animation_and_the_metrics(self, finished):
        out = finished[0]
        pictures = sorted(path.name for path in (out / "digits").iterdir())
        assert pictures == [f"epoch-00{epoch}.png" for epoch in range(4)]
        with Image.open(out / "figures" / "digits.gif") as animation:
            assert animation.n_frames == 4
        assert np.asarray(Image.open(out / "figures" / "losses.png")).std() > 0
        metrics = json.loads((out / "metrics.json").read_text())
        assert metrics["generated"].keys() == {"recognised", "digits", "distance"}
        real = metrics["training_images"]
        assert real["recognised"] > 0.5
        assert real["distance"] < metrics["generated"]["distance"]
        rows = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
        assert all(0 <= float(row["recognised"]) <= 1 for row in rows)

    def test_the_pictures_show_the_same_noise(self, finished):
        tensors, _ = checkpoint.load(finished[0] / MODEL)
        noise = draw_noise((100, 8), seed=0, epoch=0, batch=1)  # (100,8)
        generator = Generator(8, (16,), rng=np.random.default_rng(0))
        for name, array in generator.parameters():
            array[:] = tensors[f"generator.{name}"]
        first = np.rint((generator.forward(noise)[0] + 1) * 127.5).reshape(28, 28)
        sheet = np.asarray(Image.open(finished[0] / "digits" / "epoch-003.png"))
        assert np.abs(255.0 - sheet[2:30, 2:30] - first).max() <= 1  # by another kernel

    def test_takes_the_steps_that_its_options_name(self, finished, digits_folder):
        rng, simd = np.random.default_rng(0), kernels.get("simd")
        generator = Generator(8, (16,), rng=rng, matmul=simd)
        discriminator = Discriminator((16, 8), rng=rng, matmul=simd)
        pair = GAN(generator, discriminator, 8e-4, 1e-4, betas=(0.5, 0.999), update=adam_update)
        images = data.load("auto", digits_folder).train.images  # (572,28,28)
        x = data.to_unit_interval(images) * 2 - 1  # (572,784)
        for epoch in (1, 2, 3):
            losses = np.zeros(2)
            shown = data.batches(x, np.arange(572), 50, seed=0, epoch=epoch)
            for batch, (real, _) in enumerate(shown, start=1):
                noise = draw_noise((2, len(real), 8), seed=0, epoch=epoch, batch=batch)
                each = pair.discriminator_step(real, noise[0]), pair.generator_step(noise[1])
                losses += len(real) * np.array(each, float)
        tensors, _ = checkpoint.load(finished[0] / MODEL)
        for side, network in (("generator", generator), ("discriminator", discriminator)):
            for name, array in network.parameters():
                assert tensors[f"{side}.{name}"].tobytes() == array.tobytes(), (side, name)
        row = rows_of(finished[0] / "history.csv")[-1]
        found = float(row["discriminator_loss"]), float(row["generator_loss"])
        assert found == pytest.approx(losses / 572, rel=1e-6)

    def test_leaves_the_scores_of_digits_that_its_generator_draws(
        self, digits_folder, options, classifier_run, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(gan_metrics, "CONFIDENT", 0.5)  # of so few epochs it is of little more
        evaluated, confident_share = [], gan_metrics.GANMetrics.confident_share

        def watched(self, images):
            evaluated.append(images)
            return confident_share(self, images)

        monkeypatch.setattr(gan_metrics.GANMetrics, "confident_share", watched)
        words = ("--data-dir", digits_folder, "--out", tmp_path, *options, "--epochs", 1)
        scratchnet.gan.main([str(word) for word in words])
        tensors, _ = checkpoint.load(tmp_path / MODEL)
        generator = Generator(8, (16,), rng=np.random.default_rng(0), matmul=kernels.get("simd"))
        for name, array in generator.parameters():
            array[:] = tensors[f"generator.{name}"]
        found = data.load("auto", digits_folder)
        metrics = gan_metrics.GANMetrics(load_network(classifier_run), found.test.images)

        def generated(n, batch):
            noise = draw_noise((n, 8), seed=0, epoch=0, batch=batch)  # (n,8)
            pixels = np.rint((generator.forward(noise) + 1) * 127.5)  # (n,784)
            return pixels.astype(np.uint8).reshape(n, 28, 28)

        (row,) = rows_of(tmp_path / "history.csv")
        np.testing.assert_array_equal(evaluated, [generated(1000, batch=2)])
        assert 0 < float(row["recognised"]) == metrics(evaluated[0]).confident
        scores = json.loads((tmp_path / "metrics.json").read_text())
        for name, expected in (
            ("generated", metrics(generated(572, batch=3))),
            ("training_images", metrics(found.train.images)),
        ):
            assert scores[name]["recognised"] == expected.confident
            assert scores[name]["digits"] == expected.digits
            assert scores[name]["distance"] == pytest.approx(expected.distance, rel=1e-6)

    @pytest.mark.skipif(cores() < 2, reason="two threads need two processors")
    def test_gives_the_same_bits_with_two_threads(self, finished, digits_folder, options, tmp_path):
        shown = train(digits_folder, tmp_path, *options, "--threads", 2)
        assert shown.returncode == 0, shown.stderr
        ours, theirs = (checkpoint.load(out / MODEL)[0] for out in (finished[0], tmp_path))
        assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)

    def test_without_a_classifier_says_so_and_leaves_no_scores(self, digits_folder, tmp_path):
        shown = train(digits_folder, tmp_path, *OPTIONS, "--epochs", 1)
        assert (
            "metrics none but the losses; --judge RUN takes a run of scratchnet.train"
            in shown.stdout
        )
        metrics = json.loads((tmp_path / "metrics.json").read_text())
        assert metrics.keys() == {"dataset", "train_seconds"}

    def test_names_the_files_it_leaves_and_none_when_it_is_dry(
        self, finished, digits_folder, capsys
    ):
        files = "config.json, digits, figures, history.csv, metrics.json, model.safetensors"
        assert finished[1].stdout.endswith(f"\nfiles   {files} in {finished[0]}\n")
        scratchnet.gan.main(["--data-dir", str(digits_folder), "--dry-run", *map(str, OPTIONS)])
        assert "\nfiles " not in capsys.readouterr().out

    def test_draws_a_hundred_digits_ten_a_row(self, finished):
        with Image.open(finished[0] / "digits" / "epoch-000.png") as picture:
            assert picture.size == (10 * 30 + 2, 10 * 30 + 2)

    def test_that_is_dry_takes_one_batch_and_leaves_nothing(self, digits_folder, tmp_path):
        shown = train(digits_folder, tmp_path / "out", *OPTIONS, "--dry-run")
        assert "Step [1/1]" in shown.stdout
        assert shown.returncode == 0, shown.stderr
        assert not list(tmp_path.iterdir())


class TestAnInterruptedRun:
    @pytest.mark.parametrize("after", ["[1/3], Step [1/", "[2/3], Step [12/", "[3/3], Step [5/"])
    def test_that_is_resumed_leaves_all_that_one_never_stopped_does(
        self, finished, digits_folder, options, tmp_path, after
    ):
        stopped = interrupt(
            digits_folder, tmp_path, signal.SIGTERM, after, *options, module="scratchnet.gan"
        )
        assert stopped[0] == 143
        (line,) = stopped[1].splitlines()
        resumed = run_module(*line.partition("python -m ")[2].split())
        assert resumed.returncode == 0, resumed.stderr
        expected, found = left(finished[0]), left(tmp_path)
        for files in (expected, found):
            del files["config.json"]["options"]["log_interval"]  # `interrupt` shows every loss
        assert found == expected

    def test_that_goes_on_elsewhere_takes_its_pictures_along(
        self, finished, digits_folder, tmp_path
    ):
        words = ("--resume", finished[0] / MODEL, "--epochs", 4)
        shown = train(digits_folder, tmp_path / "longer", *words)
        assert shown.returncode == 0, shown.stderr
        rows = (tmp_path / "longer" / "history.csv").read_text().splitlines()
        assert len(rows) == 5
        with Image.open(tmp_path / "longer" / "figures" / "digits.gif") as animation:
            assert animation.n_frames == 5

    def test_that_was_finished_and_is_resumed_elsewhere_is_whole_there(
        self, finished, digits_folder, tmp_path
    ):
        shown = train(digits_folder, tmp_path / "copy", "--resume", finished[0] / MODEL)
        assert shown.returncode == 0, shown.stderr
        assert left(tmp_path / "copy").keys() == left(finished[0]).keys()

    def test_that_goes_on_from_its_checkpoint_alone_begins_its_pictures_there(
        self, finished, digits_folder, tmp_path
    ):
        (tmp_path / MODEL).write_bytes((finished[0] / MODEL).read_bytes())
        shown = run_module(
            *("scratchnet.gan", "--resume", tmp_path / MODEL, "--data-dir", digits_folder)
        )
        assert shown.returncode == 0, shown.stderr
        assert [path.name for path in (tmp_path / "digits").iterdir()] == ["epoch-003.png"]

    def test_in_its_first_epoch_has_no_picture_of_what_was_before_it(
        self, finished, digits_folder, tmp_path
    ):
        tensors, state = checkpoint.load(finished[0] / MODEL)
        checkpoint.save(tmp_path / MODEL, tensors, state | {"epoch": 1})
        words = ("--resume", tmp_path / MODEL, "--data-dir", digits_folder, "--epochs", 1)
        scratchnet.gan.main(list(map(str, words)))
        assert [path.name for path in (tmp_path / "digits").iterdir()] == ["epoch-001.png"]


class TestIsRefused:
    def test_a_learning_rate_that_explodes_with_5(self, digits_folder, tmp_path):
        words = (
            "--data-dir",
            digits_folder,
            "--out",
            tmp_path,
            *OPTIONS,
            "--discriminator-lr",
            1e30,
        )
        why = ["try a lower --lr or --discriminator-lr", "no epoch was saved"]
        refused(5, why, "scratchnet.gan", *words, keeping=digits_folder)

    def test_a_generator_that_explodes_in_the_last_step_with_5(self, digits_folder, tmp_path):
        words = ("--data-dir", digits_folder, "--out", tmp_path, *OPTIONS)
        words += ("--epochs", 1, "--batch-size", 1000, "--lr", 3e38)
        why = "the generated images are not finite"
        refused(5, why, "scratchnet.gan", *words, keeping=digits_folder)

    def test_a_classifiers_checkpoint_with_4(self, small_run, digits_folder):
        words = ("--resume", small_run / MODEL, "--data-dir", digits_folder)
        refused(4, "is no checkpoint of a GAN", "scratchnet.gan", *words, keeping=small_run)

    def test_a_single_test_image_that_no_metric_can_go_by_with_2(self, sample, tmp_path):
        folder, run = tmp_path / "digits", tmp_path / "run"
        folder.mkdir()
        few, one = (Split(*(part[:n] for part in sample.train)) for n in (60, 1))
        write_idx_folder(folder, few, one)
        words = ["--data-dir", str(folder), "--out", str(run), "--hidden", "4", "--no-plots"]
        scratchnet.train.main([*words, "--epochs", "1"])

        with pytest.raises(UsageError, match="--judge: the metrics need two real images"):
            scratchnet.gan.main(["--data-dir", str(folder), "--judge", str(run), "--dry-run"])

    def test_a_gan_where_a_classifier_is_needed_with_4(self, finished, digits_folder):
        words = "--judge", finished[0], "--data-dir", digits_folder
        refused(
            4,
            ["--judge", "no checkpoint of a digit"],
            "scratchnet.gan",
            *words,
            keeping=finished[0],
        )

    def test_a_classifier_that_was_trained_on_other_data_with_4(self, small_run):
        words = ("--judge", small_run, "--dataset", "sample")
        refused(4, "was trained on other data", "scratchnet.gan", *words, keeping=small_run)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"hidden": [10**6]}, "generator.linear1.W is (8, 16), (8, 1000000)"),
            ({"hidden": [10**12]}, "its hidden: 1000000000000 must be from 1 to 1000000"),
            ({"discriminator_hidden": []}, "discriminator.linear1.W is (784, 16), (784, 1)"),
            ({"hidden": 16}, "is no checkpoint of a GAN"),
            ({"noise": True}, "is no checkpoint of a GAN"),
            ({"judge": 3}, "is no checkpoint of a GAN"),
        ],
        ids=str,
    )
    def test_a_forged_checkpoint_with_4(self, finished, tmp_path, change, words):
        tensors, state = checkpoint.load(finished[0] / MODEL)
        state["config"] |= change
        checkpoint.save(tmp_path / MODEL, tensors, state)
        refused(4, words, "scratchnet.gan", "--resume", tmp_path / MODEL, keeping=tmp_path)

    def test_another_option_than_the_run_was_trained_with_by_4(self, finished, digits_folder):
        words = ("--resume", finished[0] / MODEL, "--data-dir", digits_folder, "--noise", 9)
        refused(4, "--noise 9 (there 8)", "scratchnet.gan", *words, keeping=finished[0])


def test_after_a_few_epochs_the_mean_of_the_fakes_is_near_that_of_the_digits(sample):
    rng = np.random.default_rng(0)
    pair = GAN(
        Generator(16, (64,), rng=rng), Discriminator((64,), rng=rng), 1e-3, 1e-3, update=adam_update
    )
    real = data.to_unit_interval(sample.train.images) * 2 - 1  # (4000,784)

    def off():
        fakes = pair.generator.forward(draw_noise((500, 16), seed=0, epoch=0, batch=1))  # (500,784)
        return np.abs(fakes.mean(axis=0) - real.mean(axis=0)).mean()

    before, labels = off(), sample.train.labels
    for epoch in (1, 2, 3, 4):
        for x, _ in data.batches(real, labels, 50, seed=0, epoch=epoch):
            pair.discriminator_step(x, draw_noise((len(x), 16), seed=0, epoch=epoch, batch=1))
            pair.generator_step(draw_noise((len(x), 16), seed=0, epoch=epoch, batch=2))
    assert off() < before / 3
