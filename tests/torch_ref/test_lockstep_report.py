"""The report of a walk tells the worst, the first and the last, and passes no drift in an epoch."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import scratchnet
from scratchnet.checking.comparison import compare
from tests.torch_ref.lockstep_steps import one_step
from torch_ref.lockstep import report
from torch_ref.lockstep.extended_precision import is_finer
from torch_ref.lockstep.step import Flip


def step(number, *, W1=1.0, bound=0.0, z1=(1.0, -1.0), twin=(1.0, -1.0), drift=0.0, flips=()):
    """A Step of a network of one unit a layer and two images, in which PyTorch's W1 is 1.

    Args:
        W1, z1: ours.
        bound: how far W1 may be off.
        twin: its z1 and z2.
        drift: of its W1, from ours.
    """
    ours = {"x": np.ones((2, 1)), "z1": np.array([z1]).T, "W1": np.array([[W1]])}  # (2,1), (1,1)
    ours["z2"] = ours["z1"]
    return SimpleNamespace(
        number=number,
        ours=ours,
        twin=ours | dict.fromkeys(("z1", "z2"), np.array([twin]).T) | {"W1": ours["W1"] + drift},
        drift={"W1": drift, "b1": drift / 2},
        comparisons=[
            compare("z1", ours["z1"], ours["z1"], lambda: 0.0),
            compare("W1", ours["W1"], np.array([[1.0]]), lambda: bound),
        ],
        flips=list(flips),
    )


def summary_of(*steps):
    summary = report.Summary()
    for each in steps:
        summary.add(each)
    return summary


def row(summary, tensor):
    """The step and the difference in the row of a tensor."""
    (line,) = (line for line in str(summary).splitlines() if line.startswith(f"{tensor} "))
    return line.split()[2:4]


def test_the_worst_of_each_tensor_is_shown_with_its_step():
    summary = summary_of(step(1, W1=1 + 2e-15), step(2, W1=1 + 8e-15), step(3, W1=1 + 4e-15))

    assert row(summary, "W1") == ["2", "8.0e-15"]
    assert row(summary, "z1") == ["1", "0.0e+00"]
    assert "6 tensors compared, 0 failed\n" in str(summary)
    assert str(summary).endswith("PASS")


def test_a_failure_is_worse_than_any_difference_that_is_excused_and_a_nan_is_the_worst():
    excused, failed = step(1, W1=1 + 1e-9, bound=1e-8), step(2, W1=1 + 1e-12)

    assert row(summary_of(excused, failed), "W1") == ["2", "1.0e-12"]
    assert row(summary_of(failed, step(3, W1=np.nan), failed), "W1") == ["3", "nan"]


def test_the_first_failure_and_the_first_excuse_are_named():
    steps = [step(1), step(2, W1=1 + 1e-9, bound=1e-8), step(3, W1=1.5), step(4, W1=1.5)]
    shown = str(summary_of(*steps))

    assert "8 tensors compared, 2 failed, the first W1 in step 3\n" in shown
    assert (
        "  1 lie within their error bounds, as their terms cancel; the first is W1 in step 2"
        in shown
    )
    assert shown.endswith("FAIL")


def test_the_twin_is_followed_to_where_it_parted_and_flipped_and_how_far_it_has_drifted():
    first = step(2, drift=1e-15, twin=(1.0, -1.5))
    summary = summary_of(
        step(1),
        first,
        step(3, drift=3e-15, twin=(-2.0, 1.0)),
        step(4, drift=2e-15, twin=(-1.0, 0.5)),
    )

    lines = summary.free_run().splitlines()
    assert lines[2].startswith("  first bitwise difference: z1 in step 2, by ")
    where = "step 3, image 0, unit 0 of z1: +1 by hand, -2 in the twin"
    assert lines[3] == f"  first ReLU on the other side: {where}"
    drifted = "  after step {} its parameters differ by at most {}"
    assert lines[4:] == [drifted.format(1, "0.0e+00"), drifted.format(4, "2.0e-15")]
    said = "an unsynchronised twin drifts off by 3.0e-15 (limit 1e-12): W1 in step 3\n"
    assert said in str(summary)
    figure = report.draw_drift(summary)
    assert figure.axes[0].lines[0].get_ydata()[1:].tolist() == [1e-15, 3e-15, 2e-15]


def test_a_twin_that_never_flips_is_said_not_to():
    summary = summary_of(step(1))

    assert "no ReLU on the other side of 0" in summary.free_run()
    assert len(report.draw_drift(summary).axes[0].lines) == 4  # W1, b1, eps and the limit


@pytest.mark.parametrize(("number", "ok"), [(1, False), (1875, False), (1876, True)])
def test_a_drift_counts_for_an_epoch_of_mnist_and_no_longer(number, ok):
    summary = summary_of(step(1))
    summary.drifts = [{"W1": 0.0}] * (number - 1) + [{"W1": 2e-12}] + [{"W1": 0.0}] * 9
    summary.steps = len(summary.drifts)

    assert summary.ok is ok


def test_a_flip_is_shown_with_its_unit_and_those_not_excused_come_first():
    flips = [Flip(7, "z1", 3, (i,), 1e-9, -1e-9, 1e-8) for i in range(25)]
    flips.append(Flip(7, "z1", 3, (25,), 1e-7, -1e-9, 1e-8))
    summary = summary_of(step(7, flips=flips))
    shown = str(summary)

    assert "26 ReLUs on different sides of 0, 25 of them excused" in shown
    (first, *others) = (line for line in shown.splitlines() if "unit" in line)
    assert first == (
        "  step 7, image 3, unit 25 of z1: +1.0e-07 by hand, -1.0e-09 in PyTorch, bound ±1.0e-08"
        ": NOT EXCUSED"
    )
    assert len(others) == 19
    assert "  and 6 more\n" in shown
    assert not summary.ok


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


@pytest.mark.skipif(not is_finer(np.float64), reason="needs a longdouble finer than float64")
def test_the_table_tells_the_own_error_of_either_side_of_every_tensor_that_has_one():
    mlp = scratchnet.MLP((20, 5, 3), rng=np.random.default_rng(0), dtype=np.float64)
    x = np.random.default_rng(1).random((4, 20))  # (4,20)
    taken = one_step(mlp, x, np.array([0, 1, 2, 0]))
    del taken.ours["db2"]

    numbers = {}  # of each tensor: in eps of the largest, of the norm, own error of either side
    for line in report.table(taken).splitlines()[3:]:
        name, _, _, *cells = line.split()
        numbers[name] = [float(cell) for cell in cells if cell[0].isdigit()]

    assert numbers["labels"] == []
    assert len(numbers["db2"]) == 3  # no own error of ours
    for name in ("z1", "a1", "logits", "loss", "dW1", "W2"):
        assert len(numbers[name]) == 4
        assert max(numbers[name]) < 10
    assert numbers["z1"][2] > 0


def test_no_format_is_its_own_reference():
    assert is_finer(np.float32)
    assert not is_finer(np.longdouble)
