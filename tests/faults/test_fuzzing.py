"""A few hundred damaged files of each kind; `python -m tests.faults` takes many more."""

import json

import numpy as np
import pytest

from benchmarks.harness import RESULTS
from tests.faults.campaigns import fuzzing


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


def test_in_the_recorded_counts_nothing_was_lost():
    counts = json.loads((RESULTS / "faults.json").read_text())
    assert counts["kills"]["resumed to the same bits"] == counts["kills"]["killed"] == 1000
    for found in counts["interruptions"].values():
        assert len(set(found.values())) == 1  # all of them in one line, all resumed
    for found in counts["fuzzing"].values():
        assert found[fuzzing.WRONG] == found[fuzzing.CRASHED] == 0
    for found in counts["determinism"].values():
        assert found["distinct weights"] == 1
