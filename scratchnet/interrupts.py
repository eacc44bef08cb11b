"""Ctrl-C and SIGTERM from the first moment of a command on, while its libraries are imported.

Imported before all else, so that Python's own traceback has no chance. `cli.run` takes over. Only a
command's own process is meant: a library leaves the signals of its users alone.
"""

import os
import signal
import sys
from itertools import pairwise

COMMANDS = ("scratchnet.", "torch_ref.")


def end(signum, _):
    """End here and now: nothing has been begun, and a library might catch an exception."""
    os.write(2, b"stopped\n")
    os._exit(128 + signum)


if any(flag == "-m" and module.startswith(COMMANDS) for flag, module in pairwise(sys.orig_argv)):
    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not so under nohup
        signal.signal(signal.SIGINT, end)
