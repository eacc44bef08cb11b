"""What the tests against PyTorch share."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    """As in the command: one thread, since PyTorch's and NumPy's would spin in turns, and no
    warning of an overflow beside what the comparison says."""
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
        yield
