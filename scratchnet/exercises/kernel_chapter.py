"""The last chapter: a matrix product of the learner's, judged as a rung of the ladder.

First right: every shape, stride and dtype, within the error bound of a sum of products. Then timed
against rungs of ours, in turns, since a machine is never equally fast for long.
"""

import ast
import os
import time
from functools import partial
from pathlib import Path

import numpy as np

from scratchnet.exercises import diagnosis, runner
from scratchnet.exercises.check import Check, Result
from scratchnet.exercises.implementation import Implementation
from scratchnet.kernels import LADDER, get

SHAPES = (
    (1, 1, 1),
    (1, 7, 5),
    (6, 784, 128),
    (32, 128, 64),
    (33, 65, 17),
    (128, 32, 10),
    (5, 1, 9),
)
SECONDS = 120  # compilation takes its time
RIVALS = ("ijk", "ikj", "tiled", "simd", "numpy")
ROUNDS = 25
SHAPE = (128, 784, 128)  # m, K, n of the products that are timed


def check(folder, chapter, timed):
    """Check kernel.py; return the Result, with how fast it is if it is `timed` and right."""
    from scratchnet.kernels.jit import cache_folder  # only here: Numba takes half a second

    cache = [cache_folder()]  # of our rungs
    outcome = runner.run(_run, os.path.abspath(folder), timed, seconds=SECONDS, writable=cache)
    if outcome.stopped:
        return Result(chapter, [Check("runs", False, outcome.stopped)], outcome.printed)
    return Result(chapter, outcome.value, outcome.printed)


def _run(folder, timed):
    """In a process of its own: the Checks."""
    path = Path(folder, "kernel.py")
    if not path.is_file():
        return [Check("runs", False, f"{path} is missing")]
    nn = Implementation({"kernel": (path, path.read_text(encoding="utf-8"))})
    try:
        matmul = product_of(nn.kernel)
        checks = [in_numba(nn.kernel, path), *right(matmul)]
        if timed and all(c.ok for c in checks):
            checks.append(fast(matmul))
        return checks
    except Exception as error:
        end = diagnosis.raised(error, nn)
        if end.unwritten:
            return [Check("written", False, f"matmul is not written yet ({end.place})")]
        return [Check("runs", False, f"{end.place}: {end.text}")]


def product_of(module):
    """Return the function `matmul` of a module, or the first of our rungs that it defines."""
    names = [name for name in ("matmul", *LADDER) if hasattr(module, name)]
    if not names:
        raise AttributeError("kernel.py defines no matmul")
    return getattr(module, names[0])


def in_numba(module, path):
    """Return the Check that something is compiled, and that no library multiplies in its place."""
    from numba.core.dispatcher import Dispatcher  # only here: Numba takes half a second

    products = {"matmul", "dot", "einsum", "tensordot", "inner", "vdot"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        at = isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
        if at or (isinstance(node, ast.Attribute) and node.attr in products):
            return Check(
                "in Numba", False, f"kernel.py, line {node.lineno}: that is NumPy's product"
            )
    if not any(isinstance(value, Dispatcher) for value in vars(module).values()):
        return Check("in Numba", False, "nothing in kernel.py is compiled: see numba.njit")
    return Check("in Numba", True, "ok")


def right(matmul):
    """Return the Checks of a kernel's results."""
    checks = []
    for dtype in (np.float32, np.float64):
        for title, cases in (("contiguous", _contiguous), ("any strides", _strided)):
            checks.append(_within_bounds(f"{np.dtype(dtype).name}, {title}", matmul, cases(dtype)))
    checks.append(_whole_numbers(matmul))
    checks.append(_leaves_operands(matmul))
    return checks


def _contiguous(dtype):
    rng = np.random.default_rng(1)
    for m, K, n in SHAPES:
        yield rng.standard_normal((m, K)).astype(dtype), rng.standard_normal((K, n)).astype(dtype)


def _strided(dtype):
    for A, B in _contiguous(dtype):
        yield np.ascontiguousarray(A.T).T, np.ascontiguousarray(B.T).T
        yield np.repeat(np.repeat(A, 2, axis=0), 3, axis=1)[::2, ::3], B[:, ::-1]


def _within_bounds(title, matmul, pairs):
    """|C - AB| <= γ_K |A||B|, element by element (Higham, 2002, section 3.1)."""
    for A, B in pairs:
        C = matmul(A, B)
        where = f"for {A.shape} times {B.shape}: "
        if not isinstance(C, np.ndarray):
            return Check(title, False, f"{where}it returns a {type(C).__name__}, not an array")
        if C.shape != (len(A), B.shape[1]) or C.dtype != A.dtype:
            return Check(title, False, f"{where}it returns {C.dtype} {C.shape}")
        K, u = A.shape[1], float(np.finfo(A.dtype).eps) / 2
        exact, size = (
            x.astype(np.longdouble) @ y.astype(np.longdouble) for x, y in ((A, B), (abs(A), abs(B)))
        )
        off = np.abs(C - exact) / (K * u / (1 - K * u) * size)
        if not (off <= 1).all():
            i, j = np.unravel_index(np.nanargmax(np.where(np.isnan(off), np.inf, off)), off.shape)
            return Check(
                title, False, f"{where}C[{i}, {j}] is {C[i, j]:.6g}, not {exact[i, j]:.6g}"
            )
    return Check(title, True, "ok, within the error bound of a sum of products")


def _whole_numbers(matmul):
    rng = np.random.default_rng(2)
    A, B = (rng.integers(-8, 9, shape).astype(np.float32) for shape in ((37, 53), (53, 29)))
    same = np.array_equal(matmul(A, B), A.astype(int) @ B.astype(int))
    return Check(
        "whole numbers",
        same,
        "ok, exact" if same else "wrong: sums of small whole numbers are exact",
    )


def _leaves_operands(matmul):
    A, B = next(_contiguous(np.float32))
    A, B = np.tile(A, (9, 8)), np.tile(B, (8, 7))
    copies, first = (A.copy(), B.copy()), matmul(A, B)
    kept = first.copy()
    matmul(A + 1, B)
    if not (np.array_equal(A, copies[0]) and np.array_equal(B, copies[1])):
        return Check("operands", False, "wrong: it changes A or B")
    if not np.array_equal(first, kept):
        return Check("operands", False, "wrong: C lies in memory that the next product writes over")
    return Check("operands", True, "ok, A and B stay as they are, and C is new")


def fast(matmul):
    """Time a kernel and ours in turns, on one thread; return the Check that says how fast it is."""
    import numba  # only here: it takes half a second

    from scratchnet.kernels.peak import peak
    from scratchnet.kernels.threads import set_threads

    set_threads(1)
    numba.set_num_threads(1)
    rng = np.random.default_rng(3)
    m, K, n = SHAPE
    A, B = (
        rng.standard_normal((m, K)).astype(np.float32),
        rng.standard_normal((K, n)).astype(np.float32),
    )
    contenders = {"yours": matmul} | {name: get(name) for name in RIVALS}
    calls = {name: partial(product, A, B) for name, product in contenders.items()}
    calls["peak"], operations = peak(np.float32)
    seconds = {name: [] for name in calls}
    for call in calls.values():
        call()  # compiles it
    for _ in range(ROUNDS):
        for name in rng.permutation(list(calls)):  # none always follows the same other one
            call = calls[name]
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    mine, ceiling = np.array(seconds["yours"]), operations / min(seconds["peak"])
    words = [_compare(name, np.array(seconds[name]) / mine) for name in RIVALS]
    rate = 2 * m * K * n / np.median(mine)
    speed = f"{rate / 1e9:.1f} GFLOP/s, {rate / ceiling:.0%} of this core's peak"
    return Check("speed", True, f"{speed}; {', '.join(words)}")


def _compare(name, ratios):
    """ "faster than ikj (1.8)": by the median ratio, if a 95 % bootstrap interval excludes 1."""
    rng = np.random.default_rng(4)
    draws = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    ratio = np.median(ratios)
    factor = f"{max(ratio, 1 / ratio):.3g} times as"
    if low > 1:
        return f"{factor} fast as {name}"
    if high < 1:
        return f"{factor} slow as {name}"
    return f"cannot tell from {name}"
