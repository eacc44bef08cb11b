"""What the tests against PyTorch share."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def no_warning_of_an_overflow():
    """As in the command, where the comparison says what it comes to."""
    with np.errstate(over="ignore", invalid="ignore"):
        yield
