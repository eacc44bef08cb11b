"""Ctrl-C and SIGTERM where an exception would be lost: they end a command here and now.

That is while the libraries are imported, so this is imported before all else, and while LLVM
compiles, as it calls back into Python. At all other times `cli.entry` answers. Only a command's own
process is meant: a library leaves the signals of its users alone.
"""

import contextlib
import os
import signal
import sys
import threading
from itertools import pairwise

COMMANDS = ("scratchnet.", "torch_ref.")
SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Whether this process is a command's; `cli.entry.run` says so, too.
in_command = any(
    flag == "-m" and module.startswith(COMMANDS) for flag, module in pairwise(sys.orig_argv)
)


cleanups = []  # functions that a command calls before it ends, whatever ends it


@contextlib.contextmanager
def cleaned_up(cleanup):
    """Call a function at the end of `with`, also where a signal ends the command within it."""
    cleanups.append(cleanup)
    try:
        yield
    finally:
        cleanups.remove(cleanup)
        cleanup()


def end(signum, _):
    """Say so and end: a library might catch an exception."""
    with contextlib.suppress(OSError):  # nobody may be listening
        os.write(2, b"stopped\n")
    for cleanup in reversed(cleanups):
        cleanup()
    os._exit(128 + signum)


def handle(handler):
    """Let the handler answer both signals; return the handlers before it.

    One that is ignored stays so, as Ctrl-C is for a job that a script runs in the background.
    """
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    before = {signum: found for signum, found in before.items() if found is not signal.SIG_IGN}
    for signum in before:
        signal.signal(signum, handler)
    return before


@contextlib.contextmanager
def at_once():
    """Within `with`, both signals end a command here and now."""
    if not in_command or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = handle(end)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


if in_command:
    handle(end)
