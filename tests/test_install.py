"""What `pip install -e .` promises, wherever one stands."""

import os
import subprocess
import sys


def test_it_can_be_imported_in_the_folder_that_holds_a_clone_of_the_same_name(tmp_path):
    (tmp_path / "scratchnet").mkdir()  # the clone, to Python a package without __init__
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for program in (["-c", "from scratchnet import MLP"], ["-m", "scratchnet.train", "--help"]):
        shown = subprocess.run(
            [sys.executable, *program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert shown.returncode == 0, shown.stderr
