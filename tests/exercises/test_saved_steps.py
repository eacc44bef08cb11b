"""A right step of any framework, precision and layout is right; a file is read or refused."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scratchnet.errors import DataError, UsageError
from scratchnet.exercises import step

SIZES = (30, 24, 16, 10)


def start(rng, batch, dtype, *, dead=0):
    """The tensors that a step starts from; the first units have a z within rounding of 0."""
    arrays = {"x": rng.random((batch, SIZES[0])).astype(dtype)}
    arrays["labels"] = rng.integers(10, size=batch)
    for i, (n_in, n_out) in enumerate(pairwise(SIZES), start=1):
        arrays[f"W{i}"] = (rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)).astype(dtype)
        arrays[f"b{i}"] = (rng.standard_normal(n_out) / 10).astype(dtype)
        arrays[f"vW{i}"] = (rng.standard_normal((n_in, n_out)) / 100).astype(dtype)
        arrays[f"vb{i}"] = (rng.standard_normal(n_out) / 100).astype(dtype)
    for unit in range(dead):
        z = arrays["x"][unit % batch].astype(np.float64) @ arrays["W1"][:, unit].astype(np.float64)
        arrays["b1"][unit] = -z
    return arrays | {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}


def torch_step(arrays):
    """The same step by PyTorch: autograd and torch.optim.SGD."""
    import torch

    tensors = {n: torch.tensor(a) for n, a in arrays.items() if n[0] in "Wb"}
    for tensor in tensors.values():
        tensor.requires_grad_()
    optimiser = torch.optim.SGD(tensors.values(), 0.1, 0.9, weight_decay=1e-3)
    for name, tensor in tensors.items():
        optimiser.state[tensor]["momentum_buffer"] = torch.tensor(arrays[f"v{name}"])
    a, found = torch.tensor(arrays["x"]), {}
    for i in (1, 2, 3):
        z = a @ tensors[f"W{i}"] + tensors[f"b{i}"]
        a = torch.relu(z)
        found |= {f"z{i}": z, f"a{i}": a}
    found["logits"] = found.pop("z3")
    found.pop("a3")
    found["loss"] = torch.nn.functional.cross_entropy(
        found["logits"], torch.tensor(arrays["labels"])
    )
    for tensor in found.values():
        tensor.retain_grad()
    found["loss"].backward()
    gradients = {f"d{n}": t.grad.numpy() for n, t in (found | tensors).items() if n != "loss"}
    optimiser.step()
    after = {f"{n}_after": t.detach().numpy() for n, t in tensors.items()}
    after |= {f"v{n}_after": optimiser.state[t]["momentum_buffer"] for n, t in tensors.items()}
    return {n: t.detach().numpy() for n, t in found.items()} | gradients | after


def jax_step(arrays):
    """The gradients by JAX, compiled; nothing else."""
    jax = pytest.importorskip("jax")
    names = [f"{kind}{i}" for kind in "Wb" for i in (1, 2, 3)]

    def loss(p):
        a = arrays["x"]
        for i in (1, 2):
            a = jax.nn.relu(a @ p[f"W{i}"] + p[f"b{i}"])
        logp = jax.nn.log_softmax(a @ p["W3"] + p["b3"])
        return -logp[np.arange(len(a)), arrays["labels"]].mean()

    value, gradients = jax.jit(jax.value_and_grad(loss))({name: arrays[name] for name in names})
    return {"loss": np.asarray(value)} | {f"d{n}": np.asarray(g) for n, g in gradients.items()}


def plain_step(arrays):
    """Sums from the last term to the first, one at a time, in the precision of the file."""

    def product(a, b):
        total = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        for k in reversed(range(a.shape[1])):
            total += a[:, k : k + 1] * b[k]
        return total

    a, found, inputs = arrays["x"], {}, {}
    for i in (1, 2, 3):
        inputs[i] = a
        z = product(a, arrays[f"W{i}"]) + arrays[f"b{i}"]
        found[f"z{i}" if i < 3 else "logits"] = z
        a = np.maximum(z, 0)
        found |= {f"a{i}": a} if i < 3 else {}
    exp = np.exp(z - z.max(axis=1, keepdims=True))
    p, images = exp / exp.sum(axis=1, keepdims=True), np.arange(len(z))
    found["loss"] = -np.log(p[images, arrays["labels"]]).mean()
    p[images, arrays["labels"]] -= 1
    dz = found["dlogits"] = p / p.dtype.type(len(p))
    for i in (3, 2, 1):
        found[f"dW{i}"], found[f"db{i}"] = product(inputs[i].T, dz), dz[::-1].sum(axis=0)
        if i > 1:
            found[f"da{i - 1}"] = product(dz, arrays[f"W{i}"].T)
            dz = found[f"dz{i - 1}"] = found[f"da{i - 1}"] * (found[f"z{i - 1}"] > 0)
    for name in [f"{kind}{i}" for kind in "Wb" for i in (1, 2, 3)]:
        g = found[f"d{name}"] + np.multiply(arrays[name], 1e-3, dtype=arrays[name].dtype)
        v = (0.9 * arrays[f"v{name}"] + g).astype(g.dtype)
        found[f"v{name}_after"], found[f"{name}_after"] = v, arrays[name] - v * v.dtype.type(0.1)
    return found


def alarms(path, arrays, weights=None):
    np.savez(path, **arrays)
    return [f"{c.check}: {c.message}" for c in step.diagnose(step.load(path, weights)) if not c.ok]


@pytest.mark.parametrize("take", [torch_step, jax_step, plain_step])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_steps_raise_no_alarm_even_where_rounding_decides_a_relu(take, dtype, tmp_path):
    if take is jax_step and dtype == np.float64:
        return  # JAX computes in float32 unless told otherwise
    for seed in range(8):
        rng = np.random.default_rng(seed)
        arrays = start(rng, (1, 7, 32)[seed % 3], dtype, dead=seed % 2 and 5)
        found = take(arrays) | arrays
        assert not alarms(tmp_path / "step.npz", found), seed
        if dtype == np.float64:
            continue  # there such a z may be an exact 0 to one of the two
        few = [n for n in found if n in arrays or n[:2] in ("dW", "db") or n.endswith("_after")]
        assert not alarms(tmp_path / "step.npz", {n: found[n] for n in few}), seed


def test_weights_may_have_their_outputs_first_and_labels_may_be_onehot(tmp_path):
    arrays = start(np.random.default_rng(0), 8, np.float32)
    arrays |= plain_step(arrays)
    arrays = {n: a.T if "W" in n else a for n, a in arrays.items()}
    arrays["labels"] = np.eye(10)[arrays["labels"]]
    arrays["loss"] = arrays["loss"].reshape(1)
    assert not alarms(tmp_path / "step.npz", arrays)
    assert not alarms(tmp_path / "step.npz", arrays, "oi")


@pytest.mark.parametrize("kind", [lambda loss: loss, lambda loss: loss.item()])
def test_the_lines_of_the_readme_save_a_step_of_pytorch(kind, tmp_path, monkeypatch):
    import torch

    def train_step(model, x, labels):
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        torch.optim.SGD(model.parameters(), 0.1).step()
        return kind(loss)

    torch.manual_seed(0)
    layers = torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)
    given = {"model": torch.nn.Sequential(*layers), "train_step": train_step}
    given |= {"x": torch.randn(4, 6), "labels": torch.tensor([0, 2, 1, 2])}
    readme = Path(step.__file__).with_name("README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"From PyTorch:\n\n```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(lines, {"torch": torch, "np": np} | given)
    checks = step.diagnose(step.load("step.npz"))
    assert [c.check for c in checks if c.ok] == [
        "loss",
        *(
            f"{before}{letter}{i}{after}"
            for before, after, order in (("d", "", (2, 1)), ("", "_after", (1, 2)))
            for i in order
            for letter in "Wb"
        ),
    ]


def test_two_mistakes_at_once_are_both_named(tmp_path):
    arrays = start(np.random.default_rng(0), 8, np.float64)
    arrays |= plain_step(arrays)
    arrays["dlogits"] = arrays["dlogits"] * 8
    for name in ("dW3", "db3", "da2", "dz2", "dW2", "db2", "da1", "dz1", "dW1", "db1"):
        arrays[name] = arrays[name] * (8 if name[:2] != "db" else 0)
    few = {n: a for n, a in arrays.items() if not n.endswith("_after")}
    np.savez(tmp_path / "step.npz", **few)
    named = {c.check: c.diagnosis for c in step.diagnose(step.load(tmp_path / "step.npz"))}
    assert named["dlogits"] == ["The gradient lacks 1/N"]
    assert named["db2"] == ["The bias gradient is forgotten"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W1": None}, "holds no 'W1'"),
        ({"lr": None}, "no 'lr'"),
        ({"labels": np.arange(3)}, "labels are int64"),
        ({"b2": None}, "holds W2 and no b2"),
        ({"W1": np.ones((4, 4), np.float32)}, "do not follow one another"),
        ({"lr": np.array(["0.1"])}, "not one finite number"),
        ({"W1": np.ones((30, 24), int)}, "not float32 or float64"),
        ({"dw1": np.ones((30, 24))}, "'dw1' is .* 3 layers; the nearest one is 'dW1'"),
        ({"W1_afer": np.ones((30, 24))}, "the nearest one is 'W1_after'"),
        ({"X": np.ones((8, 30)), "x": None}, "the nearest one is 'x'"),
        ({"z4": np.ones((8, 10))}, "'z4' is the name of nothing"),
        ({"labels": np.arange(3, 11)}, r"labels go from 3 to 10, not .* from 1 to 10\?"),
        ({"labels": np.arange(-1, 7)}, "labels go from -1 to 6, not from 0 to 9$"),
        ({"momentum": None}, "holds vW1_after, and no 'momentum'"),
        ({"momentum": 0.0}, "holds vW1_after, and no 'momentum'"),
    ],
)
def test_a_file_that_holds_no_step_is_refused_in_one_line(change, message, tmp_path):
    arrays = start(np.random.default_rng(0), 8, np.float32)
    arrays |= plain_step(arrays) | change
    np.savez(tmp_path / "step.npz", **{n: a for n, a in arrays.items() if a is not None})
    with pytest.raises(DataError, match=message):
        step.load(tmp_path / "step.npz")


def test_a_file_in_which_nothing_is_to_be_judged_is_not_called_right(tmp_path):
    np.savez(tmp_path / "step.npz", **start(np.random.default_rng(0), 8, np.float32))
    with pytest.raises(DataError, match="holds nothing to judge"):
        step.load(tmp_path / "step.npz")


def test_a_z_or_an_a_of_the_last_layer_may_be_there_and_is_said_not_to_be_judged(tmp_path):
    arrays = start(np.random.default_rng(0), 8, np.float32)
    arrays |= plain_step(arrays)
    wrong = -arrays["logits"]
    np.savez(tmp_path / "step.npz", **arrays, z3=arrays["logits"], a3=wrong)
    checks = step.diagnose(step.load(tmp_path / "step.npz"))
    assert all(check.ok for check in checks)
    assert [check.check for check in checks if "not judged" in check.message] == ["z3", "a3"]


def test_square_weights_have_to_be_said_and_other_files_are_refused(tmp_path):
    square = {"x": np.ones((2, 4)), "labels": np.zeros(2, int), "W1": np.eye(4), "b1": np.ones(4)}
    square["logits"] = square["x"] @ square["W1"] + square["b1"]
    np.savez(tmp_path / "step.npz", **square)
    with pytest.raises(UsageError, match="--weights"):
        step.load(tmp_path / "step.npz")
    assert step.load(tmp_path / "step.npz", "io").layers == 1
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"is no \.npz file"):
        step.load(tmp_path / "text.npz")
    with pytest.raises(DataError, match="No such file"):
        step.load(tmp_path / "missing.npz")
