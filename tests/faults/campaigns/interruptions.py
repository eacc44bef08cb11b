"""SIGINT and SIGTERM at random moments of real runs: one line, 130 or 143, and nothing lost.

The moments begin where Python itself is up and scratchnet is first imported: soon after the start
of the process, some 20 ms, and as the kernel tells, not the clock.
"""

import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from tests.faults.campaigns.kills import go_on, outcome, start, time_until_the_end, write_digits


def wait_for_handlers(process):
    """Return when the process catches SIGTERM, as Linux tells."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(re.search(r"^SigCgt:\s*(\w+)$", status, re.M)[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)


def interrupt(process, signum, moment):
    """Send the signal that many seconds after the beginning; return the exit code and stderr."""
    wait_for_handlers(process)
    time.sleep(moment)
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=300)
    return process.returncode, stderr


def main(runs, engine, seed=0):
    """Interrupt that many runs and resume each; return the counts.

    A moment after the end of its run interrupts nobody and is not counted.
    """
    rng = np.random.default_rng(seed)
    counts = Counter({"interrupted": 0, "in one line": 0, "resumed to the same bits": 0})
    options = ("--engine", engine)
    with TemporaryDirectory() as temporary:
        digits, undisturbed = Path(temporary, "digits"), Path(temporary, "undisturbed")
        digits.mkdir()
        write_digits(digits)
        process = start(digits, "--out", undisturbed, *options)
        seconds = time_until_the_end(process, wait_for_handlers)
        expected = outcome(undisturbed)

        with tqdm(total=runs, desc=f"{engine}", disable=not sys.stderr.isatty()) as bar:
            while counts["interrupted"] < runs:
                signum = (signal.SIGINT, signal.SIGTERM)[counts["interrupted"] % 2]
                with TemporaryDirectory(dir=temporary) as folder:
                    process = start(digits, "--out", folder, *options)
                    code, stderr = interrupt(process, signum, rng.uniform(0, seconds))
                    if code == 0 and stderr == "":
                        continue
                    counts["interrupted"] += 1
                    one_line = len(stderr.splitlines()) == 1 and stderr.startswith("stopped")
                    if code == 128 + signum and one_line:
                        counts["in one line"] += 1
                    else:
                        print(code, stderr, file=sys.stderr)
                    go_on(digits, Path(folder), *options)
                    counts["resumed to the same bits"] += outcome(Path(folder)) == expected
                    bar.update()
    return dict(counts)
