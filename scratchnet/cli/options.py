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
import sys
from collections.abc import Callable
from dataclasses import MISSING
from typing import NamedTuple

from scratchnet import kernels
from scratchnet.cli.entry import one_line
from scratchnet.errors import UsageError

EXAMPLE = 'it should be like {"lr": 0.05, "hidden": [512, 256]}'  # a file of --config

# What a resumed run does with an option that its checkpoint records.
FIXED = "fixed on resume"  # it decides the weights, bit for bit
DEFAULT = "default on resume"  # it may be told otherwise


class Check(NamedTuple):
    """What values an option takes."""

    check: Callable  # returns the value, or raises ValueError
    arguments: dict  # the same for argparse's `add_argument`


def whole_number(low, high=math.inf):
    """Return the Check of an integer from `low` to `high`; True and 2.0 are none."""

    def check(value):
        if type(value) is not int:
            raise ValueError(f"invalid whole number value: {value!r}")
        if not low <= value <= high:
            bound = f"at least {low}" if high == math.inf else f"from {low} to {high}"
            raise ValueError(f"{value} must be {bound}")
        return value

    return Check(check, {"type": _of_word(check, int), "metavar": "N"})


def real_number(low, high=sys.float_info.max, *, exclusive=False):
    """Return the Check of a finite number from `low`, or over it if `exclusive`, to `high`."""

    def check(value):
        if type(value) not in (int, float):
            raise ValueError(f"invalid number value: {value!r}")
        if not low <= value <= high or (exclusive and value == low):
            bound = f"over {low}" if exclusive else f"at least {low}"
            bound += f" and at most {high}" if high < sys.float_info.max else ""
            raise ValueError(f"{str(value).removesuffix('.0')} must be a finite number {bound}")
        return float(value)

    return Check(check, {"type": _of_word(check, float), "metavar": "X"})


def choice(*names):
    """Return the Check of one of some names."""

    def check(value):
        if value not in names:
            known = ", ".join(map(repr, names))
            raise ValueError(f"invalid choice: {value!r} (choose from {known})")
        return value

    return Check(check, {"type": _of_word(check), "choices": names})


def file_path(metavar):
    """Return the Check of a path; an empty one is most likely an unset variable of a shell."""

    def check(value):
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"invalid path value: {value!r}")
        if not value:
            raise ValueError("the path is empty")
        return value

    return Check(check, {"type": _of_word(check), "metavar": metavar})


def several(each, nargs="*"):
    """Return the Check of a list of values that pass another; `nargs` as in argparse."""

    def check(value):
        if not isinstance(value, list):
            raise ValueError(f"invalid list value: {value!r}")
        return [each.check(item) for item in value]

    return Check(check, each.arguments | {"nargs": nargs})


def switch():
    """Return the Check of true or false; on the command line, an option without a value."""

    def check(value):
        if not isinstance(value, bool):
            raise ValueError(f"invalid value, neither true nor false: {value!r}")
        return value

    return Check(check, {"action": "store_true"})


def _of_word(check, kind=str):
    """Return what argparse calls to turn a word into a `kind` of value that passes the check."""

    def parse_word(text):
        try:
            value = kind(text)
        except ValueError:
            value = text  # the check says what is wrong with it
        try:
            return check(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(error) from error

    return parse_word


def option(check, help, default=None, on_resume=None, *, recorded=None, added=False, alias=()):
    """Return the field of a dataclass that is an option of a command.

    Args:
        check: a Check.
        help: for --help; empty if it is recorded, but not on the command line.
        default: the value, or {model: value}; MISSING if it has to be given.
        on_resume: FIXED or DEFAULT for what a checkpoint records, None for what it does not.
        recorded: the Check of a checkpoint's value, where that may be of another machine.
        added: whether it is missing in older checkpoints, which then mean its default.
        alias: another name on the command line, in a tuple.
    """
    metadata = {"check": check, "help": help, "default": default, "on_resume": on_resume}
    metadata |= {"recorded": recorded or check, "added": added, "alias": alias}
    default = None if isinstance(default, dict | list) else default  # `Config` fills it in
    return dataclasses.field(default=default, metadata=metadata)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports a wrong option in one line, without the usage text."""

    def error(self, message):
        self.exit(2, one_line(f"{self.prog}: {message} (see --help)") + "\n")


def parse(config_class, prog, description, argv=None):
    """Return {name: value} of the options on the command line and in the file of its --config.

    Only those that are given: `config_class`, a dataclass of `option`s, has the defaults.
    UsageError as `read_config`.
    """
    parser = Parser(prog, description=description, allow_abbrev=False)
    add_options(parser, config_class)
    given = vars(parser.parse_args(argv))
    return read_config(given["config"], config_class) | given if "config" in given else given


def add_options(parser, config_class, *names, model=None):
    """Add the options of a dataclass, all or those named; none leaves a default in the result.

    --help shows the defaults of a model, or of every one.
    """
    for field in options_of(config_class):
        if names and field.name not in names:
            continue
        default = field.metadata["default"]
        default = default[model] if model and isinstance(default, dict) else default
        unsaid = default is None or default is False or default is MISSING
        parser.add_argument(
            flag(field.name),
            *field.metadata["alias"],
            dest=field.name,
            default=argparse.SUPPRESS,
            help=field.metadata["help"] + ("" if unsaid else f" (default: {in_words(default)})"),
            **field.metadata["check"].arguments,
            **{"required": True} if default is MISSING else {},
        )


def options_of(config_class):
    """Return the fields that are options of the command line, those of the class itself first."""
    fields = [field for field in dataclasses.fields(config_class) if field.metadata["help"]]
    return sorted(fields, key=lambda field: field.name not in config_class.__annotations__)


def flag(name):
    """Return how an option is written on the command line: --batch-size."""
    return f"--{name.replace('_', '-')}"


def in_words(default):
    """Return a default as --help shows it: 0.1, 128 64, or 10 for mlp, 5 for cnn."""
    if isinstance(default, dict):
        return ", ".join(f"{in_words(value)} for {model}" for model, value in default.items())
    return " ".join(map(str, default)) if isinstance(default, list) else str(default)


def read_config(path, config_class):
    """Return the options in a JSON file such as {"lr": 0.05, "hidden": [512, 256]}.

    Or those in the config.json of a run, with which the same run can be made again.
    Each is checked as on the command line; null and false stand for one that is not given.
    UsageError: no such file, no JSON object, a key that is no option, or a wrong value.
    """
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}; name a JSON file of options"
        raise UsageError(f"--config: {path} {reason}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config: {path} is no JSON ({error}); {EXAMPLE}") from error
    if isinstance(config, dict):
        config = config.get("options", config)
    if not isinstance(config, dict):
        raise UsageError(f"--config: {path} holds no JSON object of options; {EXAMPLE}")
    checks = {field.name: field.metadata["check"] for field in options_of(config_class)}
    del checks["config"]  # files do not nest
    given = {}
    for name, value in config.items():
        if name not in checks:
            raise UsageError(f"--config: {path}: {name!r} is no option of this command, see --help")
        if value is None or value is False:
            continue
        check, arguments = checks[name]
        convert = arguments.get("type", str)  # a word is what it is on the command line
        try:
            if "nargs" in arguments:
                value = value if isinstance(value, list) else [value]
                value = [convert(item) if isinstance(item, str) else item for item in value]
            elif isinstance(value, str):
                value = convert(value)
            given[name] = check(value)
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise UsageError(f"--config: {path}: {flag(name)}: {error}") from error
    return given


def cores():
    """Return how many processors this process may use: more threads would only wait."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def kernel(name, threads=1):
    """Return the matrix product `name`, to run on so many threads; UsageError if there is none."""
    if name != "numpy":
        from scratchnet.kernels.threads import set_threads  # only here: Numba takes a while

        try:
            set_threads(threads)
        except ValueError as error:
            raise UsageError(f"--threads: {error}") from error
    try:
        return kernels.get(name)
    except ValueError as error:
        raise UsageError(f"--matmul: {error}") from error
