"""The commands of the exercises: what they print, leave behind, and end with."""

import csv
import dataclasses
import io
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from scratchnet.checking.bugs import BUGS
from scratchnet.errors import DataError, UsageError
from scratchnet.exercises import kernel_chapter, milestones, stubs
from scratchnet.exercises.__main__ import main
from scratchnet.exercises.chapters import CHAPTERS, by_number
from scratchnet.exercises.implementation import FILES, PACKAGE
from tests.conftest import ROOT

KERNEL = "written: matmul is not written yet (kernel.py, line 13)"
BUG = next(bug for bug in BUGS if bug.name == "The gradient lacks 1/N")


@pytest.fixture
def solved(tmp_path):
    """A folder with all chapters done but the kernel, which takes a while to compile."""
    folder = tmp_path / "solved"
    folder.mkdir()
    for name, file in FILES.items():
        shutil.copy(PACKAGE / file, folder / f"{name}.py")
    (folder / "kernel.py").write_text(stubs.KERNEL)
    return folder


@pytest.fixture
def wrong(solved):
    """The same with a mistake in chapter 4."""
    path = solved / "losses.py"
    path.write_text(BUG.plant(path.read_text()))
    return solved


def test_a_new_folder_says_what_is_to_be_written_and_a_full_one_is_refused(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert not main(["start", str(folder)])
    assert {path.stem for path in folder.glob("*.py")} == set(stubs.NAMES)
    capsys.readouterr()

    assert main(["check", str(folder)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("chapter 1 of 17")
    assert "not written yet" in shown
    assert "layers.py" in shown
    with pytest.raises(FileExistsError):
        main(["start", str(folder)])


def test_hints_come_in_four_steps_and_the_last_names_the_line(wrong, capsys):
    shown = []
    for _ in range(5):
        assert main(["check", str(wrong), "4", "--hint"]) == 1
        shown.append(capsys.readouterr().out)

    assert [text.split(":")[0] for text in shown] == [f"hint {n} of 4" for n in (1, 2, 3, 4, 4)]
    assert "dlogits" in shown[0]
    assert "softmax_cross_entropy" in shown[0]
    assert "2 times" in shown[1]
    assert BUG.name in shown[2]
    number = int(shown[3].split("line ")[1].split(":")[0])
    assert (wrong / "losses.py").read_text().splitlines()[number - 1].strip()[:4] == "pass"


def test_a_milestone_has_hints_as_well(wrong, capsys):
    for _ in range(5):
        assert main(["check", str(wrong), "9", "--hint"]) == 1
        assert "beside ours: in step 1 " in capsys.readouterr().out


def test_a_solution_is_shown_without_a_folder(capsys):
    assert main(["check", "--solution", "linear_backward"]) == 0
    assert "self.dW = self.matmul(self.x.T, dy)" in capsys.readouterr().out


def test_a_class_is_graded_a_row_a_student_and_an_object_a_folder(wrong, tmp_path, capsys):
    right = tmp_path / "right"
    shutil.copytree(wrong, right)
    shutil.copy(PACKAGE / "nn" / "losses.py", right)
    (tmp_path / "notes.txt").write_text("no folder")

    main(["grade", str(right), str(wrong), str(tmp_path / "notes.txt"), "--csv"])
    out, err = capsys.readouterr()
    first, second = csv.DictReader(io.StringIO(out))
    assert (first["folder"], first["done"], first["first mistake"]) == (str(right), "16", KERNEL)
    assert second["loss_gradient"] == second["milestone_mlp"] == "0"
    assert second["first mistake"] == f"dlogits: {BUG.name}"
    assert "notes.txt" in err

    assert main(["check", str(right), str(wrong), "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["folder"] for line in lines] == [str(right), str(wrong)]
    assert [c["chapter"] for c in lines[0]["chapters"]] == [c.number for c in CHAPTERS]
    assert [c["done"] for c in lines[0]["chapters"]] == [True] * 16 + [False]
    fourth = lines[1]["chapters"][3]
    assert (fourth["name"], fourth["done"]) == ("loss_gradient", False)
    dlogits = next(c for c in fourth["checks"] if c["check"] == "dlogits")
    assert not dlogits["ok"]
    assert (dlogits["relation"], dlogits["diagnosis"]) == ("2 x", [BUG.name])


def test_a_milestone_counts_once_it_is_trained_with_these_files(
    solved, digits_folder, capsys, monkeypatch
):
    monkeypatch.setenv("SCRATCHNET_DATA_DIR", str(digits_folder))
    options = {"command": ("train", "--epochs", "2"), "mnist": 0.1}
    small = dataclasses.replace(milestones.MILESTONES["mlp"], **options)
    monkeypatch.setitem(milestones.MILESTONES, "mlp", small)
    chapter = by_number("milestone_mlp")

    main(["status", str(solved)])
    assert "milestone: your code learns MNIST, not trained yet" in capsys.readouterr().out
    for _ in range(2):  # the second time nothing is trained again
        result = milestones.check(solved, chapter, train=True)
        assert [c.check for c in result.checks] == ["beside ours", "training"]
        assert result.done, result.checks
    (run,) = (solved / "runs").iterdir()
    assert {"model.safetensors", "trained-with.json", "figures"} <= {p.name for p in run.iterdir()}

    path = solved / "layers.py"
    path.write_text(path.read_text() + "\n# another file\n")
    again = milestones.check(solved, chapter, train=False)
    assert [c.check for c in again.checks] == ["beside ours"]


def test_a_gan_and_a_cnn_go_beside_ours_and_a_mistake_is_noticed(solved):
    for name in ("milestone_cnn", "milestone_gan"):
        assert milestones.check(solved, by_number(name), train=False).done
    bug = next(bug for bug in BUGS if bug.name == "Real and fake are exchanged")
    path = solved / "gan.py"
    path.write_text(bug.plant(path.read_text()))
    assert not milestones.check(solved, by_number("milestone_gan"), train=False).done


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("def matmul(A, B):\n    return A @ B\n", "in Numba"),
        ("import numpy as np\ndef matmul(A, B):\n    return np.dot(A, B)\n", "in Numba"),
        ("def matmul(A):\n    return A\n", "runs"),
        ("matmul = \n", "runs"),
    ],
)
def test_a_kernel_that_is_none_is_told_why(tmp_path, text, check):
    (tmp_path / "kernel.py").write_text(text)
    result = kernel_chapter.check(tmp_path, by_number("kernel"), timed=False)
    assert result.first_wrong.check == check


def test_a_saved_step_ends_with_0_if_it_is_right_and_1_if_not(tmp_path, capsys):
    rng = np.random.default_rng(0)
    step = {"x": rng.random((3, 4)), "labels": np.array([0, 1, 1])}
    step |= {"W1": rng.standard_normal((4, 2)), "b1": np.zeros(2)}
    logits = step["x"] @ step["W1"]
    np.savez(tmp_path / "step.npz", **step, logits=logits)
    assert main(["diagnose", str(tmp_path / "step.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    np.savez(tmp_path / "step.npz", **step, logits=2 * logits)
    assert main(["diagnose", str(tmp_path / "step.npz")]) == 1
    assert "logits" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"nothing\.npz"):
        main(["diagnose", str(tmp_path / "nothing.npz")])


def test_a_folder_or_chapter_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        main(["check", str(tmp_path / "nobody")])
    with pytest.raises(UsageError, match="no chapter '99'"):
        main(["check", str(tmp_path), "99"])


def test_watch_checks_again_when_a_file_is_saved(wrong):
    command = [sys.executable, "-u", "-m", "scratchnet.exercises", "watch", str(wrong)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert _until(watching.stdout, "(watching").count("chapter 4 of 17") == 1
            time.sleep(0.1)  # the file's time has to differ
            shutil.copy(PACKAGE / "nn" / "losses.py", wrong)
            assert "chapter 4 of 17" in _until(watching.stdout, "(watching")
        finally:
            watching.kill()


def _until(lines, begin):
    text = ""
    for line in lines:
        text += line
        if line.startswith(begin):
            return text
    raise AssertionError(f"it ended: {text}")
