"""How many threads a product uses, and never two parallel kernels at once.

Numba's simplest pool of threads aborts the process when two Python threads enter it together, and
no pool survives a fork. Then the calling thread computes the product alone: the same bits, since no
sum is ever divided between threads.
"""

import os
import threading

import numba
from numba import njit

# Threads at rest take some 50 us to wake. A product of fewer multiply-adds is over by then, or so
# soon after that one core is as quick.
WORTH_WAKING = 8_000_000

_most = numba.config.NUMBA_NUM_THREADS
_count = _most
_pool = threading.Lock()
_pool_started = False


def set_threads(count):
    """From now on products use at most `count` threads."""
    global _count
    if not 1 <= count <= _most:
        raise ValueError(f"{count} threads: this process may use 1 to {_most}")
    _count = count


def compute(alone, together, A, B, C):
    """Compute C = A @ B: by alone(A, B, C), or by together(A, B, C, threads) if that is quicker."""
    global _pool_started
    few = _count == 1 or C.size * A.shape[1] < WORTH_WAKING
    if few or not _pool.acquire(blocking=False):  # the threads are at work for somebody else
        alone(A, B, C)
        return
    before = numba.get_num_threads()
    try:
        _pool_started = True
        numba.set_num_threads(_count)
        together(A, B, C, _count)
    finally:
        numba.set_num_threads(before)
        _pool.release()


@njit
def share(length, step, t, threads):
    """The slice of range(length) that is thread t's, its ends at multiples of `step`."""
    steps = (length + step - 1) // step
    return slice(steps * t // threads * step, min(length, steps * (t + 1) // threads * step))


def _in_forked_child():
    global _most, _count, _pool
    _pool = threading.Lock()
    if _pool_started:
        _most = _count = 1


os.register_at_fork(after_in_child=_in_forked_child)
