"""The numbers in the prose of the READMEs, which no report writes, are what they are said to be."""

import json
from statistics import mean

import numpy as np
import pytest

from benchmarks.harness import RESULTS
from benchmarks.lines import code_lines
from benchmarks.race_report import products
from scratchnet import MLP
from scratchnet.checking.bugs import BUGS
from tests.conftest import ROOT
from torch_ref.mutation.__main__ import RESULTS as MUTATION


def page(path):
    """A page of which every line break is a space."""
    return " ".join((ROOT / path).read_text(encoding="utf-8").split())


def test_the_accuracy_that_the_first_page_opens_with_is_that_of_the_table():
    found = json.loads((RESULTS / "accuracy.json").read_text())
    text = page("README.md")
    assert "to a test accuracy of about 98 %" in text
    for setting in ("MNIST, 10 epochs", "MNIST, 30 epochs"):
        assert round(100 * mean(found[setting])) == 98
    assert "a test accuracy of about 99 % after five epochs" in text
    assert round(100 * mean(found["MNIST, CNN, 5 epochs"])) == 99


def test_the_mathematics_is_as_short_as_the_first_page_says():
    names = ("layers", "losses", "network", "optim")
    files = [ROOT / "scratchnet" / "nn" / f"{name}.py" for name in names]
    lines = sum(len(code_lines(path.read_text(encoding="utf-8"))) for path in files)
    assert "about 300 lines of code, without comments" in page("README.md")
    assert lines < 310


def test_the_bugs_are_as_many_and_train_as_well_as_the_pages_say():
    assert f"[{len(BUGS)} classic mistakes]" in page("README.md")
    assert "half of the bugs in the MLP it is still over 95 %" in page("README.md")
    rows = json.loads(MUTATION.read_text())["rows"]
    scores = [row["test_accuracy"] for row in rows if row["model"] == "mlp" and row["edits"]]
    assert np.mean(np.array(scores) > 0.95) == pytest.approx(0.5, abs=0.05)


def in_fused(hidden, pixels=150):
    """Multiply-adds an image in the fused epoch: of the first layer only with pixels not 0."""
    first = 784 * hidden[0]
    return products(hidden) - 2 * first + 2 * pixels * hidden[0]


def test_about_150_pixels_of_an_image_are_not_0(sample):
    lit = np.count_nonzero(sample.train.images) / len(sample.train.images)
    assert lit == pytest.approx(150, rel=0.02)
    assert f"skips pixels that are 0, {1 - lit / 784:.0%} of MNIST".replace("%", " %") in page(
        "benchmarks/README.md"
    )


def test_the_rounds_of_the_kernels_are_as_many_as_the_page_says():
    races = json.loads((RESULTS / "gemm.json").read_text())["races"]
    rounds = [row["rounds"] for race in races for row in race["products"]]
    assert f"of the {min(rounds)} to {max(rounds)} rounds" in page("benchmarks/README.md")


def test_the_work_of_the_fused_epoch_is_as_the_page_of_the_kernels_counts_it():
    text = page("scratchnet/kernels/README.md")
    small = [128, 64]
    assert f"| {round(products(small), -3):,} | {round(in_fused(small), -3):,} |" in text


def test_the_work_of_the_fused_epoch_grows_as_the_page_of_the_race_says():
    text = page("benchmarks/README.md")
    wide, deep = (
        growth([64, 64], [2048, 2048]),
        growth([128], [128] * 8),
    )
    assert (
        f"by a factor of about {round(wide[1], -1):.0f} over the width, not {wide[0]:.0f}, and of "
        f"about {deep[1]:.0f} over the depth, not {deep[0]:.1f}" in text
    )
    megabytes = [weights_of([n, n]) * 4 / 1e6 for n in (64, 2048)]
    assert "from {:.1f} MB to {:.0f} MB".format(*megabytes) in text


def growth(small, large):
    """How many times the work grows: of the layers, and of the fused epoch."""
    return products(large) / products(small), in_fused(large) / in_fused(small)


def weights_of(hidden):
    network = MLP((784, *hidden, 10), rng=np.random.default_rng(0))
    return sum(layer.W.size for layer in network.parametric_layers)
