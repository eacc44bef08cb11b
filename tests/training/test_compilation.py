"""Kernels are compiled, or loaded, before the first epoch: it takes no longer than the others."""

import subprocess
import sys

import numpy as np
import pytest

from scratchnet import MLP, SGD
from scratchnet.cli.options import cores
from scratchnet.training import compilation
from tests.conftest import ROOT

# Says whenever a compiled function meets types of arguments for the first time.
PROGRAM = """
import sys
from scratchnet import gan, train
from scratchnet.kernels.jit import DiskCache
load = DiskCache.load_overload
def load_overload(self, *args):
    print("\\nfirst call:", self.name)
    return load(self, *args)
DiskCache.load_overload = load_overload
{"train": train, "gan": gan}[sys.argv[1]].main(sys.argv[2:])
"""
GAN = ("gan", "--hidden", 16, "--discriminator-hidden", 16, "--batch-size", 52)
PARALLEL = ("train", "--no-plots", "--matmul", "parallel", "--threads", min(2, cores()))
CNN = ("train", "--no-plots", "--model", "cnn", "--hidden", 8, "--batch-size", 131)


@pytest.mark.parametrize("words", [CNN, PARALLEL, GAN], ids=["cnn", "parallel", "gan"])
def test_no_compiled_function_is_called_for_the_first_time_in_an_epoch(
    words, digits_folder, tmp_path
):
    options = (*words, "--epochs", 1, "--data-dir", digits_folder, "--out", tmp_path / "run")
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, options)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    before, _, after = shown.partition("\nEpoch [1/1]")
    assert "code    making the kernels ready: " in before
    assert "first call:" in before
    assert "first call:" not in after


def test_a_rehearsal_changes_no_bit():
    rng = np.random.default_rng(0)
    mlp = MLP((6, 5, 10), rng=rng)
    sgd = SGD(mlp, 0.1, momentum=0.9)
    x, labels = rng.random((7, 6), np.float32), rng.integers(10, size=7)  # (7,6), (7,)
    arrays = [array for _, array in (*mlp.parameters(), *sgd.velocities)]
    before = [array.tobytes() for array in arrays]
    compilation.rehearse(mlp, sgd, x, labels, batch_size=4)
    assert [array.tobytes() for array in arrays] == before


def test_an_epoch_has_batches_of_one_size_or_of_two():
    assert compilation.batch_sizes(8, 4) == {4}
    assert compilation.batch_sizes(9, 4) == {4, 1}
    assert compilation.batch_sizes(3, 4) == {3}
