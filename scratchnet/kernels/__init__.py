"""The kernel ladder: one matrix product, written again and again, each time faster.

    C[i, j] = sum over k of A[i, k] * B[k, j]          A (m, K)   B (K, n)   C (m, n)

Read loops.py first: five rungs, one idea each. Then simd.py, with registers.py at hand: the rung
that holds a tile of C in vector registers. Then sparse.py, which multiplies less. What a rung's
docstring tells is what changed since the rung below, and why that is faster. `operands`, `threads`
and `compiling` are the floor that all of them stand on. fused.py leaves the ladder: there the whole
epoch, not a product, is one compiled function. images.py and adam.py have the parts of pooling,
folding and Adam that are no product, and direct.py a convolution that multiplies patches where they
lie.

Every rung takes two matrices of float32 or float64 with any strides and returns a new one: it means
what np.matmul means, and can take its place in `Linear(..., matmul=get("simd"))`.

How fast can it be? A core has two ceilings.

    operations   cores x clock x multiply-add units x lanes x 2
                 1 x 3.2 GHz x 2 x 16 x 2 = 205 GFLOP/s for AVX-512 in float32
    bytes        what the memory delivers: some 10 GB/s to one core, and some 100 GB/s from the
                 second-level cache

A product of (m, K) by (K, n) does 2 m K n operations on 4 (m K + K n + m n) bytes, if each number
is moved only once. The first layer at batch 32 is 32 x 784 by 784 x 128:

    operations   2 x 32 x 784 x 128             = 6.4 million   31 us at 205 GFLOP/s
    bytes        4 x (25,088 + 100,352 + 4,096) = 0.52 million  52 us at 10 GB/s, 5 us at 100 GB/s

Twelve operations for each byte. From memory the bytes would be the ceiling; but W is used again a
moment later and waits in the second-level cache, so the arithmetic is. A rung that is slower than
that moves its bytes more than once, or does fewer operations at a time than the core can. The last
layer, 32 x 64 by 64 x 10, is 41 thousand operations, 0.2 us: less than it takes to call a function
from Python and check its arguments. `python -m benchmarks gemm` measures both ceilings and draws
every product under them.
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
