"""Plant a catalogued bug in a copy of this package, and import the copy beside the right one.

The package itself is never changed.
"""

import importlib
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numba.core.caching import NullCache

import scratchnet

SIZES = (784, 128, 64, 10)
CHANNELS, WIDTHS = (4, 8), (32, 10)  # of a small CNN: mistakes are as wrong, and sooner measured
NOISE, HIDDEN = 16, (64,)  # of a small GAN
GAN_LR = 2e-4


def plant(bug, folder):
    """Write a copy of the package scratchnet with the bug in it into the folder.

    Raises:
        ValueError: the right text of the bug does not stand in its file exactly once.
    """
    package = Path(folder, "scratchnet")
    shutil.copytree(
        Path(scratchnet.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    source = (package / bug.file).read_text(encoding="utf-8")
    (package / bug.file).write_text(bug.plant(source), encoding="utf-8")


def import_planted(bug):
    """Return the package scratchnet with the bug in it, imported beside the right one."""

    def ours():
        return {name: m for name, m in sys.modules.items() if name.split(".")[0] == "scratchnet"}

    right = ours()
    with TemporaryDirectory() as folder:
        plant(bug, folder)
        for name in right:
            del sys.modules[name]
        sys.path.insert(0, folder)
        try:
            planted = importlib.import_module("scratchnet")
            for name in ("data", "nn.gan", "training.epoch"):
                importlib.import_module(f"scratchnet.{name}")
            if bug.file.startswith("kernels/"):
                # Machine code of these sources alone: in the user's cache lies that of the right.
                jit = importlib.import_module("scratchnet.kernels.jit")
                jit.DiskCache = lambda py_func: NullCache()
                for name in ("conv_ops", "adam"):
                    importlib.import_module(f"scratchnet.kernels.{name}")
        finally:
            sys.path.remove(folder)
            for name in ours():
                del sys.modules[name]
            sys.modules.update(right)
    return planted


def build(planted, model, dtype=np.float32):
    """Return a small network or GAN of a package like scratchnet, by the `model` of a Bug."""
    layer_args = {"rng": np.random.default_rng(0), "dtype": dtype}
    if "gan" in model:
        both = planted.nn.gan
        pair = both.Generator(NOISE, HIDDEN, **layer_args), both.Discriminator(HIDDEN, **layer_args)
        adam = planted.kernels.adam if model == "compiled gan" else planted.nn.optim
        return both.GAN(*pair, GAN_LR, GAN_LR, update=adam.adam_update)
    if model == "compiled cnn":
        layer_args["ops"] = planted.kernels.conv_ops.COMPILED_OPS
    if model == "direct cnn":
        layer_args["ops"] = planted.kernels.conv_ops.IMPLICIT_GEMM_OPS
        layer_args["matmul"] = planted.kernels.simd.simd
    if "cnn" in model:
        return planted.CNN(WIDTHS, channels=CHANNELS, **layer_args)
    return planted.MLP(SIZES, **layer_args)
