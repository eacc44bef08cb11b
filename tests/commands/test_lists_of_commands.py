"""`python -m scratchnet` and `python -m torch_ref` list the commands that there are."""

import pytest

import scratchnet.__main__
import torch_ref.__main__
from tests.conftest import ROOT


@pytest.mark.parametrize("package", [scratchnet, torch_ref], ids=lambda package: package.__name__)
def test_every_command_is_listed_with_what_it_does(package, capsys):
    package.__main__.main([])
    shown = capsys.readouterr().out
    own = ROOT / package.__name__
    files = {path for path in own.rglob("*.py") if "entry.run(" in path.read_text()}
    files -= {own / "__main__.py", own / "zoo.py"}  # the list itself, and a former name
    for path in files:
        parts = path.relative_to(ROOT).with_suffix("").parts
        assert f"python -m {'.'.join(parts).removesuffix('.__main__')} " in shown
    assert shown.count("python -m torch_ref.") + shown.count("python -m scratchnet.") == len(files)


@pytest.mark.parametrize("package", [scratchnet, torch_ref], ids=lambda package: package.__name__)
def test_any_argument_is_2(package):
    with pytest.raises(SystemExit) as stop:
        package.__main__.main(["train"])
    assert stop.value.code == 2
