"""One contender alone in a process: `python -m benchmarks.worker '{"contender": "numpy", ...}'`.

The race starts it with the number of threads and the folders of every cache in its environment, so
that they stand before anything is imported. It prints what it measured as one line of JSON.
"""

import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.contenders import CONTENDERS
from scratchnet import MLP, data

ROOT = Path(__file__).parents[1]
BLAS_AND_OTHERS = "OMP", "OPENBLAS", "MKL", "VECLIB", "NUMEXPR", "NUMBA"


def settings(threads, cache):
    """The environment of a run: so many threads, and nothing cached but in the folder `cache`."""
    chosen = {f"{library}_NUM_THREADS": str(threads) for library in BLAS_AND_OTHERS}
    chosen["NPROC"] = str(threads)  # what XLA, under JAX, takes for the number of cores
    if threads == 1:  # nor may it compute concurrently with Python, on the next batch
        chosen["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        chosen["JAX_CPU_ENABLE_ASYNC_DISPATCH"] = "false"
    return chosen | {
        "XDG_CACHE_HOME": f"{cache}/kernels",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor",
        "JAX_COMPILATION_CACHE_DIR": f"{cache}/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def initial(hidden):
    """The parameters that everyone starts from, as `scratchnet.train --seed 0` draws them."""
    network = MLP((784, *hidden, 10), rng=np.random.default_rng(0))
    return [p for _, p in network.parameters()]


def order_of(epoch, n_images):
    """The order of an epoch, as `scratchnet.data.batches` has it for seed 0."""
    return np.random.default_rng((0, epoch)).permutation(n_images)


def accuracy(parameters, test):
    """The test accuracy of a network with these parameters; computed the same way for all."""
    right = 0
    for i in range(0, len(test.labels), 1000):
        a = data.to_unit_interval(test.images[i : i + 1000])
        for W, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            a = np.maximum(a @ W + b, 0)
        logits = a @ parameters[-2] + parameters[-1]
        right += int((logits.argmax(axis=1) == test.labels[i : i + 1000]).sum())
    return right / len(test.labels)


def prepared(job, prepare):
    """Load the data and prepare the contender; return (train_epoch, dataset)."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(job["threads"])
    dataset = data.load(job["dataset"])
    train_epoch = prepare(
        dataset.train.images.copy(),  # writable, as PyTorch wants them
        dataset.train.labels,
        initial(job["hidden"]),
        batch_size=job["batch_size"],
        lr=0.1,
    )
    return train_epoch, dataset


def run_epochs(job, prepare):
    """Time epochs of a contender that is warm; leave its early weights to be compared."""
    train_epoch, dataset = prepared(job, prepare)
    n = len(dataset.train.labels)
    early = train_epoch(order_of(0, n)[: job["checked_images"]])
    np.savez(job["weights"], *early)
    parameters = train_epoch(order_of(1, n)[: job["images"]])  # compiles, where sizes matter

    seconds, cpu = [], []
    for epoch in range(2, job["epochs"] + 2):
        order = order_of(epoch, n)[: job["images"]]
        wall_begin, cpu_begin = time.perf_counter(), time.process_time()
        parameters = train_epoch(order)
        seconds.append(time.perf_counter() - wall_begin)
        cpu.append(time.process_time() - cpu_begin)
    peak = peak_megabytes()
    reached = accuracy(parameters, dataset.test)
    return {"seconds": seconds, "cpu": cpu, "accuracy": reached, "peak_mb": peak}


def run_to_goal(job, prepare):
    """Train to a test accuracy; the seconds count from the start of the process."""
    train_epoch, dataset = prepared(job, prepare)
    training, reached, epoch = 0.0, 0.0, 0
    while reached < job["goal"] and epoch < job["epochs"]:
        epoch += 1
        begin = time.perf_counter()
        parameters = train_epoch(order_of(epoch, len(dataset.train.labels)))
        training += time.perf_counter() - begin
        reached = accuracy(parameters, dataset.test)
    seconds = time.time() - job["started"]
    return {"seconds": seconds, "training": training, "epochs": epoch, "accuracy": reached}


def peak_megabytes():
    """The most memory that this process ever held."""
    try:
        # Not getrusage: on Linux that remembers the process that this one was forked from.
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)[1]) * 1024 / 1e6
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024  # what getrusage counts in
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_of_training(*options):
    """Run `scratchnet.train` in a process of its own; return the most megabytes that it held."""
    program = (
        "import sys; from benchmarks.worker import peak_megabytes; from scratchnet import train;"
        "train.main(sys.argv[1:]); print(peak_megabytes())"
    )
    command = [sys.executable, "-c", program, *map(str, options)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return float(shown.stdout.splitlines()[-1])


def main():
    """Run the job of the command line, or say which import it failed at."""
    job = json.loads(sys.argv[1])
    run = run_to_goal if "goal" in job else run_epochs
    try:
        prepare = CONTENDERS[job["contender"]].prepare()
    except ImportError as error:
        result = {"absent": str(error)}
    else:
        result = run(job, prepare)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
