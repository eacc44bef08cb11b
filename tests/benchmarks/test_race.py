"""The contenders of the benchmarks compute the same network, so nobody wins by doing less."""

import dataclasses
import json
import sys
from statistics import median

import numpy as np
import pytest

from benchmarks import lines, race, race_report, worker
from benchmarks.contenders import CONTENDERS, Contender, bare_numpy
from benchmarks.harness import RESULTS
from benchmarks.lines import count_lines
from benchmarks.worker import initial, order_of
from scratchnet import MLP, SGD, data, softmax_cross_entropy
from tests.conftest import run_module
from tests.nn.test_network import rng


def test_bare_numpy_ends_at_the_bits_of_the_layered_network(sample):
    x, labels = data.to_unit_interval(sample.train.images), sample.train.labels
    layered, bare = (MLP((784, 128, 64, 10), rng=rng()) for _ in range(2))
    sgd = SGD(layered, lr=0.1)
    for x_batch, labels_batch in data.batches(x, labels, 32, seed=1, epoch=1):
        _, dlogits = softmax_cross_entropy(layered.forward(x_batch), labels_batch)
        layered.backward(dlogits)
        sgd.step()
    parameters = [p for _, p in bare.parameters()]
    bare_numpy.train_epoch(parameters, data.batches(x, labels, 32, seed=1, epoch=1), lr=0.1)
    for p, (name, q) in zip(parameters, layered.parameters(), strict=True):
        assert p.tobytes() == q.tobytes(), name


def trained(name, split, batch_size, lr=0.1):
    """The weights of a contender after an epoch."""
    contender = CONTENDERS[name]
    if contender.module == "fused":
        pytest.importorskip("scratchnet.kernels.fused")
    if contender.module.startswith("jax"):
        pytest.importorskip("jax")
    prepare = contender.prepare()
    train_epoch = prepare(*split, initial([128, 64]), batch_size=batch_size, lr=lr)
    return train_epoch(order_of(1, len(split.labels)))


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch.compile's own
@pytest.mark.parametrize("name", CONTENDERS)
def test_an_epoch_of_every_contender_ends_at_the_weights_of_bare_numpy(name, sample):
    # 48 does not divide 4,000: the last batch is smaller.
    right = trained("bare", sample.train, 48)
    assert race.apart(trained(name, sample.train, 48), right, initial([128, 64])) < race.TOLERANCE


def test_the_tolerance_of_the_race_fails_a_learning_rate_that_is_one_percent_off(sample):
    right, wrong = (trained("bare", sample.train, 32, lr) for lr in (0.1, 0.101))
    assert race.apart(wrong, right, initial([128, 64])) > 3 * race.TOLERANCE


def test_contenders_leave_the_weights_that_they_are_given(sample):
    for name in ("bare", "numpy", "torch", "by-hand", "sklearn"):
        given = initial([16, 8])
        few = data.Split(sample.train.images[:64], sample.train.labels[:64])
        CONTENDERS[name].prepare()(*few, given, batch_size=32, lr=0.1)(np.arange(64))
        for p, q in zip(given, initial([16, 8]), strict=True):
            np.testing.assert_array_equal(p, q, err_msg=name)


def test_a_worker_says_which_import_failed(monkeypatch, capsys):
    monkeypatch.setitem(CONTENDERS, "gone", Contender("gone", "gone"))
    monkeypatch.setattr(sys, "argv", ["worker", '{"contender": "gone"}'])
    worker.main()
    assert "No module named" in json.loads(capsys.readouterr().out)["absent"]


def test_who_is_absent_is_named_and_the_race_goes_on(monkeypatch, capsys):
    whole = race.Race.run_worker

    def without_jax(self, job, cache):
        here = job["contender"] != "jax-step"
        return whole(self, job, cache) if here else {"absent": "No module named 'jax'"}

    monkeypatch.setattr(race.Race, "run_worker", without_jax)
    names = ["jax-step", "numpy"]
    results = race.run(race.QUICK._replace(names=names, goal_for=[], sweeps={}))
    assert "jax-step   is left out: No module named 'jax'" in capsys.readouterr().out
    assert results["absent"] == {"jax-step": "No module named 'jax'"}
    assert list(results["epochs"][0]["runs"]) == ["numpy"]


@pytest.fixture
def little_race(sample, tmp_path, monkeypatch):
    """A race of one round, on a few images."""
    few = data.Split(sample.train.images[:160], sample.train.labels[:160])
    found = dataclasses.replace(sample, train=few)
    monkeypatch.setattr(data, "load", lambda _: found)
    plan = race.QUICK._replace(dataset="sample", names=["numpy", "bare"], goal_for=[], sweeps={})
    return race.Race(plan, tmp_path)


def worker_that(accuracies, change=0.0):
    """A `run_worker` whose contenders have these accuracies, and `bare` has other weights."""

    def run_worker(self, job, cache):
        weights = self.reference(job)
        if job["contender"] == "bare":
            weights[2] = weights[2] + np.float32(change)
        np.savez(job["weights"], *weights)
        return {"seconds": [1.0], "cpu": [1.0], "accuracy": accuracies[job["contender"]]}

    return run_worker


@pytest.mark.parametrize(
    ("change", "accuracy", "refusal"),
    [
        (0, 0.905, None),
        (0, 0.915, "bare reaches 91.50%, numpy 90.00%"),
        (0, 0.885, "bare reaches 88.50%, numpy 90.00%"),
        (0, np.nan, "bare reaches nan%"),
        (1e-3, 0.9, "bare trains another network"),
        (np.nan, 0.9, "bare trains another network"),
    ],
)
def test_who_learns_something_else_or_as_much_less_or_more_ends_the_race(
    little_race, monkeypatch, change, accuracy, refusal
):
    run_worker = worker_that({"numpy": 0.9, "bare": accuracy}, change)
    monkeypatch.setattr(race.Race, "run_worker", run_worker)
    if refusal:
        with pytest.raises(ValueError, match=refusal):
            little_race.epochs()
    else:
        little_race.epochs()


def test_every_round_counts_for_the_test_accuracy_not_only_the_last():
    runs = {"numpy": [{"accuracy": 0.96}] * 2, "bare": [{"accuracy": 0.5}, {"accuracy": 0.96}]}
    with pytest.raises(ValueError, match=r"bare reaches 50.00%"):
        race.check_accuracies(runs)


def test_lines_of_code_are_those_that_are_no_comment_and_no_docstring(tmp_path):
    path = tmp_path / "three.py"
    path.write_text(
        '"""Doc\n\nstring."""\n\n# why\nx = (\n    1)\n\ndef f():\n    "doc"\n    return x\n'
    )
    assert count_lines(path) == 4


def test_lines_of_code_include_what_a_contender_takes_from_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "ROOT", tmp_path)
    folder, reference = tmp_path / "benchmarks" / "contenders", tmp_path / "torch_ref"
    folder.mkdir(parents=True)
    reference.mkdir()
    (folder / "one.py").write_text(
        "from benchmarks.contenders.two import helper\n"
        "from torch_ref import train\n"
        "def prepare():\n"
        "    return helper(), train.epoch()\n"
    )
    (folder / "two.py").write_text(
        "def helper():\n"
        "    'What it does.'\n"
        "    return deeper()\n"
        "def deeper():\n"
        "    return 1\n"
        "def unused():\n"
        "    return 2\n"
    )
    (reference / "train.py").write_text("@mark\ndef epoch():\n    return 3\n")
    assert count_lines(folder / "one.py") == 4 + 2 + 2 + 3


def test_no_contender_on_one_thread_kept_a_second_core_busy():
    results = json.loads((RESULTS / "race.json").read_text())
    (entry,) = (entry for entry in results["epochs"] if entry["threads"] == 1)
    for name, runs in entry["runs"].items():
        cores = [
            cpu / wall for run in runs for cpu, wall in zip(run["cpu"], run["seconds"], strict=True)
        ]
        # JAX hands each step to a thread of its own, even with one thread, and prepares the next.
        assert median(cores) < (1.6 if name == "jax-step" else 1.05), name


def test_the_interval_of_a_ratio_holds_the_ratio():
    slow = [2.0, 2.2, 2.1, 1.9, 2.0]
    low, high = race_report.interval(slow, [1.0, 1.1, 1.0, 1.0, 0.9])
    assert 1.7 < low <= 2.0 <= high < 2.3
    assert tuple(race_report.interval(slow, slow)) == (1, 1)


@pytest.mark.exhaustive
def test_the_quick_race_runs():
    done = run_module("benchmarks", "race", "--quick", timeout=300)
    assert done.returncode == 0, done.stderr
    assert "weights" in done.stdout
    assert done.stdout.endswith("nothing was kept\n")
