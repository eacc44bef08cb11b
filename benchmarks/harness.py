"""Timing that two runs agree on: contenders take turns, and what is kept shows their spread.

On a shared machine the clock of a core and its neighbours change from second to second. Contenders
that are timed in turns, a millisecond each, meet the same conditions.
"""

import json
import os
import platform
import random
import statistics
import time
from pathlib import Path

import llvmlite
import numba
import numpy as np
import threadpoolctl

from benchmarks import sources

RESULTS = Path(__file__).parent / "results"

WARM_UP, SLICE = 5e-4, 1e-3  # seconds that a contender runs before it is timed, and while


def take_turns(contenders, seconds, fewest_rounds=3):
    """Return {name: [seconds per call, one for each round]} of {name: function of nothing}.

    The warm-up is for the core as much as for the caches: it takes its time to change between the
    clocks, and power, of code with narrow and with wide vectors. The order is new in every round.
    """
    once = {name: _once(function) for name, function in contenders.items()}
    samples = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples[order[0]]) < fewest_rounds:
        shuffle(order)
        for name in order:
            _run(contenders[name], int(WARM_UP / once[name]))
            calls = max(1, int(SLICE / once[name]))
            samples[name].append(_run(contenders[name], calls) / calls)
    return samples


def _run(function, calls):
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def _once(function):
    _run(function, 1)  # may compile
    return min(_run(function, 1) for _ in range(3))


def spread(samples):
    """(lower quartile, median, upper quartile) of a list of samples."""
    if len(samples) == 1:
        return tuple(samples * 3)
    return tuple(statistics.quantiles(samples, n=4, method="inclusive"))


def five_numbers(samples):
    """[minimum, lower quartile, median, upper quartile, maximum]: Tukey's five-number summary.

    Its quartiles are the samples' own, so what is computed from it is what the samples would give.
    """
    return [min(samples), *spread(samples), max(samples)]


def environment():
    """What a timing depends on, as far as it can be known."""
    blas = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "blas": [f"{pool['internal_api']} {pool['version']}" for pool in blas],
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")


def save(name, results, folder=RESULTS):
    """Write <folder>/<name>.json; numbers with five digits, so that a change can be read.

    In the kept folder, record also the sources that were measured.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(_rounded(results), indent=None, separators=(",", ":")) + "\n")
    if folder == RESULTS:
        sources.record(name)
    return path


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
