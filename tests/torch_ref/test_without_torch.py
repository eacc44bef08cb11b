"""Where PyTorch is not installed, the commands that need it say so in one line."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None"


@pytest.mark.parametrize("module", ["lockstep", "mutation", "train"])
def test_a_command_that_needs_pytorch_says_how_to_get_it(module, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TORCH)
    shown = subprocess.run(
        [sys.executable, "-m", f"torch_ref.{module}"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (shown.returncode, shown.stdout) == (6, "")
    assert shown.stderr == 'PyTorch is not installed: pip install -e ".[test]" brings it\n'
