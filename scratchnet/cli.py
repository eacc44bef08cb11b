"""What every command does alike: one line for a mistake, and an exit code that names its kind.

2 usage   3 data   4 checkpoint   5 numeric   6 environment   130 SIGINT   143 SIGTERM
"""

import argparse
import contextlib
import math
import os
import signal
import sys

from scratchnet import signals
from scratchnet.errors import EXIT_CODES, Stopped


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports a wrong option in one line, without the usage text."""

    def error(self, message):
        self.exit(2, one_line(f"{self.prog}: {message} (see --help)") + "\n")


def run(command):
    """Call `command()` and exit with its code, or with one line on stderr and the code above."""

    def stop(signum, frame):
        raise Stopped(signum)

    signals.in_command = True
    _prepare_streams()
    try:
        signals.handle(stop)
        command()
        signals.handle(signal.SIG_IGN)  # all is done and written
    except Stopped as stopped:
        _exit(128 + stopped.signum, stopped)
    except BrokenPipeError:  # `| head` has seen enough; what Python still flushes goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except MemoryError as error:
        _exit(6, f"not enough memory: {error}")
    except OSError as error:
        _exit(6, f"{error.filename}: {error.strerror}" if error.filename else error)
    except tuple(EXIT_CODES) as error:
        _exit(EXIT_CODES[type(error)], error)


def one_line(text):
    """Return the text with its line breaks and other control characters spelt out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def _exit(code, message):
    signals.handle(signal.SIG_IGN)  # another Ctrl-C could only add a traceback to the line
    with contextlib.suppress(OSError):  # a full disk or a closed pipe does not change the code
        print(one_line(message), file=sys.stderr)
    sys.exit(code)


def _prepare_streams():
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  open to the end
    # A pipe shows each line when it is printed; what the encoding lacks is spelt out.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")


def cores():
    """Return how many processors this process may use: more threads would only wait."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def path(text):
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
