"""The kernel ladder: one matrix product, written eight times, each rung faster than the last."""

import numpy as np

from scratchnet.kernels.loops import ijk, ikj, packed, parallel, tiled
from scratchnet.kernels.simd import simd
from scratchnet.kernels.sparse import sparse
from scratchnet.kernels.threads import set_threads

LADDER = {
    "ijk": ijk,
    "ikj": ikj,
    "packed": packed,
    "tiled": tiled,
    "parallel": parallel,
    "simd": simd,
    "sparse": sparse,
    "numpy": np.matmul,  # the yardstick: OpenBLAS, MKL or Accelerate
}


def get(name):
    """The kernel of that name; ValueError, with the names there are, for any other."""
    if name not in LADDER:
        raise ValueError(f"unknown kernel {name!r}: choose one of {', '.join(LADDER)}")
    return LADDER[name]


__all__ = ["LADDER", "get", "set_threads"]
