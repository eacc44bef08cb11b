"""Run in a process of its own: `python kernel_probe.py STEP...`, where a crash is a failed test."""

import ctypes
import mmap
import os
import sys
import threading

import numpy as np
from kernel_checks import DTYPES, as_view, assert_product, numbers, product_and_bound

from scratchnet.kernels import LADDER, get
from scratchnet.kernels.threads import set_threads

PROT_NONE = 0
SHAPES = [(0, 3, 2), (3, 0, 2), (1, 1, 1), (7, 13, 17), (33, 65, 10), (37, 300, 131), (70, 31, 100)]


def vector_bytes():
    from scratchnet.kernels.register_tile import VECTOR_BYTES

    print("vectors of", VECTOR_BYTES, "bytes")


def ladder(dtypes=DTYPES, names=tuple(LADDER)):
    """Every rung, on shapes that cross its blocks, plain and transposed."""
    rng = np.random.default_rng(0)
    for dtype in dtypes:
        for m, k, n in SHAPES:
            A, B = numbers(rng, (m, k), dtype), numbers(rng, (k, n), dtype)
            sparse = A * (rng.random(A.shape) < 0.2)
            for left in (A, sparse.astype(dtype)):
                expected = product_and_bound(left, B)
                for view in ("plain", "transposed"):
                    for name in names:
                        C = get(name)(as_view(left, view), as_view(B, view))
                        assert_product(C, left, B, expected)


def loops():
    ladder([np.float32], ["ijk", "ikj", "packed", "tiled", "parallel"])


def one_product():
    assert get("ikj")(np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)).sum() == 12


def disk_full():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may grow: a write fails, as if full


def many_threads_at_once():
    """Products on all threads of the pool, begun by several Python threads together."""
    A = np.random.default_rng(0).integers(-8, 9, (300, 300)).astype(np.float32)
    expected, wrong = A @ A, []

    def multiply():
        for _ in range(20):
            for name in ("parallel", "simd", "sparse"):
                if not np.array_equal(get(name)(A, A), expected):
                    wrong.append(name)

    threads = [threading.Thread(target=multiply) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def fork():
    """A child of a process that has used the pool computes the same product."""
    A = np.random.default_rng(0).integers(-8, 9, (300, 300)).astype(np.float32)
    expected = A @ A
    for name in ("parallel", "simd", "sparse"):
        assert np.array_equal(get(name)(A, A), expected)
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(get(name)(A, A), expected) for name in LADDER)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def guard_pages():
    """Operands that end, or begin, where the readable memory does."""
    set_threads(1)  # so that a crash is this thread's
    page, libc = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True)
    kept = []

    def fenced(matrix, at_end):
        pages = -(-matrix.nbytes // page)
        memory = mmap.mmap(-1, (pages + 2) * page)
        kept.append(memory)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for fence in (start, start + (pages + 1) * page):
            assert libc.mprotect(ctypes.c_void_p(fence), page, PROT_NONE) == 0
        offset = (pages + 1) * page - matrix.nbytes if at_end else page
        copy = np.frombuffer(memory, matrix.dtype, matrix.size, offset).reshape(matrix.shape)
        copy[...] = matrix
        return copy

    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        for m, k, n in [(7, 13, 17), (37, 300, 131), (70, 31, 100), (33, 65, 10), (193, 513, 130)]:
            for zeros in (0, 0.8):
                A, B = numbers(rng, (m, k), dtype, zeros), numbers(rng, (k, n), dtype)
                expected = product_and_bound(A, B)
                for at_end in (False, True):
                    for name in ("tiled", "simd", "sparse"):
                        C = get(name)(fenced(A, at_end), fenced(B, at_end))
                        assert_product(C, A, B, expected)
                        turned = fenced(A.T, at_end).T, fenced(B.T, at_end).T
                        assert_product(get(name)(*turned), A, B, expected)


if __name__ == "__main__":
    for step in sys.argv[1:]:
        globals()[step]()
