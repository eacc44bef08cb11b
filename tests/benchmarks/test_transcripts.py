"""What the READMEs show of a command's output is what the command prints."""

import json
import re

import pytest

from benchmarks import transcripts
from benchmarks.harness import RESULTS
from scratchnet import train
from torch_ref.lockstep import __main__ as lockstep

RUNS = json.loads((RESULTS / "pictures.json").read_text())


def form(line):
    """A line with 0 for every number, whatever the verdict on a tensor that passes."""
    line = re.sub(r"[+-]?\d[\d,]*(\.\d+)?(e[+-]\d+)?", "0", line)
    line = re.sub(r": [Wb]0 in", ": W0 in", line)
    return " ".join(re.sub(r"ok, (same bits|cancels)$", "ok", line).split())


def shown(maker):
    """The forms of the lines of a transcript that any data would lead to."""
    lines = [line for line in maker(RUNS) if line not in ("```", "...") and line[:2] != "$ "]
    varying = "^data|^  first|^  after|error bounds"
    return {form(line) for line in lines if not re.search(varying, line)}


def test_a_training_still_prints_what_the_first_page_shows(digits_folder, tmp_path, capsys):
    out = tmp_path / "default"
    options = ("--data-dir", str(digits_folder), "--epochs", "1", "--no-plots")
    train.main([*options, "--out", str(out)])
    printed = capsys.readouterr().out.replace(str(out), "runs/default")
    printed = printed.replace("config.json, ", "config.json, figures, ")  # but for --no-plots
    assert shown(transcripts.train) <= {form(line) for line in printed.splitlines()}


@pytest.mark.parametrize(
    ("makers", "options"),
    [
        (
            (transcripts.lockstep_first, transcripts.lockstep_worst, transcripts.lockstep_end),
            ("--steps", "2"),
        ),
        ((transcripts.free_run,), ("--steps", "2", "--dtype", "float32", "--free-run")),
    ],
    ids=["lockstep", "free-run"],
)
def test_lockstep_still_prints_what_its_page_shows(
    makers, options, digits_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)  # the curve goes there
    lockstep.main(["--data-dir", str(digits_folder), *options])
    printed = {form(line) for line in capsys.readouterr().out.splitlines()}
    for maker in makers:
        assert shown(maker) <= printed
