"""The search for better options: repeatable, blind to the test images, safe from dying workers."""

import dataclasses
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from PIL import Image

from scratchnet import data, tune
from scratchnet.errors import NumericError
from scratchnet.evaluation.plots import MANY_TRIALS
from scratchnet.training import search, study
from scratchnet.training.classifier_run import ClassifierRun
from scratchnet.training.config import TuneConfig
from scratchnet.training.run_folder import read_history
from scratchnet.training.study import DONE, Worker, open_study
from tests.conftest import ROOT, rows_of, run_module
from tests.faults.catalogue import assert_one_line

COMPLETE, FAIL, RUNNING = (
    optuna.trial.TrialState[name] for name in ("COMPLETE", "FAIL", "RUNNING")
)
STORAGES = pytest.mark.parametrize("storage", ["study.journal", "sqlite:///{}/study.db"])
SMALL = ("--trials", 6, "--epochs", 4, "--jobs", 1)


def placed(storage, folder):
    return storage.format(folder) if "{" in storage else str(folder / storage)


def table(out):
    return rows_of(out / "trials.csv")


@pytest.fixture(scope="module")
def searched(digits_folder, tmp_path_factory):
    """A small search that nobody disturbed: its folder and what it printed."""
    out = tmp_path_factory.mktemp("search")
    shown = run_module("scratchnet.tune", "--data-dir", digits_folder, "--out", out, *SMALL)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    return out, shown


class TestASearch:
    def test_leaves_its_trials_its_figures_and_the_best_options(self, searched):
        out, shown = searched
        rows = table(out)
        assert [row["number"] for row in rows] == [str(n) for n in range(6)]
        assert len([line for line in shown.stdout.splitlines() if line[:5] == "trial"]) == 6
        best = max(
            (row for row in rows if row["state"] == "complete"),
            key=lambda row: float(row["validation_accuracy"]),
        )
        config = json.loads((out / "best.json").read_text())
        for name in ("lr", "lr_decay", "momentum", "weight_decay", "batch_size"):
            assert config[name] == float(best[name])
        widths = [best[f"width{i}"] for i in range(1, int(best["depth"]) + 1)]
        assert config["hidden"] == [int(width) for width in widths]
        assert np.asarray(Image.open(out / "history.png")).std() > 0
        assert "files   best.json, trials.csv, history.png in " in shown.stdout
        assert not (out / "importance.png").exists()  # six trials do not tell

    def test_of_many_trials_shows_which_options_mattered(self, tmp_path):
        sampler = optuna.samplers.RandomSampler(seed=0)
        many = optuna.create_study(direction="maximize", sampler=sampler)
        many.optimize(lambda trial: search.suggest(trial)["lr"], MANY_TRIALS)
        _, files = tune.write_results(many, TuneConfig(), tmp_path)
        assert files[-1] == "importance.png"
        assert np.asarray(Image.open(tmp_path / "importance.png")).std() > 0

    def test_in_one_process_can_be_repeated(self, searched, digits_folder, tmp_path):
        run_module("scratchnet.tune", "--data-dir", digits_folder, "--out", tmp_path, *SMALL)
        assert (tmp_path / "best.json").read_bytes() == (searched[0] / "best.json").read_bytes()
        varying = ("seconds", "process")
        for row, other in zip(table(tmp_path), table(searched[0]), strict=True):
            assert {k: v for k, v in row.items() if k not in varying} == {
                k: v for k, v in other.items() if k not in varying
            }

    def test_finds_what_training_with_its_best_options_finds(
        self, searched, digits_folder, tmp_path
    ):
        """The same bits: the command line wins over the file, and holds the images out again."""
        best = searched[0] / "best.json"
        shown = run_module(
            *("scratchnet.train", "--config", best, "--val-size", 47),
            *("--data-dir", digits_folder, "--out", tmp_path, "--no-plots"),
        )
        assert shown.returncode == 0, shown.stderr
        complete = [row for row in table(searched[0]) if row["state"] == "complete"]
        found = max(float(row["validation_accuracy"]) for row in complete)
        assert (
            read_history(tmp_path / "history.csv", ClassifierRun.SCORES)[-1]["val_accuracy"]
            == found
        )
        options = json.loads((tmp_path / "config.json").read_text())["options"]
        assert options | json.loads(best.read_text()) == options | {"val_size": 0}

    def test_never_looks_at_the_test_images(self, digits_folder, tmp_path, monkeypatch):
        blind = dataclasses.replace(data.load("auto", digits_folder), test=None)
        monkeypatch.setattr(data, "load", lambda *_: blind)
        tune.main(["--out", str(tmp_path), *map(str, SMALL)])
        assert len(table(tmp_path)) == 6

    def test_goes_on_with_the_same_storage_until_so_many_trials_are_done(
        self, searched, digits_folder, tmp_path
    ):
        before = table(searched[0])
        shown = run_module(
            *("scratchnet.tune", "--data-dir", digits_folder, "--out", tmp_path, *SMALL),
            *("--storage", searched[0] / "study.journal", "--trials", 8, "--jobs", 2),
            timeout=300,  # its second job is given what the main module of the first defines
        )
        assert shown.returncode == 0, shown.stderr
        assert table(tmp_path)[:6] == before
        assert len(table(tmp_path)) == 8


@STORAGES
class TestWorkersOfOneStudy:
    """Workers here are objects of one process, each with its own connection to the storage."""

    @staticmethod
    def worker(storage, folder, goal, heartbeat_timeout=100):
        study = open_study(placed(storage, folder), "test")
        return Worker(study, goal, heartbeat_timeout=heartbeat_timeout, seed=0)

    @staticmethod
    def objective(trial):
        return trial.suggest_float("x", 0, 1)

    def test_do_as_many_trials_as_asked_for_in_all(self, storage, tmp_path):
        one, two = (self.worker(storage, tmp_path, 5) for _ in range(2))
        turns = [one.work(self.objective), two.work(self.objective)]
        done = [next(turn, None) for _ in range(3) for turn in turns]
        assert [trial and trial.number for trial in done] == [0, 1, 2, 3, 4, None]
        assert len({trial.value for trial in one.study.trials}) == 5

    def test_do_not_both_do_the_last_one(self, storage, tmp_path):
        one, two = (self.worker(storage, tmp_path, 1) for _ in range(2))
        first = one.study.ask()
        second = two.study.ask()
        assert not one.is_surplus(first)
        assert two.is_surplus(second)

    def test_do_not_queue_again_what_was_one_too_many(self, storage, tmp_path, monkeypatch):
        one, two = (self.worker(storage, tmp_path, 1) for _ in range(2))
        ask = two.study.ask

        def ask_too_late():
            assert len(list(one.work(self.objective))) == 1
            return ask()

        monkeypatch.setattr(two.study, "ask", ask_too_late)
        assert list(two.work(self.objective)) == []
        assert [trial.state for trial in one.study.trials] == [COMPLETE, FAIL]

    def test_write_down_whose_a_trial_is(self, storage, tmp_path):
        (done,) = self.worker(storage, tmp_path, 1).work(self.objective)
        assert done.user_attrs == {"process": f"{platform.node()}:{os.getpid()}"}

    def test_draw_what_their_seed_says(self, storage, tmp_path):
        drawn = []
        for name, seed in (("one", 0), ("two", 0), ("three", 1)):
            folder = tmp_path / name
            folder.mkdir()
            worker = dataclasses.replace(self.worker(storage, folder, 2), seed=seed)
            drawn.append([trial.value for trial in worker.work(self.objective)])
        assert drawn[0] == drawn[1]
        assert not set(drawn[0]) & set(drawn[2])

    def test_leave_one_alone_that_had_reported_before_they_looked(self, storage, tmp_path):
        busy, other = (self.worker(storage, tmp_path, 1) for _ in range(2))
        next(busy.claims()).report(0.1, 1)
        for _ in range(2):
            other.give_up_the_dead()
        assert [t.state for t in other.study.trials] == [RUNNING]

    def test_take_over_the_trial_of_one_that_died(self, storage, tmp_path):
        dead, heir = (self.worker(storage, tmp_path, 2, heartbeat_timeout=0.3) for _ in range(2))
        lost = next(dead.claims())
        self.objective(lost)
        done = list(heir.work(self.objective))
        study = heir.study.trials
        assert [trial.state for trial in study].count(FAIL) == 1
        assert len(done) == 2
        again = [trial for trial in done if trial.user_attrs.get("again") == lost.number]
        assert [trial.params for trial in again] == [lost.params]

    @pytest.mark.parametrize("reports", [True, False], ids=["reporting", "silent"])
    def test_drop_the_result_of_one_that_only_slept(self, storage, tmp_path, reports):
        sleeper, heir = (self.worker(storage, tmp_path, 1, heartbeat_timeout=0.3) for _ in range(2))

        def sleep(trial):
            self.objective(trial)
            assert len(list(heir.work(self.objective))) == 1
            if reports:
                trial.report(0.5, 1)  # refused, as the trial has been given up
            return 0.5

        assert list(sleeper.work(sleep)) == []
        states = [trial.state for trial in heir.study.trials]
        assert states[0] == FAIL
        assert sum(state in DONE for state in states) == 1

    def test_do_the_trial_of_one_that_was_stopped_without_waiting(self, storage, tmp_path):
        stopped, heir = (self.worker(storage, tmp_path, 1) for _ in range(2))

        def stop(trial):
            self.objective(trial)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            next(stopped.work(stop))
        (done,) = heir.work(self.objective)
        assert done.user_attrs["again"] == 0
        assert done.params == heir.study.trials[0].params

    def test_do_what_two_of_them_queued_again_only_once(self, storage, tmp_path):
        worker = self.worker(storage, tmp_path, 2)
        lost = next(worker.claims())
        self.objective(lost)
        worker.fail(lost)
        for _ in range(2):
            worker.study.enqueue_trial(lost.params, user_attrs={"again": lost.number})
        done = list(worker.work(self.objective))
        assert [trial.user_attrs.get("again") for trial in done] == [lost.number, None]

    def test_stop_a_trial_that_does_worse_than_the_others_from_its_third_epoch_on(
        self, storage, tmp_path
    ):
        worker = self.worker(storage, tmp_path, 6)

        def objective(trial):
            for epoch in range(1, 6):
                trial.report(0.1 if trial.number == 5 else 0.9 + trial.number / 100, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return 0.9

        *good, bad = worker.work(objective)
        assert {trial.state for trial in good} == {optuna.trial.TrialState.COMPLETE}
        assert (bad.state, len(bad.intermediate_values)) == (optuna.trial.TrialState.PRUNED, 3)

    def test_never_stop_one_of_the_first_five(self, storage, tmp_path):
        worker = self.worker(storage, tmp_path, 5)

        def objective(trial):
            for epoch in range(1, 6):
                trial.report(0.9 - trial.number / 10, epoch)
                assert not trial.should_prune()
            return 0.9

        assert len(list(worker.work(objective))) == 5

    def test_do_a_trial_again_only_once(self, storage, tmp_path):
        worker = self.worker(storage, tmp_path, 1)
        failures = []

        def fails_twice(trial):
            self.objective(trial)
            if len(failures) < 2:
                failures.append(trial.params)
                raise MemoryError
            return 0.5

        for _ in range(2):
            with pytest.raises(MemoryError):
                next(worker.work(fails_twice))
        (done,) = worker.work(fails_twice)
        assert failures[0] == failures[1] != done.params

    def test_leave_one_alone_that_reports(self, storage, tmp_path):
        busy, other = (self.worker(storage, tmp_path, 1, heartbeat_timeout=1) for _ in range(2))
        trial = next(busy.claims())
        for step in range(12):
            trial.report(0.1, step)
            other.give_up_the_dead()
            time.sleep(0.2)
        assert [t.state for t in other.study.trials] == [RUNNING]


def test_the_seed_decides_what_is_drawn_and_goes_into_the_best_options(
    digits_folder, tmp_path, monkeypatch
):
    def score(trial, config, *_):
        return search.suggest(trial)["lr"]

    monkeypatch.setattr(search, "train_and_validate", score)
    monkeypatch.setattr(search, "compile_engine", lambda train: None)
    drawn = []
    for seed in (0, 7, 7):
        out = tmp_path / str(len(drawn))
        words = ("--data-dir", digits_folder, "--out", out, "--jobs", 1, "--trials", 3)
        tune.main([str(word) for word in (*words, "--seed", seed)])
        drawn.append([row["lr"] for row in table(out)])
        assert json.loads((out / "best.json").read_text())["seed"] == seed
    assert len({*drawn[0], *drawn[1]}) == 6
    assert drawn[1] == drawn[2]


def test_a_process_that_has_died_is_counted_as_lost(digits_folder, tmp_path, monkeypatch, capsys):
    def child(target, args, daemon):
        return SimpleNamespace(start=lambda: None, join=lambda: None, exitcode=next(exit_codes))

    exit_codes = iter([1, 0, -9])
    context = SimpleNamespace(Process=child)
    monkeypatch.setattr(tune.multiprocessing, "get_context", lambda _: context)
    monkeypatch.setattr(search, "train_and_validate", lambda trial, *_: search.suggest(trial)["lr"])
    monkeypatch.setattr(search, "compile_engine", lambda train: None)
    words = ("--data-dir", digits_folder, "--out", tmp_path, "--jobs", 4, "--trials", 1)
    tune.main([str(word) for word in words])
    assert "lost    2 of 4 processes" in capsys.readouterr().out


def test_a_lock_that_a_dead_process_left_is_broken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "LOCK_SECONDS", 3)
    open_study("study.journal", "test")
    (tmp_path / "study.journal.lock").touch()
    worker = Worker(open_study("study.journal", "test"), 1, heartbeat_timeout=100, seed=0)
    assert len(list(worker.work(lambda trial: trial.suggest_float("x", 0, 1)))) == 1


def start(folder, storage, out):
    """Start a process of a search whose trials take about a second."""
    options = ("--trials", 8, "--epochs", 60, "--jobs", 1, "--heartbeat-timeout", 8)
    command = [sys.executable, "-m", "scratchnet.tune", "--data-dir", folder, *options]
    command += ["--storage", storage, "--out", out]
    return subprocess.Popen(
        [str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.exhaustive
@STORAGES
def test_a_killed_process_costs_no_trial_and_doubles_none(digits_folder, tmp_path, storage):
    storage = placed(storage, tmp_path)
    config = TuneConfig(val_size=47, epochs=60)
    study = open_study(storage, search.study_name(data.load("auto", digits_folder), config))
    processes = [start(digits_folder, storage, tmp_path / str(i)) for i in range(3)]
    victim, lost = processes[0], []
    while not lost:
        time.sleep(0.05)
        assert victim.poll() is None, "the search was over too soon"
        lost = [
            trial
            for trial in study.get_trials(states=(RUNNING,))
            if trial.user_attrs.get("process", "").endswith(f":{victim.pid}")
            and 0 < len(trial.intermediate_values) < 20  # of 60: it will not end before the kill
        ]
    victim.kill()
    for process in processes[1:]:
        _, stderr = process.communicate(timeout=200)
        assert process.returncode == 0, stderr
    victim.communicate()

    study = study.get_trials()
    done = [trial for trial in study if trial.state in DONE]
    assert len(done) == 8
    first = [trial for trial in study if not {"again", "surplus"} & trial.user_attrs.keys()]
    assert [trial.number for trial in first if trial.state not in DONE] == [lost[0].number]
    again = [trial for trial in done if trial.user_attrs.get("again") == lost[0].number]
    assert [trial.params for trial in again] == [lost[0].params]
    assert len({str(trial.params) for trial in done}) == 8
    assert len({trial.user_attrs["process"] for trial in done}) >= 2


def test_all_jobs_but_this_one_are_children_that_search_alike(monkeypatch):
    made = []

    def process(**given):
        made.append(given)
        return SimpleNamespace(start=lambda: None, join=lambda: None, exitcode=len(made) - 1)

    context = SimpleNamespace(Process=process)
    monkeypatch.setattr(tune.multiprocessing, "get_context", lambda kind: context)
    monkeypatch.setattr(tune, "work", lambda *given: given)
    config, rest = TuneConfig(jobs=4), ("data set", "training", "validation")
    assert tune.search_in_processes(config, *rest) == ((config, *rest), 2)  # two have died
    assert made == [{"target": tune.child, "args": (config,), "daemon": True}] * 3


def test_what_is_wrong_with_a_database_is_told_by_its_cause():
    outer, inner = optuna.exceptions.StorageInternalError("outer"), ValueError("inner\nmore")
    for cause, words in ((inner, "inner"), (None, "outer")):
        outer.__cause__ = cause
        told = rf"--storage sqlite://\.\.\. cannot be used: {words}$"
        with pytest.raises(OSError, match=told), study.reachable("sqlite:///secret"):
            raise outer


def test_a_process_that_was_lost_is_told(digits_folder, tmp_path, monkeypatch, capsys):
    best = optuna.trial.create_trial(value=0.9)
    monkeypatch.setattr(search, "compile_engine", lambda train: None)
    monkeypatch.setattr(tune, "search_in_processes", lambda *_: (None, 1))
    monkeypatch.setattr(tune, "write_results", lambda *_: (best, []))
    tune.main(["--data-dir", str(digits_folder), "--out", str(tmp_path), "--jobs", "3"])
    assert "\nlost    1 of 3 processes; the others did their trials\n" in capsys.readouterr().out


class TestAMistake:
    @pytest.mark.parametrize(
        ("options", "code", "words"),
        [
            (["--trials", 0], 2, "--trials"),
            (["--jobs", 0], 2, "--jobs"),
            (["--patience", 0], 2, "--heartbeat-timeout/--patience: 0 must be"),
            (["--val-size", 0], 2, "--val-size"),
            (["--storage", "nosuch://user:secret@host/db"], 2, "nosuch://..."),
            (["--storage", "postgresql://user:secret@127.0.0.1:1/db"], 6, "postgresql://..."),
            (["--storage", "{}/text"], 2, "no storage of Optuna"),
            (["--storage", "{}/nowhere/study"], 6, "nowhere/study"),
            (["--out", "{}/text"], 6, "text"),
            (["--data-dir", "{}/nowhere"], 3, "nowhere"),
        ],
    )
    def test_is_told_in_one_line(self, digits_folder, tmp_path, options, code, words):
        (tmp_path / "text").write_text("mine\n")
        options = [str(option).format(tmp_path) for option in options]
        shown = run_module(
            *("scratchnet.tune", "--data-dir", digits_folder, "--out", tmp_path / "out", *options),
            *() if "--trials" in options else ("--trials", 1),
            timeout=300,  # each of its two jobs could tell the mistake
        )
        assert_one_line(shown, code, words)
        assert "secret" not in shown.stderr
        assert (tmp_path / "text").read_text() == "mine\n"

    def test_of_not_having_optuna_is_6(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "optuna", None)
        with pytest.raises(OSError, match=re.escape('pip install -e ".[tune]"')):
            tune.main(["--out", str(tmp_path / "out")])

    def test_of_rates_that_all_diverge_is_5(self, digits_folder, tmp_path, monkeypatch):
        found = data.load("auto", digits_folder)
        monkeypatch.setattr(data, "load", lambda *_: found)
        drawn = {"lr": 1e30, "lr_decay": 1, "momentum": 0, "weight_decay": 0, "batch_size": 32}
        monkeypatch.setattr(search, "suggest", lambda trial: drawn | {"hidden": [8]})
        with pytest.raises(NumericError, match="no trial came to its end"):
            tune.main(["--out", str(tmp_path), *map(str, SMALL)])
        assert {row["state"] for row in table(tmp_path)} == {"pruned"}


def test_ctrl_c_names_the_way_to_go_on(digits_folder, tmp_path):
    with start(digits_folder, tmp_path / "study.journal", tmp_path / "out") as process:
        next(line for line in process.stdout if line.startswith(b"trial"))
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = stderr.decode().splitlines()
    assert f"go on with the same options and --storage {tmp_path}/study.journal" in line
