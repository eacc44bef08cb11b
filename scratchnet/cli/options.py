"""The options of the commands: what values they take, and the parser that is built from them.

    lr: float = option(real_number(0, exclusive=True), "learning rate", default=0.1)

A field like this of a dataclass in `scratchnet.training.config` is all there is to an option. Its
check is the same wherever a value comes from: the command line, a file of --config, a checkpoint.
"""

import argparse
import dataclasses
import json
import math
import os
from dataclasses import MISSING, dataclass

from scratchnet import kernels
from scratchnet.cli.entry import one_line
from scratchnet.errors import UsageError

# What a resumed run does with an option that its checkpoint records.
FIXED = "fixed on resume"  # it decides the weights, bit for bit
DEFAULT = "default on resume"  # it may be told otherwise


@dataclass(frozen=True)
class Number:
    """A check: finite numbers of `kind`, int or float, from `low`, or over it, to `high`."""

    kind: type
    low: float
    high: float = math.inf
    exclusive: bool = False

    @property
    def arguments(self):
        return {"metavar": "N"} if self.kind is int else {}

    def check(self, value):
        """Return the value as `kind`; ValueError if it is no such number, nor an int for a float.

        A bool is no number.
        """
        whole = self.kind is int
        if type(value) not in ((int,) if whole else (int, float)):
            raise ValueError(f"invalid {'whole number' if whole else 'number'} value: {value!r}")
        within = self.low <= value <= self.high and value != math.inf
        if not within or (self.exclusive and value == self.low):
            bound = f"over {self.low}" if self.exclusive else f"at least {self.low}"
            if self.high < math.inf:
                upto = f" and at most {self.high}"
                bound = f"from {self.low} to {self.high}" if whole else bound + upto
            kind = "" if whole else "a finite number "
            raise ValueError(f"{str(value).removesuffix('.0')} must be {kind}{bound}")
        try:
            return self.kind(value)
        except OverflowError as error:
            raise ValueError("an integer that large is no float") from error


@dataclass(frozen=True)
class Choice:
    """A check: one of some names."""

    names: tuple
    kind = str

    @property
    def arguments(self):
        return {"choices": self.names}

    def check(self, value):
        if value not in self.names:
            names = ", ".join(map(repr, self.names))
            raise ValueError(f"invalid choice: {value!r} (choose from {names})")
        return value


@dataclass(frozen=True)
class FilePath:
    """A check: a path; an empty one is most likely an unset variable of a shell."""

    metavar: str
    kind = str

    @property
    def arguments(self):
        return {"metavar": self.metavar}

    def check(self, value):
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"invalid path value: {value!r}")
        if not value:
            raise ValueError("the path is empty")
        return value


@dataclass(frozen=True)
class Several:
    """A check: a list of values that pass another check, `at_least` so many."""

    each: Number | FilePath
    at_least: int = 0

    @property
    def arguments(self):
        return self.each.arguments | {"nargs": "+" if self.at_least else "*"}

    def check(self, value):
        if not isinstance(value, list) or len(value) < self.at_least:
            raise ValueError(f"invalid list value: {value!r}")
        return [self.each.check(item) for item in value]


class Flag:
    """A check: true or false; on the command line, an option without a value."""

    arguments = {"action": "store_true"}  # noqa: RUF012

    def check(self, value):
        if not isinstance(value, bool):
            raise ValueError(f"invalid value, neither true nor false: {value!r}")
        return value


def whole_number(low, high=math.inf):
    """Return a check: an integer from `low` to `high`."""
    return Number(int, low, high)


def real_number(low, high=math.inf, *, exclusive=False):
    """Return a check: a finite number from `low`, or over it if `exclusive`, to `high`."""
    return Number(float, low, high, exclusive)


def option(
    check, help="", *, default=None, on_resume=None, recorded=None, missing=MISSING, aliases=()
):
    """Return the field of a dataclass that is an option of a command.

    Args:
        check: what values it takes: one of the above.
        help: for --help; without it, the option is recorded, but is none of the command line's.
        default: the value, or {model: value}; MISSING if it has to be given.
        on_resume: FIXED or DEFAULT for what a checkpoint records, None for what it does not.
        recorded: the check of a checkpoint's value, where that may be of another machine.
        missing: what a checkpoint means that is older than the option.
        aliases: other names on the command line, such as "--patience".
    """
    metadata = {
        "check": check,
        "help": help,
        "default": default,
        "on_resume": on_resume,
        "recorded": recorded or check,
        "missing": missing,
        "aliases": aliases,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    default = None if isinstance(default, dict) else default  # by model: `Config` fills it in
    return dataclasses.field(default=default, metadata=metadata)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports a wrong option in one line, without the usage text."""

    def error(self, message):
        self.exit(2, one_line(f"{self.prog}: {message} (see --help)") + "\n")


def parse(config_class, prog, description, argv=None):
    """Return {name: value} of the options on the command line and in the file of its --config.

    Only those that are given: the defaults stay to `config_class`, a dataclass of `option`s.

    Raises:
        UsageError: the file of --config cannot be read, or holds what is no option.
    """
    parser = Parser(prog, description=description, allow_abbrev=False)
    add_options(parser, config_class)
    given = vars(parser.parse_args(argv))
    return read_config(given["config"], config_class) | given if "config" in given else given


def add_options(parser, config_class, *names):
    """Add the options of a dataclass, all or those named; none leaves a default in the result."""
    for field in options_of(config_class):
        if names and field.name not in names:
            continue
        check, default = field.metadata["check"], field.metadata["default"]
        unsaid = default is None or default is False or default is MISSING
        shown = "" if unsaid else f" (default: {in_words(default)})"
        required = {"required": True} if default is MISSING else {}
        item = check.each if isinstance(check, Several) else check
        kind = {} if isinstance(check, Flag) else {"type": argument_type(item)}
        parser.add_argument(
            flag(field.name),
            *field.metadata["aliases"],
            dest=field.name,
            default=argparse.SUPPRESS,
            help=field.metadata["help"] + shown,
            **check.arguments | kind | required,
        )


def options_of(config_class):
    """Return the fields that are options of the command line, those of the class itself first."""
    fields = [field for field in dataclasses.fields(config_class) if field.metadata["help"]]
    return sorted(fields, key=lambda field: field.name not in config_class.__annotations__)


def flag(name):
    """Return how an option is written on the command line: --batch-size."""
    return f"--{name.replace('_', '-')}"


def in_words(default):
    """Return a default as --help shows it: 0.1, 128 64, or mlp 10; cnn 5."""
    if isinstance(default, dict):
        return "; ".join(f"{model} {in_words(value)}" for model, value in default.items())
    return " ".join(map(str, default)) if isinstance(default, list) else str(default)


def argument_type(check):
    """Return what argparse calls to turn a word into a value that passes the check."""

    def parse_word(text):
        try:
            value = check.kind(text)
        except ValueError:
            value = text  # the check says what is wrong with it
        try:
            return check.check(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(error) from error

    return parse_word


def read_config(path, config_class):
    """Return the options in a JSON file such as {"lr": 0.05, "hidden": [512, 256]}.

    Each is checked as on the command line; null and false stand for one that is not given.

    Raises:
        UsageError: no such file, no JSON object, a key that is no option, or a wrong value.
    """
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--config: {path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"--config: {path} holds no JSON object of options")
    checks = {field.name: field.metadata["check"] for field in options_of(config_class)}
    del checks["config"]  # files do not nest
    for name in config.keys() - checks.keys():
        raise UsageError(f"--config: {path}: {name!r} is no option of this command")
    given = {}
    for name, value in config.items():
        if value is None or value is False:
            continue
        try:
            given[name] = checks[name].check(value)
        except ValueError as error:
            raise UsageError(f"--config: {path}: {flag(name)}: {error}") from error
    return given


def cores():
    """Return how many processors this process may use: more threads would only wait."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


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
