"""Imported where runs of tests are forked from: pytest and all that it imports when it runs."""

import contextlib
import io
import os

import pytest

import scratchnet.exercises.score_tests  # noqa: F401

os.environ.pop("PYTEST_ADDOPTS", None)
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    pytest.main(["--version"])
