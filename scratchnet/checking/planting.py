"""Plant a catalogued bug in a copy of this package, and import the copy beside the right one.

The package itself is never changed.
"""

import importlib
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numba.core.caching import NullCache

import scratchnet

SIZES = (784, 128, 64, 10)
CHANNELS, WIDTHS = (4, 8), (32, 10)  # of a small CNN: mistakes are as wrong, and sooner measured
NOISE, HIDDEN = 16, (64,)  # of a small GAN
GAN_LR = 2e-4
RUNGS = {"tiled mlp": "loops", "simd mlp": "simd", "sparse mlp": "sparse"}  # modules, by models
COMMANDS = {"layered mlp": "train", "fused mlp": "train", "trained gan": "gan"}  # by models
# What is imported of a planted package: all that its networks, kernels and commands ever need.
MODULES = ("data", "nn.gan", "training.epoch")
KERNELS = tuple(f"kernels.{name}" for name in ("conv_ops", "adam", "loops", "simd", "sparse"))
OF_COMMANDS = ("kernels.fused", "data.corruptions", "evaluation.plots", "train", "gan")


class Uncached(NullCache):
    """In place of `scratchnet.kernels.jit.DiskCache`: keeps nothing."""

    compilations = 0

    def __init__(self, py_func):
        pass


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

    compiles = bug.file.startswith("kernels/") or bug.model in RUNGS
    needed = MODULES + (KERNELS if compiles or bug.model in COMMANDS else ())
    needed += OF_COMMANDS if bug.model in COMMANDS else ()
    with TemporaryDirectory() as folder, _set_aside({}) as modules:
        plant(bug, folder)
        sys.path.insert(0, folder)
        try:
            planted = importlib.import_module("scratchnet")
            if len(needed) > len(MODULES):
                jit = importlib.import_module("scratchnet.kernels.jit")
                if bug.file.startswith("kernels/") and bug.edits:
                    # Machine code of these sources alone: in the cache lies that of the right ones.
                    jit.DiskCache = Uncached
                else:
                    jit.cache_folder()  # named after the sources, while they are there
            for name in needed:
                importlib.import_module(f"scratchnet.{name}")
        finally:
            sys.path.remove(folder)
        modules.update(_imported())
    planted.modules = modules
    return planted


@contextmanager
def in_place(planted):
    """Have every import of scratchnet find the planted package meanwhile, as its commands do."""
    with _set_aside(planted.modules):
        yield


@contextmanager
def _set_aside(modules):
    """Exchange the imported modules of scratchnet for others, {name: module}, meanwhile."""
    right = _imported()
    for name in right:
        del sys.modules[name]
    sys.modules.update(modules)
    try:
        yield modules
    finally:
        for name in _imported():
            del sys.modules[name]
        sys.modules.update(right)


def _imported():
    return {name: m for name, m in sys.modules.items() if name.split(".")[0] == "scratchnet"}


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
    if model in RUNGS:
        layer_args["matmul"] = getattr(getattr(planted.kernels, RUNGS[model]), model.split()[0])
    return planted.MLP(SIZES, **layer_args)
