"""The kernel ladder: one matrix product (GEMM), written again and again, each time faster.

    C[i, j] = sum over k of A[i, k] * B[k, j]          A (m, K)   B (K, n)   C (m, n)

README.md beside this file is the lesson, with a picture and a number for each rung. In the code,
read loops.py first, then simd.py, with register_tile.py at hand, then sparse.py: a rung's docstring
says only what changed since the rung below, and why that is faster. What is no product is compiled
in fused.py (a whole epoch), conv_ops.py, implicit_gemm.py and adam.py. `operands`, `memory`,
`threads` and `jit` are the floor that all of them stand on.

Every rung takes two matrices of float32 or float64 with any strides and returns a new one: it means
what np.matmul means, and can take its place in `Linear(..., matmul=get("simd"))`.
"""

from pkgutil import resolve_name

LADDER = {
    "ijk": "scratchnet.kernels.loops:ijk",
    "ikj": "scratchnet.kernels.loops:ikj",
    "packed": "scratchnet.kernels.loops:packed",
    "tiled": "scratchnet.kernels.loops:tiled",
    "parallel": "scratchnet.kernels.loops:parallel",
    "simd": "scratchnet.kernels.simd:simd",
    "sparse": "scratchnet.kernels.sparse:sparse",
    "numpy": "numpy:matmul",  # the yardstick: OpenBLAS, MKL or Accelerate
}


def get(name):
    """Return the kernel of that name; ValueError, with the names there are, for any other.

    It is imported only now: who multiplies with NumPy need not wait for Numba.
    """
    if name not in LADDER:
        raise ValueError(f"unknown kernel {name!r}: choose one of {', '.join(LADDER)}")
    return resolve_name(LADDER[name])
