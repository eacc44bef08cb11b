"""Somebody else's code, run in a process of its own, with limits of time and memory.

It cannot overwrite a file by accident: it writes into a temporary folder only. This is no sandbox:
it protects against mistakes, not against malice.

A server imports NumPy and the probes once; each run is a fork of it, ready in milliseconds.
"""

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECONDS = 10  # for what takes a tenth of a second when it is right
MEMORY = 4 << 30  # bytes of address space
_PRINTED = 400  # the last characters of what was printed that are shown
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink",
    "os.chmod", "shutil.rmtree", "shutil.move",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a run has left."""

    value: object  # what the function returned; None if it was stopped
    stopped: str = ""  # why, if it was
    printed: str = ""  # the end of what it printed


def run(function, *args, seconds=SECONDS, memory=MEMORY, writable=(), preload=()):
    """Call function(*args) in a process of its own; return its Outcome.

    Args:
        function: of a module, not a closure; it and what it is given and returns can be pickled.
        seconds, memory: the limits, in seconds and bytes.
        writable: folders that it may write into as well.
        preload: modules that the server imports as well, if this is the first run of all.
    """
    server = multiprocessing.get_context("forkserver")
    known = ["scratchnet.exercises.probes", "scratchnet.exercises.diagnosis"]
    server.set_forkserver_preload([*known, *preload])
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the server: many run side by side
    with tempfile.TemporaryDirectory(prefix="scratchnet-", ignore_cleanup_errors=True) as home:
        receiver, sender = server.Pipe(duplex=False)
        process = server.Process(
            target=_confined, args=(sender, home, writable, memory, function, args), daemon=True
        )
        process.start()
        sender.close()
        value, stopped = None, ""
        try:
            if receiver.poll(seconds):
                value, stopped = receiver.recv()
                process.join(1)  # it cleans up behind itself
            else:
                stopped = f"stopped after {seconds:g} s: is there an endless loop?"
        except (EOFError, ConnectionError):
            process.join(1)
            stopped = _ending(process.exitcode)
        finally:
            process.kill()
            process.join()
            receiver.close()
        return Outcome(value, stopped, _tail(Path(home, "printed")))


def _ending(exitcode):
    if exitcode is not None and exitcode < 0:
        return f"the process was ended by {signal.Signals(-exitcode).name}"
    return f"the process ended by itself, with exit code {exitcode}"


def _tail(path):
    with suppress(OSError):
        text = path.read_bytes()[-4 * _PRINTED :].decode(errors="replace").strip()
        return text if len(text) <= _PRINTED else f"... {text[-_PRINTED:]}"
    return ""


def _confined(sender, home, writable, memory, function, args):
    """In the new process: the limits, then the call."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with suppress(ValueError, OSError):  # a lower hard limit stays
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.chdir(home)
    os.environ |= {"HOME": home, "TMPDIR": home, "NUMBA_CACHE_DIR": home}
    # Its locks need no name then, that somebody would have to remove when it is over.
    multiprocessing.set_start_method("fork", force=True)
    tempfile.tempdir = home
    printed = os.open("printed", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(printed, stream)
    sys.stdin = open(os.devnull)  # noqa: SIM115  open to the end
    sys.addaudithook(_no_writing_outside(home, *writable))
    try:
        answer = function(*args), ""
    except MemoryError:
        answer = None, f"it wants more than {memory >> 30} GiB of memory"
    except SystemExit as error:
        answer = None, f"it calls exit({error.code!r})"
    except RecursionError:
        answer = None, "it calls itself without end"
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    sender.send(answer)


def _no_writing_outside(*folders):
    inside = tuple(os.path.realpath(folder) + os.sep for folder in folders)

    def check(event, args):
        if event == "open":
            path, _, flags = args
            if not isinstance(path, str | bytes | os.PathLike) or not flags & _WRITING:
                return
            paths = [path]
        elif event in _CHANGING:
            paths = [path for path in args[:2] if isinstance(path, str | bytes | os.PathLike)]
        else:
            return
        for path in paths:
            full = os.path.realpath(os.fsdecode(path))
            if full != os.devnull and not (full + os.sep).startswith(inside):
                raise PermissionError(f"files outside a temporary folder stay as they are: {full}")

    return check


def wait_for_change(paths, known, interval=0.05):
    """Return the times of the files at these paths once they differ from the `known` ones."""
    while (now := modified(paths)) == known:
        time.sleep(interval)
    return now


def modified(paths):
    """Return {path: (time in ns, size)} of the files that are there."""
    times = {}
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            times[path] = status.st_mtime_ns, status.st_size
    return times
