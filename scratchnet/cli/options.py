"""What the options of all commands are made of: a parser and its types."""

import argparse
import math
import os

from scratchnet import kernels
from scratchnet.cli.entry import one_line
from scratchnet.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports a wrong option in one line, without the usage text."""

    def error(self, message):
        self.exit(2, one_line(f"{self.prog}: {message} (see --help)") + "\n")


def cores():
    """Return how many processors this process may use: more threads would only wait."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def nonempty_path(text):
    """An argparse type: a path; an empty one is most likely an unset variable of a shell."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def whole_number(low, high=None):
    """Return an argparse type: an integer from `low` to `high`."""

    def parse(text):
        value = int(text)
        if value < low or (high is not None and value > high):
            bound = f"at least {low}" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text} must be {bound}")
        return value

    parse.__name__ = "whole number"  # argparse names the type in its message
    return parse


def real_number(low, high=math.inf, *, exclusive=False):
    """Return an argparse type: a finite number from `low`, or over it if `exclusive`, to `high`."""

    def parse(text):
        value = float(text)
        if not (math.isfinite(value) and low <= value <= high) or (exclusive and value == low):
            bound = f"over {low}" if exclusive else f"at least {low}"
            bound += f" and at most {high}" if high < math.inf else ""
            raise argparse.ArgumentTypeError(f"{text} must be a finite number {bound}")
        return value

    parse.__name__ = "number"
    return parse


def kernel(name, threads=1):
    """Return the matrix product `name`, to run on so many threads; UsageError lists the known."""
    if name != "numpy":
        from scratchnet.kernels.threads import set_threads  # only here: Numba takes half a second

        try:
            set_threads(threads)
        except ValueError as error:
            raise UsageError(f"--threads: {error}") from error
    try:
        return kernels.get(name)
    except ValueError as error:
        raise UsageError(f"--matmul: {error}") from error
