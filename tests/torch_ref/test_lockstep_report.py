"""The report of a walk: what it calls a pass."""

from dataclasses import replace

import numpy as np
import pytest

import scratchnet
from tests.torch_ref.lockstep_steps import one_step
from torch_ref.lockstep import report


@pytest.mark.parametrize(("off", "ok"), [(0.9e-12, True), (1.1e-12, False), (np.nan, False)])
def test_a_twin_may_drift_off_by_1e_12_in_an_epoch_of_float64(off, ok):
    rng = np.random.default_rng(0)
    mlp = scratchnet.MLP((5, 4, 3), rng=rng, dtype=np.float64)
    step = one_step(mlp, rng.standard_normal((6, 5)), np.arange(6) % 3)
    W2 = step.ours["W2"].copy()
    W2[1, 2] += off
    summary = report.Summary()
    for number in range(1, report.DRIFT_STEPS + 1):
        last = number == report.DRIFT_STEPS
        summary.add(
            replace(step, number=number, twin=step.twin | {"W2": W2} if last else step.twin)
        )
    assert summary.ok == ok
    assert str(summary).endswith("PASS" if ok else "FAIL")
