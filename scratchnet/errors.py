"""Every exception of ours, and the exit code with which it ends a command.

A mistake of the user's or of the world's ends in one line on stderr that names the thing and the
way out; `scratchnet.cli.entry` prints it. Two exit codes belong to exceptions of Python's own:
OSError and MemoryError end with 6, for the environment.
"""


class UsageError(Exception):
    """Options that make no sense; the message names the option."""


class DataError(Exception):
    """The data cannot be found, read or trusted; the message says what and the way out."""


class CheckpointError(Exception):
    """A checkpoint that cannot be read, trusted or used here; the message says which and why."""


class NumericError(Exception):
    """The loss or the weights are no longer finite."""


EXIT_CODES = {
    UsageError: 2,
    DataError: 3,
    CheckpointError: 4,
    NumericError: 5,
    OSError: 6,
    MemoryError: 6,
}


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived: exit code 130 or 143.

    Like KeyboardInterrupt, it is no Exception that a library might catch.
    """

    def __init__(self, signum, message="stopped"):
        super().__init__(message)
        self.signum = signum


class StoppedBetweenBatches(Stopped):
    """The stop was asked for and honoured where the weights are whole and worth saving."""
