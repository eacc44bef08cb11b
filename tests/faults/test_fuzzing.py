"""A few hundred damaged files of each kind; `python -m tests.faults` takes many more."""

import numpy as np
import pytest

from tests.faults import fuzzing


def test_no_damaged_file_is_taken_for_another_or_crashes_the_decoders():
    for kind, counts in fuzzing.main(300, seed=1).items():
        assert counts[fuzzing.WRONG] == counts[fuzzing.CRASHED] == 0, kind
        assert counts[fuzzing.REFUSED] > 200, kind
        assert counts.get("megabytes more at the peak", 0) < 50, kind


def test_a_careless_decoder_is_found_out():
    def careless(content):
        return fuzzing.SAME if content[0] == 0 else 1 / 0

    assert fuzzing.outcome(careless, b"\0") == (fuzzing.SAME, None)
    assert fuzzing.outcome(careless, b"\1")[0] == fuzzing.CRASHED


@pytest.mark.parametrize("size", [0, 1, 5, 1000])
def test_accidents_happen_to_content_of_any_size(size):

    rng = np.random.default_rng(0)
    assert len({fuzzing.mutated(bytes(size), rng) for _ in range(300)}) > 50
