"""What several test files share: the digits, as scratchnet and as torchvision reads them."""

import os
from pathlib import Path

import pooch
import pytest

from scratchnet import data
from torch_ref import data as torch_data


@pytest.fixture(scope="session")
def digits():
    """The full MNIST where it lies on this machine, else the sample; nothing is downloaded."""
    cached = Path(pooch.os_cache("scratchnet"), f"{data.TEST_LABELS}.gz").is_file()
    here = cached or "SCRATCHNET_DATA_DIR" in os.environ
    return data.load("mnist" if here else "sample")


@pytest.fixture(scope="session")
def pictures(digits):
    """torchvision's reading of the training images in `digits`."""
    with torch_data.torchvision_folder(digits) as root:
        return torch_data.datasets.MNIST(
            root, train=True, transform=torch_data.transforms.ToTensor()
        )
