"""Options: each in one place, and the same wherever its value comes from."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest

from scratchnet import kernels
from scratchnet.cli.options import (
    DEFAULT,
    FIXED,
    choice,
    parse,
    real_number,
    several,
    switch,
    whole_number,
)
from scratchnet.errors import CheckpointError, UsageError
from scratchnet.kernels.conv_ops import COMPILED_OPS, IMPLICIT_GEMM_OPS
from scratchnet.training.config import (
    MODELS,
    GANConfig,
    RobustnessConfig,
    TrainConfig,
    TuneConfig,
    from_record,
    recorded_fields,
    resolve,
    to_record,
)

TRAINED = TrainConfig(model="cnn", lr=0.02, val_size=100, augment=True)
NOTHING = {"name": "custom", "sha256": {}}


def words(config_class, name, value):
    """The words of the command line that give an option this value."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, list):
        return [option, *map(str, value)]
    return [option] if value is True else [] if value in (None, False) else [f"{option}={value}"]


@pytest.mark.parametrize("config_class", [TrainConfig, GANConfig, TuneConfig, RobustnessConfig])
def test_the_command_line_gives_back_every_option_as_it_was_said(config_class):
    required = {"model": ["one", "two"]} if config_class is RobustnessConfig else {}
    config = dataclasses.asdict(config_class(**required))
    said = [
        word
        for name, value in config.items()
        if not (config_class is GANConfig and name == "model")  # recorded, but no option
        for word in words(config_class, name, value)
    ]
    assert dataclasses.asdict(config_class(**parse(config_class, "test", "", said))) == config


def test_nothing_said_leaves_everything_to_the_defaults_of_the_model():
    assert parse(TrainConfig, "test", "", []) == {}
    mlp, cnn = TrainConfig(), TrainConfig(model="cnn")
    assert (mlp.lr, mlp.hidden, mlp.epochs, mlp.matmul) == (0.1, [128, 64], 10, "numpy")
    assert (cnn.lr, cnn.hidden, cnn.epochs, cnn.matmul) == (0.01, [128], 5, "simd")
    assert TrainConfig(model="cnn", lr=0.5).lr == 0.5


def test_the_discriminator_is_the_generator_in_reverse_by_default():
    assert GANConfig().discriminator_hidden == GANConfig().hidden[::-1] == [512, 256]


@pytest.mark.parametrize(("name", "ops"), [("simd", IMPLICIT_GEMM_OPS), ("numpy", COMPILED_OPS)])
def test_the_kernel_of_a_cnn_decides_how_it_convolves(name, ops):
    network = MODELS["cnn"]([4], rng=np.random.default_rng(0), matmul=kernels.get(name))
    assert {layer.ops for layer in network.layers if hasattr(layer, "ops")} == {ops}


def test_null_and_false_in_a_file_say_nothing_and_hide_nothing_behind_them(tmp_path):
    file = tmp_path / "options.json"
    file.write_text('{"lr": null, "augment": false, "epochs": 2, "hidden": 7}')
    given = parse(TrainConfig, "test", "", ["--config", str(file)])
    assert given == {"config": str(file), "epochs": 2, "hidden": [7]}


def test_help_lists_the_kernels_and_the_defaults_of_each_model(capsys):
    with pytest.raises(SystemExit):
        parse(TrainConfig, "test", "", ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"--matmul {{{','.join(kernels.LADDER)}}}" in shown
    assert "learning rate (default: 0.1 for mlp, 0.01 for cnn)" in shown
    assert "widths of the hidden layers (default: 128 64 for mlp, 128 for cnn)" in shown


@pytest.mark.parametrize("config_class", [TrainConfig, GANConfig, TuneConfig, RobustnessConfig])
def test_help_names_no_default_of_an_option_that_has_none(config_class, capsys):
    with pytest.raises(SystemExit):
        parse(config_class, "test", "", ["--help"])
    shown = capsys.readouterr().out
    assert "(default: " in shown
    assert not re.search(r"\(default: (None|False|<|\))", shown)


def test_a_shortened_option_is_none(capsys):
    with pytest.raises(SystemExit):
        parse(TrainConfig, "test", "", ["--epoch", "3"])
    assert capsys.readouterr().err == "test: unrecognized arguments: --epoch 3 (see --help)\n"


def test_what_a_checkpoint_records_comes_back_through_json():
    for config in (TRAINED, GANConfig(judge="run"), GANConfig()):
        record = json.loads(json.dumps(to_record(config)))
        assert from_record(type(config), record) == to_record(config)


def test_options_that_a_checkpoint_is_older_than_mean_what_they_meant():
    record = to_record(TrainConfig(val_size=0))
    older = {n: record[n] for n in record.keys() - {"model", "lr_decay", "augment"}}
    assert from_record(TrainConfig, older) == record
    for name in older:
        with pytest.raises(ValueError, match=f"its {name} is missing"):
            from_record(TrainConfig, {n: older[n] for n in older.keys() - {name}})


def test_a_checkpoint_may_be_of_a_machine_with_more_threads_than_this_one():
    record = to_record(TRAINED) | {"threads": 1024}
    assert from_record(TrainConfig, record)["threads"] == 1024


def resumed(data=NOTHING, **given):
    """The config that goes on from a checkpoint of TRAINED."""
    state = {"config": to_record(TRAINED), "data": data}
    config, _ = resolve(TrainConfig, {"resume": "file", **given}, lambda path: ({}, state))
    return config


def test_a_resumed_run_takes_every_recorded_option_over():
    assert resumed() == dataclasses.replace(TRAINED, resume="file")


@pytest.mark.parametrize(
    ("name", "dataset"), [("sample", "sample"), ("mnist", "mnist"), ("custom", "auto")]
)
def test_a_resumed_run_takes_the_data_that_it_was_trained_on_unless_told_otherwise(name, dataset):
    trained_on = {"name": name, "sha256": {}}
    assert resumed(trained_on).dataset == dataset
    assert resumed(trained_on, dataset="auto").dataset == "auto"


def test_a_resumed_run_may_be_told_otherwise_but_not_what_decides_its_weights():
    other = TrainConfig(
        **{
            "model": "mlp",
            "epochs": 77,
            "batch_size": 77,
            "lr": 7.0,
            "lr_decay": 0.7,
            "hidden": [],
        },
        **{"momentum": 0.7, "weight_decay": 0.7, "seed": 77, "val_size": 77, "augment": False},
        **{"engine": "layered", "matmul": "ijk", "threads": 1},
    )
    for field in recorded_fields(TrainConfig):
        value = getattr(other, field.name)
        if field.metadata["on_resume"] == FIXED:
            with pytest.raises(CheckpointError, match="trained otherwise than with --"):
                resumed(**{field.name: value})
        else:
            assert getattr(resumed(**{field.name: value}), field.name) == value


@pytest.mark.parametrize(
    ("config_class", "free"),
    [
        (TrainConfig, {"threads", "epochs", "engine", "matmul"}),
        (GANConfig, {"threads", "epochs", "judge", "matmul"}),
    ],
)
def test_all_that_decides_the_weights_is_recorded_and_fixed(config_class, free):
    places = {"dataset", "data_dir", "out", "resume", "config"}  # the data are known by their sums
    shown = {"log_interval", "dry_run", "no_plots"}
    fixed = {f.name for f in dataclasses.fields(config_class)} - places - shown - free
    recorded = {f.name: f.metadata["on_resume"] for f in recorded_fields(config_class)}
    assert recorded == dict.fromkeys(fixed, FIXED) | dict.fromkeys(free, DEFAULT)


def test_options_that_do_not_go_together_are_usage_errors():
    with pytest.raises(UsageError, match="mlp only"):
        TrainConfig(model="cnn", engine="fused")
    for config_class in (TrainConfig, GANConfig):
        with pytest.raises(UsageError, match="no --data-dir"):
            config_class(dataset="sample", data_dir="folder")


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (whole_number(1, 9), [1, 9], [0, 10, 1.0, True, "1", None, [1], math.nan]),
        (real_number(0), [0, 0.5, 1e300], [-0.1, math.inf, math.nan, True, "1", None, 10**400]),
        (real_number(0, 1, exclusive=True), [1, 0.1], [0, 1.1]),
        (choice("a", "b"), ["a", "b"], ["c", None, ["a"], {}, 1]),
        (several(whole_number(1)), [[], [1, 2]], [1, "1", None, [0], [[1]], {}]),
        (switch(), [True, False], [0, 1, "yes", None]),
    ],
    ids=["whole", "real", "exclusive", "choice", "several", "switch"],
)
def test_a_check_returns_its_values_and_refuses_all_others(check, good, bad):
    for value in good:
        assert check.check(value) == value
    for value in bad:
        with pytest.raises(ValueError, match=r"must be|invalid"):
            check.check(value)
