"""Exit codes: every command ends a mistake with one line on stderr, and a code for its kind.

2 usage   3 data   4 checkpoint   5 numeric   6 environment   130 SIGINT   143 SIGTERM
"""

import contextlib
import os
import signal
import sys
import threading

from scratchnet import signals
from scratchnet.errors import EXIT_CODES, Stopped


def run(command):
    """Call `command()` and exit with its code, or with one line on stderr and the code above."""

    def stop(signum, frame):
        raise Stopped(signum)

    signals.in_command = True
    sys.unraisablehook = _stop_again
    _prepare_streams()
    try:
        signals.handle(stop)
        command()
        sys.stdout.flush()
        signals.handle(signal.SIG_IGN)  # all is done and written
    except Stopped as stopped:
        _exit(128 + stopped.signum, stopped)
    except BrokenPipeError:  # `| head` has seen enough
        sys.exit(128 + signal.SIGPIPE)
    except tuple(EXIT_CODES) as error:
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        _exit(code, describe(error))
    finally:
        try:
            sys.stdout.flush()
        except OSError:  # a full disk or a closed pipe: what Python flushes at exit goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def describe(error):
    """Return what an exception says, with the words that Python leaves out."""
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    try:
        sys.stdout.flush()
    except OSError as unwritten:
        return f"standard output: {unwritten.strerror}"
    return error


def one_line(text):
    """Return the text with its line breaks and other control characters spelt out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def _exit(code, message):
    signals.handle(signal.SIG_IGN)  # another Ctrl-C could only add a traceback to the line
    with contextlib.suppress(OSError):  # a full disk or a closed pipe does not change the code
        print(one_line(message), file=sys.stderr)
    sys.exit(code)


def _stop_again(unraisable):
    # Raised in a destructor, such as that of a progress bar, an exception is printed and dropped.
    # A moment later the stop is asked for again, and raised wherever the command is then.
    if isinstance(unraisable.exc_value, Stopped):
        again = os.kill, (os.getpid(), unraisable.exc_value.signum)
        timer = threading.Timer(0.01, *again)
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(unraisable)


def _prepare_streams():
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  open to the end
    # A pipe shows each line when it is printed; what the encoding lacks is spelt out.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
