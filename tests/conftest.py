"""What several test files share: the digits."""

import os
from pathlib import Path

import pooch
import pytest

from scratchnet import data


@pytest.fixture(scope="session")
def digits():
    """The full MNIST where it lies on this machine, else the sample; nothing is downloaded."""
    cached = Path(pooch.os_cache("scratchnet"), f"{data.TEST_LABELS}.gz").is_file()
    here = cached or "SCRATCHNET_DATA_DIR" in os.environ
    return data.load("mnist" if here else "sample")
