"""The pages about the exercises: what they show is what is printed, and what they say is so."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import diagnosis as matrix
from scratchnet import CNN, MLP, softmax_cross_entropy
from scratchnet.checking.bugs import BUGS
from scratchnet.exercises import implementation, step, stubs
from scratchnet.exercises.__main__ import main
from scratchnet.exercises.chapters import CHAPTERS, by_number
from tests.conftest import ROOT

TEXT = (ROOT / "scratchnet/exercises/README.md").read_text(encoding="utf-8")
TOP = (ROOT / "README.md").read_text(encoding="utf-8")
BY_NAME = {bug.name: bug for bug in BUGS}


def transcript(page, command):
    """What a page shows below a command."""
    shown = re.search(rf"^\$ {re.escape(command)}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return shown.group(1)


@pytest.fixture
def mynet(tmp_path, monkeypatch):
    """The present folder holds the folder mynet, with a mistake in chapter 4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "mynet").mkdir()
    bug = BY_NAME["The gradient lacks 1/N"]
    for name, (_, text) in implementation.sources(bug).items():
        (tmp_path / "mynet" / f"{name}.py").write_text(stubs.flat_imports(text))


def test_a_check_prints_what_both_pages_show(mynet, capsys):
    assert main(["check", "mynet", "4"]) == 1
    shown = capsys.readouterr().out
    command = "python -m scratchnet.exercises check mynet 4"
    assert transcript(TEXT, command) == shown
    assert shown.startswith(transcript(TOP, command))


def test_a_diagnosis_prints_what_the_page_shows(mynet, capsys):
    wrong = implementation.with_bugs(BY_NAME["ReLU lets every gradient through"])
    np.savez("step.npz", **matrix.saved_step(wrong, np.float32), **matrix.RATES)
    assert main(["diagnose", "step.npz"]) == 1
    shown = capsys.readouterr().out
    assert transcript(TEXT, "python -m scratchnet.exercises diagnose step.npz") == shown


def test_the_page_lists_every_chapter_with_what_is_to_be_written():
    rows = re.findall(r"^\| (\d+)\. (.*?) \| (.*?) \|", TEXT, re.MULTILINE)
    assert [(int(number), title) for number, title, _ in rows] == [
        (chapter.number, chapter.title) for chapter in CHAPTERS
    ]
    for (_, _, asked), chapter in zip(rows, CHAPTERS, strict=True):
        assert (
            re.findall(r"`([\w.]+)`", asked.replace(".py`", ""))
            == [name for _, name in chapter.written]
            or not chapter.written
        )
    assert "in seventeen chapters" in TOP
    assert len(CHAPTERS) == 17


def test_the_answers_to_the_questions_are_true():
    rng = np.random.default_rng(0)
    rows = json.loads((ROOT / "torch_ref/mutation/results.json").read_text())["rows"]
    accuracy = {row["bug"]: row.get("test_accuracy") for row in rows if row["model"] == "mlp"}
    answer = by_number("relu").answer
    assert f"{accuracy['ReLU' + chr(39) + 's mask is taken from the gradient']:.0%}" == "11%"
    assert f"{accuracy['ReLU leaks in the backward pass only']:.0%}" == "96%"
    assert accuracy["ReLU leaks in the backward pass only"] > accuracy["None"]
    assert "11 %" in answer
    assert "96 %" in answer

    loss, dlogits = softmax_cross_entropy(np.zeros((4, 10)), np.arange(4))
    assert f"{loss:.3f}" in by_number("softmax_cross_entropy").answer
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-15)
    assert f"{-(-55_000 // 32):,}" in by_number("batches").answer
    assert f"{55_000 % 32} images" in by_number("batches").answer

    mlp, cnn = MLP((784, 128, 64, 10), rng=rng), CNN(rng=rng)
    weights = [sum(p.size for _, p in network.parameters()) for network in (mlp, cnn)]
    places = (28 * 28, 14 * 14, 1, 1)
    products = sum(layer.W.size * n for layer, n in zip(cnn.parametric_layers, places, strict=True))
    ratio = products / sum(layer.W.size for layer in mlp.parametric_layers)
    assert 1.9 < weights[1] / weights[0] < 2.1
    assert f"{ratio:.0f} times" in by_number("milestone_cnn").answer


def test_the_snippet_for_jax_saves_a_step_that_is_right(tmp_path, monkeypatch):
    jax = pytest.importorskip("jax")
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(loss, gradients = jax.*?)```", TEXT, re.DOTALL)
    rng = np.random.default_rng(0)
    sizes = (6, 5, 3)

    def loss_function(parameters, x, labels):
        for W, b in parameters[:-1]:
            x = jax.nn.relu(x @ W + b)
        W, b = parameters[-1]
        logp = jax.nn.log_softmax(x @ W + b)
        return -logp[np.arange(len(labels)), labels].mean()

    parameters = [
        tuple(rng.standard_normal(shape).astype(np.float32) for shape in ((i, o), (o,)))
        for i, o in pairwise(sizes)
    ]
    given = {"parameters": parameters, "x": rng.random((4, 6), np.float32)}
    exec(
        snippet,
        {"jax": jax, "np": np, "loss_function": loss_function, **given, "labels": np.arange(4) % 3},
    )
    checks = step.diagnose(step.load("step.npz"))
    assert {"loss", "dW1", "db2", "W1_after", "b2_after"} <= {check.check for check in checks}
    assert all(check.ok for check in checks), checks
