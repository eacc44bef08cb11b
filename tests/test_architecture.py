"""The architecture that the README's map shows: which room may import from which."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FREE = {"errors", "files", "signals"}  # for everyone
ROOMS = {  # of scratchnet, from the ground up: the rooms that each may import from
    "nn": set(),
    "data": set(),
    "kernels": {"nn"},
    "evaluation": {"data", "nn"},
    "checking": {"nn", "data"},
    "cli": {"kernels"},
    "training": {"cli", "evaluation", "data", "kernels", "nn"},
    "exercises": {"checking", "cli", "evaluation", "data", "kernels", "nn"},
}
COMMANDS = {"train", "predict", "robustness", "gan", "tune"}


def imports(path):
    """Yield the full name of every module, or name in one, that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


def room_of(path):
    return path.relative_to(ROOT / "scratchnet").parts[0].removesuffix(".py")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_the_rooms_below(room):
    found = {
        name.split(".")[1]
        for path in sources(f"scratchnet/{room}")
        for name in imports(path)
        if name.startswith("scratchnet.")
    }
    public = found - set(ROOMS) - COMMANDS - FREE  # such as scratchnet.MLP: of nn
    assert found & (set(ROOMS) | COMMANDS) <= ROOMS[room] | {room}
    assert not public or "nn" in ROOMS[room] | {room}


def test_every_folder_of_scratchnet_is_a_room_that_this_page_knows():
    folders = {path.parent.name for path in (ROOT / "scratchnet").glob("*/__init__.py")}
    assert folders == set(ROOMS)


@pytest.mark.parametrize(
    ("package", "foreign"),
    [
        ("scratchnet", ("torch", "torchvision", "torch_ref", "benchmarks", "tests")),
        ("torch_ref", ("benchmarks", "tests")),
        ("benchmarks", ("tests",)),
    ],
)
def test_a_package_never_imports_what_stands_above_it(package, foreign):
    for path in sources(package):
        found = {name.split(".")[0] for name in imports(path)}
        assert not found & set(foreign), path


def test_nobody_imports_a_command():
    commands = tuple(f"scratchnet.{command}" for command in COMMANDS)
    for package in ("scratchnet", "torch_ref", "benchmarks"):
        for path in sources(package):
            found = [name for name in imports(path) if ".".join(name.split(".")[:2]) in commands]
            assert not found, f"{path}: {found}"


def test_benchmarks_do_not_use_what_is_for_commands():
    for path in sources("benchmarks"):
        assert not [name for name in imports(path) if name.startswith("scratchnet.cli")], path


def test_the_mathematics_needs_numpy_alone():
    for path in sources("scratchnet/nn"):
        found = {name.split(".")[0] for name in imports(path)}
        assert found <= {"numpy", "scratchnet", *sys.stdlib_module_names}, path


def test_importing_scratchnet_imports_neither_numba_nor_matplotlib_nor_torch():
    program = "import sys, scratchnet; print({'numba', 'matplotlib', 'torch'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout == "set()\n"


def test_no_module_is_longer_than_420_lines_and_scratchnet_has_at_most_19_entries():
    for package in ("scratchnet", "torch_ref", "benchmarks"):
        for path in sources(package):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 420, path
    entries = {path.name for path in (ROOT / "scratchnet").iterdir()} - {"__pycache__"}
    assert len(entries) <= 19, entries


def test_no_name_says_nothing():
    vague = {"utils.py", "helpers.py", "common.py", "misc.py"}
    for package in ("scratchnet", "torch_ref", "benchmarks", "tests"):
        assert not vague & {path.name for path in sources(package)}
