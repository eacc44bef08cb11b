"""The command `python -m torch_ref.lockstep`."""

import pytest

from scratchnet import kernels
from scratchnet.errors import NumericError, UsageError
from scratchnet.kernels.adam import adam_update
from torch_ref.lockstep import __main__ as lockstep


def test_the_command_shows_every_tensor_and_passes(capsys, tmp_path):
    figure = tmp_path / "drift.png"

    lockstep.main(["--steps", "3", "--dataset", "sample", "--free-run", str(figure)])

    shown = capsys.readouterr().out
    for tensor in ("z1", "a1", "logits", "loss", "dlogits", "dW1", "db3", "da2", "dz1", "W2"):
        assert f"\n{tensor} " in shown
    assert ", matmul numpy;" in shown
    assert "PASS" in shown
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_command_walks_the_cnn_too(capsys):
    lockstep.main(["--model", "cnn", "--steps", "1", "--dataset", "sample", "--hidden", "8"])

    shown = capsys.readouterr().out
    assert (
        "1x28x28-16C5-MP2-32C5-MP2-1568-8-10 in float64, batches of 32, SGD with lr 0.01" in shown
    )
    assert ", matmul simd;" in shown  # as in scratchnet.train
    for tensor in ("z1", "p1", "da1", "dp1", "f2", "dW1", "vW2"):
        assert f"\n{tensor} " in shown
    assert "0 windows whose maxima lie in different pixels" in shown
    assert "PASS" in shown


def test_the_command_walks_the_gan_too_and_shows_both_sides(capsys):
    options = "--model gan --steps 2 --dataset sample --hidden 8 6 --batch-size 5 --lr 0.01"
    lockstep.main(options.split())

    shown = capsys.readouterr().out
    assert "64-8-6-784 against 784-6-8-1 in float64, batches of 5, Adam with lr 0.01" in shown
    assert ", matmul simd;" in shown  # as in scratchnet.gan
    for title in ("discriminator", "generator"):
        assert f"\n{title}\nstep 1 " in shown
        assert f"\n{title}\nthe worst of 2 steps " in shown
    for tensor in ("z5", "da5", "dW4", "mW1", "vb3", "t", "W6"):
        assert f"\n{tensor} " in shown
    assert shown.count("PASS") == 2


def test_a_kernel_that_is_named_takes_the_place_of_the_default():
    for model, default in (("mlp", "numpy"), ("cnn", "simd"), ("gan", "simd")):
        assert lockstep.parse(["--model", model]).matmul == default
        assert lockstep.parse(["--model", model, "--matmul", "tiled"]).matmul == "tiled"


def test_the_adam_of_the_gan_is_the_compiled_one_that_trains_it(digits_folder, capsys, monkeypatch):
    def one_percent_more(p, g, m, v, step_size, *rest):
        adam_update(p, g, m, v, step_size * 1.01, *rest)

    monkeypatch.setattr("torch_ref.lockstep.gan.adam_update", one_percent_more)
    options = "--model gan --steps 1 --hidden 8 --batch-size 5 --data-dir"

    with pytest.raises(SystemExit):
        lockstep.main([*options.split(), str(digits_folder)])

    assert "the first W1 in step 1" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--momentum 0.5", "--weight-decay 0.1", "--free-run"])
def test_options_that_a_gan_has_no_use_for_are_usage_errors(option):
    with pytest.raises(UsageError, match="not for --model gan"):
        lockstep.main(["--model", "gan", *option.split()])


def test_a_walk_says_what_it_compares_and_then_only_the_first_step_and_the_worst(
    digits_folder, capsys
):
    lockstep.main(["--steps", "3", "--hidden", "4", "--data-dir", str(digits_folder)])

    shown = capsys.readouterr()
    assert shown.out.startswith("784-4-10 in float64, batches of 32, SGD with lr 0.1\n")
    assert shown.out.count("\nstep ") == 1
    assert shown.err == ""  # no bar without a terminal


def one_percent_off(a, b):
    return a @ b * a.dtype.type(1.01)


def test_the_command_exits_with_1_when_a_kernel_is_one_percent_off(capsys, monkeypatch):
    monkeypatch.setitem(kernels.LADDER, "ikj", f"{__name__}:one_percent_off")

    with pytest.raises(SystemExit) as stop:
        lockstep.main(["--steps", "2", "--dataset", "sample", "--matmul", "ikj"])

    assert stop.value.code == 1
    shown = capsys.readouterr().out
    assert "FAIL" in shown
    assert "the first z1 in step 1" in shown


def test_the_command_takes_every_option_of_the_recipe(capsys):
    recipe = "--dtype float32 --hidden 20 --batch-size 7 --lr 0.01 --momentum 0.9"
    more = "--weight-decay 0.01 --seed 5 --steps 2 --dataset sample"

    lockstep.main([*recipe.split(), *more.split()])

    shown = capsys.readouterr().out
    assert "784-20-10 in float32, batches of 7" in shown
    assert "lr 0.01, momentum 0.9, weight decay 0.01" in shown
    assert "\nvW1 " in shown


def test_an_unknown_kernel_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stop:
        lockstep.main(["--steps", "1", "--dataset", "sample", "--matmul", "no such"])

    assert stop.value.code == 2
    assert "--matmul: invalid choice: 'no such'" in capsys.readouterr().err


def test_a_curve_that_could_not_be_stored_is_a_usage_error_before_the_walk(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        lockstep.main(["--free-run", str(tmp_path / "missing" / "curve.png")])


def test_a_pytorch_that_diverges_itself_is_a_numeric_error():
    with pytest.raises(NumericError, match="try a lower --lr"):
        lockstep.main(["--steps", "9", "--dataset", "sample", "--lr", "1e200"])
