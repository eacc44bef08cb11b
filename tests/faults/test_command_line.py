"""Wrong options, wrong places, closed streams: 2 and 6, in one line."""

import os
import subprocess
import sys

import filelock
import pytest

from benchmarks.worker import peak_of_training
from tests.conftest import ROOT, run_module
from tests.faults.catalogue import (
    as_an_ordinary_user,
    assert_one_line,
    assert_whole,
    contents,
    on_a_disk_with,
    refused,
    train,
)

QUICK = ("--epochs", 1, "--hidden", 8)

OPTIONS = [
    (["--learning-rate", 1], "unrecognized arguments: --learning-rate"),
    (["--epochs", 0], "--epochs: 0 must be at least 1"),
    (["--epochs", -3], "--epochs: -3 must be at least 1"),
    (["--epochs", "many"], "--epochs: invalid whole number value: 'many'"),
    (["--batch-size", 0], "--batch-size: 0 must be at least 1"),
    (["--batch-size", -1], "--batch-size: -1 must be at least 1"),
    (["--lr", "nan"], "--lr: nan must be a finite number over 0"),
    (["--lr", "inf"], "--lr: inf must be"),
    (["--lr", -0.1], "--lr: -0.1 must be"),
    (["--lr", 0], "--lr: 0 must be"),
    (["--lr-decay", 0], "--lr-decay: 0 must be a finite number over 0 and at most 1"),
    (["--lr-decay", 1.1], "--lr-decay"),
    (["--momentum", -0.5], "--momentum"),
    (["--weight-decay", "inf"], "--weight-decay"),
    (["--hidden", 128, 0], "--hidden: 0 must be from 1"),
    (["--hidden", 10**30], "--hidden"),
    (["--seed", 1.5], "--seed: invalid whole number value: '1.5'"),
    (["--seed", -1], "--seed"),
    (["--threads", 0], "--threads: 0 must be from 1 to"),
    (["--threads", 100_000], "--threads: 100000 must be from 1 to"),
    (["--val-size", 10_000], "--val-size: 10,000 validation images"),
    (["--log-interval", 0], "--log-interval"),
    (["--matmul", "magic"], "choose from 'ijk', 'ikj', 'packed', 'tiled'"),
    (["--engine", "steam"], "'layered', 'fused'"),
    (["--model", "cnn", "--engine", "fused"], "--engine fused trains an mlp only"),
    (["--dataset", "cifar"], "--dataset"),
    (["--dataset", "sample"], "--data-dir"),
    (["--out", ""], "--out: the path is empty"),
    (["two\nlines"], r"unrecognized arguments: two\nlines"),
]


@pytest.mark.parametrize(("options", "words"), OPTIONS, ids=lambda value: str(value)[:40])
def test_an_option_that_makes_no_sense_is_2(digits_folder, tmp_path, options, words):
    refused(2, words, *train(digits_folder, tmp_path / "out", *options), keeping=digits_folder)
    assert not (tmp_path / "out").exists()


CONFIGS = [
    ("{", ["is no JSON", '{"lr": 0.05']),
    ("[" * 100_000, "is no JSON"),
    ('{"hidden": ["--help"]}', "--hidden: invalid whole number value: '--help'"),
    ("[1]", "holds no JSON object"),
    ('{"options": 1}', "holds no JSON object"),
    ('{"learning_rate": 1}', "'learning_rate' is no option"),
    ('{"config": "other.json"}', "'config' is no option"),
    ('{"lr": 0}', "--lr: 0 must be a finite number over 0"),
    ('{"lr": true}', "--lr: invalid number value: True"),
    ('{"epochs": 1.5}', "--epochs"),
    ('{"hidden": [128, "wide"]}', "--hidden: invalid whole number value: 'wide'"),
    ('{"no_plots": "yes"}', "--no-plots: invalid value, neither true nor false: 'yes'"),
    ('{"hidden": 12.5}', "--hidden: invalid whole number value: 12.5"),
    ('{"matmul": ["simd"]}', "--matmul: invalid choice: ['simd'] (choose from"),
    (f'{{"lr": {10**400}}}', "--lr: "),
    (None, "cannot be read: No such file or directory"),
]


@pytest.mark.parametrize(("content", "words"), CONFIGS, ids=lambda text: str(text)[:30])
def test_a_file_of_options_that_makes_no_sense_is_2(digits_folder, tmp_path, content, words):
    path = tmp_path / "options.json"
    if content is not None:
        path.write_text(content)
    command = train(digits_folder, tmp_path / "out", "--config", path)
    words = [words] if isinstance(words, str) else words
    refused(2, [str(path), *words], *command, keeping=tmp_path)
    assert not (tmp_path / "out").exists()


def test_going_on_otherwise_than_the_checkpoint_is_4_and_shows_the_difference(
    trained, digits_folder
):
    options = ("--data-dir", digits_folder, "--batch-size", 32, "--lr", 0.2, "--hidden", 20)
    shown = refused(
        *(4, ["--lr 0.2 (there 0.1)", "--hidden [20] (there [8])"]),
        *("scratchnet.train", "--resume", trained / "model.safetensors", *options),
        keeping=trained,
    )
    assert "--batch-size" not in shown.stderr


def test_a_dry_run_goes_on_with_nothing(trained, digits_folder):
    options = ("--resume", trained / "model.safetensors", "--data-dir", digits_folder, "--dry-run")
    refused(2, "--dry-run begins anew", "scratchnet.train", *options, keeping=trained)


def test_a_folder_that_is_a_file_is_6(digits_folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        refused(6, str(tmp_path / "file"), *train(digits_folder, out), keeping=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="takes Linux's capabilities from root")
def test_a_folder_that_may_not_be_written_is_6(digits_folder, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o555)
    for out in (tmp_path / "mine", tmp_path / "mine" / "below"):
        refused(
            *(6, [str(tmp_path / "mine"), "Permission denied"], *train(digits_folder, out)),
            keeping=tmp_path,
            preexec_fn=as_an_ordinary_user,
        )


def test_a_folder_in_use_by_another_run_is_6(digits_folder, tmp_path):
    with filelock.FileLock(tmp_path / ".lock"):
        refused(6, "in use by another run", *train(digits_folder, tmp_path), keeping=tmp_path)


def test_a_folder_that_holds_a_run_is_2_and_keeps_it(trained, digits_folder):
    refused(2, "holds a run", *train(digits_folder, trained), keeping=trained)


def test_a_full_disk_is_6_names_the_file_and_keeps_the_last_checkpoint(trained, digits_folder):
    options = ("--resume", trained / "model.safetensors", "--epochs", 99, "--no-plots")
    before = contents(trained)
    shown = run_module(
        *("scratchnet.train", *options, "--data-dir", digits_folder),
        preexec_fn=on_a_disk_with(10_000),  # the checkpoint has some 50,000
    )
    assert_one_line(shown, 6, [str(trained / "model.safetensors"), "File too large"])
    del before[trained / "config.json"], before[trained / "history.csv"]  # newer, and whole
    assert_whole(before, trained)


def test_memory_that_is_not_there_is_6(digits_folder, tmp_path):
    hidden = ("--hidden", 1, 1_000_000, 1_000_000)  # the first two layers take little
    refused(6, "not enough memory", *train(digits_folder, tmp_path, *hidden), keeping=tmp_path)


@pytest.mark.parametrize(
    ("pipeline", "codes"),
    [("| head -n 1", "141 0"), ("> /dev/full", "6"), (">&-", "0"), ("2>&-", "0"), ("<&-", "0")],
)
def test_streams_that_are_closed_or_full_give_no_traceback(
    digits_folder, tmp_path, pipeline, codes
):
    words = " ".join(map(str, train(digits_folder, tmp_path / "out", *QUICK)))
    command = f'{sys.executable} -m {words} {pipeline}; echo "${{PIPESTATUS[*]}}"'
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert shown.stdout.splitlines()[-1] == codes
    assert len(shown.stderr.splitlines()) == (1 if codes == "6" else 0), shown.stderr
    assert (tmp_path / "out" / "metrics.json").exists() == codes.startswith("0")


def test_an_output_that_knows_only_ascii_spells_the_rest_out(digits_folder, tmp_path):
    shown = run_module(
        *train(digits_folder, tmp_path / "ä", *QUICK),
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert shown.returncode == 0, shown.stderr
    assert r"\xe4" in shown.stdout


def test_without_a_display_the_figures_are_drawn(digits_folder, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    shown = run_module(
        *("scratchnet.train", "--data-dir", digits_folder, "--out", tmp_path, *QUICK),
        env=environment | {"MPLBACKEND": "tkagg"},
    )
    assert shown.returncode == 0, shown.stderr
    assert len(list((tmp_path / "figures").iterdir())) == 5


def test_the_default_run_imports_no_library_that_it_does_not_use():
    # Half a second would be a matter of the machine; these are what would take it.
    heavy = "{'numba', 'matplotlib', 'torch', 'pooch', 'requests', 'scipy', 'PIL', 'mlxtend'}"
    for module in ("scratchnet", "scratchnet.train"):
        program = f"import sys, {module}; print(*{heavy} & {{*sys.modules}})"
        command = [sys.executable, "-c", program]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        assert shown.stdout.strip() == "", module


@pytest.mark.skipif(sys.platform != "linux", reason="where Linux tells the peak of memory")
def test_the_default_run_on_the_full_mnist_takes_less_than_600_megabytes(mnist, tmp_path):
    options = ("--data-dir", mnist.origin, "--out", tmp_path, "--epochs", 1)
    assert peak_of_training(*options) < 600
