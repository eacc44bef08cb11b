"""A few of the ways to the same bits; `python -m tests.faults` goes all of them."""

import pytest

from scratchnet.cli.options import cores
from tests.faults.campaigns import determinism


@pytest.mark.exhaustive
@pytest.mark.skipif(cores() < 2, reason="two threads need two processors")
def test_threads_and_processes_do_not_change_a_bit_of_the_weights():
    counts = determinism.main(kernels=["parallel", "sparse"])
    assert counts.keys() == {"--matmul parallel", "--matmul sparse", "--engine fused"}
    for way, found in counts.items():
        assert found["distinct weights"] == 1, way
