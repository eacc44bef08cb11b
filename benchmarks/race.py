"""This network compared with what a user might pick instead: `python -m benchmarks race`.

Every contender gets the same images, batches in the same order, initial weights, learning rate and
number of threads, each time in a process of its own; in every round all of them run, in an order
drawn anew. What each has learned from its first batches is compared with the layered network, and
its test accuracy with that network's, so nobody wins by computing something else.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contenders import CONTENDERS
from benchmarks.harness import environment
from benchmarks.worker import initial, order_of, settings
from scratchnet import data

LIBRARIES = "torch", "torchvision", "scikit-learn", "jax", "jaxlib"
REFERENCE = "numpy"
# Those whose cost is followed over the width and depth of the network and the number of images.
GROWING = ["fused", "sparse", "simd", "numpy", "torch", "by-hand", "jax-epoch"]

# The weights after the first 5 batches are compared, all of them as one vector: how far from the
# reference's, over the way that these have come. Rounding leaves 1e-6 to 1e-4; a learning rate that
# is 1 % off leaves 1e-2. Soon a pre-activation within rounding of 0 makes two ReLU masks part: that
# alone leaves some 1e-3 after 20 batches, and 1e-1 after an epoch.
CHECKED_BATCHES, TOLERANCE = 5, 3e-3
SAME_ACCURACY = 0.01  # no final test accuracy is further than this from the reference's


class Plan(NamedTuple):
    """How much is raced."""

    dataset: str
    images: int | None  # of an epoch; None for all there are
    names: list[str]
    threads: list[int]
    rounds: int
    epochs: int  # timed in every process, after one that is not
    goal: float  # the test accuracy to reach
    goal_for: list[str]
    goal_rounds: int
    sweeps: dict[str, tuple[list[str], list[dict[str, Any]]]]  # who, and what they change
    sweep_rounds: int


FULL = Plan(
    dataset="mnist",
    images=None,
    names=list(CONTENDERS),
    threads=sorted({1, len(os.sched_getaffinity(0))}),
    rounds=5,
    epochs=1,
    goal=0.97,
    goal_for=list(CONTENDERS),
    goal_rounds=1,
    sweeps={
        "batch_size": (
            list(CONTENDERS),
            [{"batch_size": n, "images": min(512 * n, 16_384)} for n in (1, 8, 64, 512, 4096)],
        ),
        "width": (GROWING, [{"hidden": [2**k, 2**k], "images": 3200} for k in (6, 8, 10, 11)]),
        "depth": (GROWING, [{"hidden": [128] * n, "images": 3200} for n in (1, 4, 8)]),
        "images": (GROWING, [{"images": n} for n in (15_000, 60_000)]),
    },
    sweep_rounds=1,
)
# Just enough to see that it runs: torch.compile alone would take half a minute.
QUICK = Plan(
    dataset="auto",
    images=3200,
    names=[name for name in CONTENDERS if name != "compile"],
    threads=[1],
    rounds=1,
    epochs=1,
    goal=0.8,
    goal_for=["bare"],
    goal_rounds=1,
    sweeps={
        "batch_size": (["numpy"], [{"batch_size": 64}]),
        "width": (["numpy"], [{"hidden": [64, 64]}]),
        "depth": (["numpy"], [{"hidden": [128]}]),
        "images": (["numpy"], [{"images": 1600}]),
    },
    sweep_rounds=1,
)


def main(quick=False):
    """Run the race; return what race.json keeps."""
    return run(QUICK if quick else FULL)


def run(plan):
    """Measure all that the plan says; return the results."""
    with tempfile.TemporaryDirectory() as cache:
        race = Race(plan, cache)
        race.epochs()
        race.time_to_goal()
        race.sweeps()
    return race.results


class Race:
    """Who takes part, and what was measured so far: `results`.

    Args:
        plan: a `Plan`.
        cache: a folder for compiled code, empty at first, so that everyone compiles once.
    """

    def __init__(self, plan, cache):
        self.plan, self.cache = plan, cache
        self.dataset = data.load(plan.dataset)
        self.available = list(CONTENDERS)
        self.random = random.Random(0)
        self.results = {
            "environment": environment() | versions(),
            "dataset": self.dataset.name,
            "plan": plan._asdict(),
            "titles": {name: contender.title for name, contender in CONTENDERS.items()},
            "absent": {},
        }

    def epochs(self):
        """Seconds per epoch of everyone, on one thread and on all."""
        self.results["epochs"] = []
        for threads in self.plan.threads:
            print(f"\nan epoch, threads: {threads}")
            runs = self.run_rounds(self.plan.names, self.plan.rounds, threads=threads)
            check_accuracies(runs)
            self.results["epochs"].append({"threads": threads, "runs": runs})

    def time_to_goal(self):
        """Seconds from the start of a process until it reaches the test accuracy of the plan."""
        plan = self.plan
        self.results["goal"] = runs = {}
        print(f"\nto a test accuracy of {plan.goal:.0%}")
        for _ in range(plan.goal_rounds):
            for name in self.line_up(plan.goal_for):
                job = self.job(name) | {"goal": plan.goal, "epochs": 20}
                with tempfile.TemporaryDirectory() as cache:
                    for caches in ("cold", "cached"):  # the first fills what the second finds
                        run = self.run_worker(job | {"started": time.time()}, cache)
                        if run["accuracy"] < plan.goal:
                            raise ValueError(f"{name} only reaches {run['accuracy']:.2%}")
                        runs.setdefault(name, {}).setdefault(caches, []).append(run)
                        print(f"{name:10} {caches:7} {run['seconds']:7.2f} s", flush=True)

    def sweeps(self):
        """How the cost grows: with the batch, the width and depth of the network, the images."""
        self.results["sweeps"] = {sweep: [] for sweep in self.plan.sweeps}
        for sweep, (names, changes) in self.plan.sweeps.items():
            for change in changes:
                print(f"\n{', '.join(f'{key}: {value}' for key, value in change.items())}")
                runs = self.run_rounds(names, self.plan.sweep_rounds, **change)
                seconds = {name: [run["seconds"] for run in runs[name]] for name in runs}
                setting = self.job("", **change)
                point = {key: setting[key] for key in ("batch_size", "hidden", "images")}
                self.results["sweeps"][sweep].append(point | {"seconds": seconds})

    def line_up(self, names):
        """Those of the names that take part, in an order drawn anew."""
        present = [name for name in names if name in self.available]
        return self.random.sample(present, len(present))

    def job(self, name, **change):
        """What `benchmarks.worker` is told."""
        standard = {
            "contender": name,
            "dataset": self.dataset.name,
            "images": self.plan.images or len(self.dataset.train.labels),
            "hidden": [128, 64],
            "batch_size": 32,
            "threads": 1,
            "epochs": self.plan.epochs,
        }
        return standard | change

    def run_rounds(self, names, rounds, **change):
        """{name: [run of each round]}, everyone in every round; ValueError for a wrong network."""
        runs = {}
        expected = self.reference(self.job(REFERENCE, **change))
        for _ in range(rounds):
            for name in self.line_up(names):
                weights = Path(self.cache, "weights.npz")
                job = self.job(name, **change) | {"weights": str(weights)}
                job["checked_images"] = CHECKED_BATCHES * job["batch_size"]
                run = self.run_worker(job, self.cache)
                if "absent" in run:
                    print(f"{name:10} is left out: {run['absent']}")
                    self.results["absent"][name] = run["absent"]
                    self.available.remove(name)
                    continue
                with np.load(weights) as found:
                    run["apart"] = apart(list(found.values()), expected, initial(job["hidden"]))
                if not run["apart"] <= TOLERANCE:
                    raise ValueError(f"{name} trains another network: {run['apart']:.2g} apart")
                runs.setdefault(name, []).append(run)
                print(
                    f"{name:10} {median(run['seconds']):8.3f} s, "
                    f"{median(run['cpu']):8.3f} s of all cores, weights {run['apart']:.0e} apart",
                    flush=True,
                )
        return {name: runs[name] for name in CONTENDERS if name in runs}

    def reference(self, job):
        """The weights of the reference after the first batches."""
        images, labels = self.dataset.train
        train_epoch = CONTENDERS[REFERENCE].prepare()(
            images, labels, initial(job["hidden"]), batch_size=job["batch_size"], lr=0.1
        )
        return train_epoch(order_of(0, len(labels))[: CHECKED_BATCHES * job["batch_size"]])

    def run_worker(self, job, cache):
        """Run a job in a process of its own, with its compiled code in the folder `cache`."""
        places = os.environ | settings(job["threads"], cache)
        if self.dataset.name != "sample":
            places["SCRATCHNET_DATA_DIR"] = self.dataset.origin  # the cache is elsewhere now
        command = [sys.executable, "-m", "benchmarks.worker", json.dumps(job)]
        root = Path(__file__).parents[1]
        output = subprocess.check_output(command, env=places, text=True, cwd=root)
        return json.loads(output.splitlines()[-1])


def check_accuracies(runs):
    """Raise ValueError for a final test accuracy that is not the reference's."""
    expected = runs[REFERENCE][0]["accuracy"]
    for name, rounds in runs.items():
        for accuracy in (run["accuracy"] for run in rounds):
            if not abs(accuracy - expected) <= SAME_ACCURACY:
                raise ValueError(f"{name} reaches {accuracy:.2%}, {REFERENCE} {expected:.2%}")


def apart(weights, expected, start):
    """The distance of the weights from those expected, over the way of these from the start."""

    def distance(those, these):
        return sum(float(np.square(p - q).sum()) for p, q in zip(those, these, strict=True)) ** 0.5

    return distance(weights, expected) / distance(expected, start)


def versions():
    """{library: version} of those that race and are installed."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found
