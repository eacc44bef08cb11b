"""Every classic bug is detected, and the right network is not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

import scratchnet
from scratchnet.checking.bugs import BUGS, Bug
from scratchnet.checking.planting import COMMANDS, import_planted, plant
from scratchnet.nn.conv import NUMPY_OPS
from torch_ref.mutation.__main__ import RESULTS
from torch_ref.mutation.detection import RIGHTS, detect

ROOT = Path(__file__).parents[2]
# The tests that notice most bugs in a second.
QUICK = ("test_mnist.py", "test_network.py", "test_conv.py", "test_gan.py")
ONE_A_FILE = {(bug.model, bug.file): bug for bug in BUGS}.values()
# Kernels that take many seconds to compile, and a planted one is compiled anew.
SLOW = tuple(f"kernels/{name}.py" for name in ("simd", "sparse", "fused", "implicit_gemm"))
QUICK_BUGS = [bug for bug in ONE_A_FILE if bug.file not in SLOW]
by_name = pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, id=bug.name, marks=() if bug in QUICK_BUGS else pytest.mark.exhaustive)
        for bug in BUGS
    ],
)


@by_name
def test_a_planted_bug_is_detected(bug, digits, pictures):
    detected = detect(import_planted(bug), digits, pictures, bug.model)

    assert detected is not None
    # not by a hair: in float64 the smallest is that of a product in single precision
    assert detected.factor > (1e3 if bug.model in COMMANDS else 1e6)


@pytest.mark.parametrize(
    "right",
    [
        pytest.param(r, id=r.model, marks=pytest.mark.exhaustive if r.file in SLOW else ())
        for r in RIGHTS
    ],
)
def test_the_right_network_is_not_detected(right, digits, pictures):
    assert detect(import_planted(right), digits, pictures, right.model) is None


def test_every_bug_has_a_name_of_its_own_and_there_are_many():
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 100


def test_the_readme_tells_how_many_bugs_there_are():
    top = (ROOT / "README.md").read_text(encoding="utf-8")

    assert f"[{len(BUGS)} classic mistakes](torch_ref/mutation/README.md)" in top


def test_planting_leaves_the_package_as_it_was():
    modules = {name: m for name, m in sys.modules.items() if name.startswith("scratchnet")}
    source = Path(scratchnet.nn.layers.__file__).read_bytes()

    planted = import_planted(BUGS[0])

    assert planted.ReLU is not scratchnet.ReLU
    assert Path(scratchnet.nn.layers.__file__).read_bytes() == source
    assert modules == {n: m for n, m in sys.modules.items() if n.startswith("scratchnet")}


def test_a_planted_kernel_is_compiled_from_its_own_file_and_leaves_the_users_cache_alone(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bug = next(bug for bug in BUGS if "neighbour" in bug.name and bug.model == "compiled cnn")
    x = np.arange(4.0).reshape(1, 1, 2, 2)  # the largest is the last
    y, argmax = NUMPY_OPS.max_pool(x, 2, 2)

    planted = import_planted(bug).kernels.conv_ops

    assert planted.max_pool_backward(y, argmax, x, 2, 2).ravel().tolist() == [0, 0, 3, 0]
    assert NUMPY_OPS.max_pool_backward(y, argmax, x, 2, 2).ravel().tolist() == [0, 0, 0, 3]
    assert not any(tmp_path.iterdir())


def test_a_bug_whose_line_has_changed_is_reported(tmp_path):
    with pytest.raises(ValueError, match="exactly once"):
        plant(Bug("old", "mlp", "nn/layers.py", (("no such line", ""),)), tmp_path)


def first_red_test(bug):
    """Run pytest, without these tests, on a tree with the bug; return the first failure.

    None if all of them pass.
    """
    with TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        hidden = (
            ".git",
            ".*_cache",
            ".hypothesis",
            ".venv",
            "__pycache__",
            "runs",
            "test_mutation*",
            "test_readme*",  # fails for a line that is quoted, whatever it does
            "test_report*",
        )
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*hidden, "scratchnet"))
        plant(bug, tree)
        options = ("-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-n", "0")
        tests = sorted(tree.glob("tests/**/test_*.py"), key=lambda path: path.name not in QUICK)
        result = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode == 0:
        return None
    red = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    if not red:
        raise RuntimeError(f"pytest did not run: {result.stdout}{result.stderr}")
    return red[0].split()[1].split("[")[0]


# Every bug turns the other tests red; to run them all for each takes too long here.
@pytest.mark.exhaustive
@pytest.mark.parametrize("file", ["nn/layers.py", "nn/conv.py", "nn/gan.py"])
def test_the_other_tests_turn_red_when_a_bug_is_planted(file):
    assert first_red_test(next(bug for bug in BUGS if bug.file == file))


def test_the_recorded_results_are_about_these_bugs_and_all_were_detected():
    rows = json.loads(RESULTS.read_text())["rows"]

    rights, planted = rows[: len(RIGHTS)], rows[len(RIGHTS) :]
    for row, right in zip(rights, RIGHTS, strict=True):
        assert (row["model"], row["file"], row["factor"]) == (right.model, right.file, None)
    assert [(row["bug"], row["edits"]) for row in planted] == [
        (bug.name, [list(edit) for edit in bug.edits]) for bug in BUGS
    ]
    assert all(row["factor"] for row in planted)
