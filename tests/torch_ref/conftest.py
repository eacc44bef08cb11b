"""What the tests beside PyTorch share."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch's threads and NumPy's, each spinning while the other works, halve the speed."""
    with threadpool_limits(1):
        yield
