"""Stopped at any moment, by Ctrl-C, SIGTERM or kill -9: nothing is lost, nothing is noisy."""

import os
import signal
import subprocess
import sys

import pytest

import scratchnet.train
from scratchnet import SGD, signals
from scratchnet.cli import entry
from tests.conftest import ROOT
from tests.faults.campaigns import interruptions, kills
from tests.faults.catalogue import assert_one_line, train

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux who catches signals")


@pytest.mark.parametrize(
    ("module", "n"),
    [("scratchnet.train", 8), pytest.param("scratchnet.gan", 4, marks=pytest.mark.exhaustive)],
)
def test_kill_9_at_random_moments_loses_nothing(module, n):
    counts = kills.main(n, seed=1, module=module)
    assert counts["killed"] == counts["resumed to the same bits"] == n


@pytest.mark.parametrize(("seconds", "left"), [(0, None), (9, "before the first epoch was saved")])
def test_a_run_counts_as_killed_only_if_it_was(seconds, left, tmp_path, monkeypatch):
    program = f"import time; print('run ', flush=True); time.sleep({seconds})"

    def start(*_, **__):
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(kills, "start", start)
    assert kills.kill_one(tmp_path, tmp_path, moment=0.2, module="scratchnet.train") == left


@pytest.fixture
def fake_runs(monkeypatch):
    """Runs that take no time, and leave nothing but the name of their folder."""
    for function in ("start", "write_digits", "go_on"):
        monkeypatch.setattr(kills, function, lambda *_, **__: None)
    monkeypatch.setattr(kills, "time_until_the_end", lambda *_: 1.0)
    monkeypatch.setattr(kills, "kill_one", lambda *_: "after an epoch was saved")
    monkeypatch.setattr(kills, "outcome", lambda folder: folder.name)


def test_a_campaign_that_never_kills_is_an_error(fake_runs, monkeypatch):
    monkeypatch.setattr(kills, "kill_one", lambda *_: None)
    with pytest.raises(RuntimeError, match="10 runs in a row ended before they were killed"):
        kills.main(1)


def test_a_run_that_resumes_to_other_bits_is_not_counted_as_the_same(fake_runs):
    assert kills.main(3) == {
        "killed": 3,
        "resumed to the same bits": 0,
        "where": {"after an epoch was saved": 3},
    }


@pytest.mark.parametrize(
    ("engine", "runs"), [("layered", 6), pytest.param("fused", 2, marks=pytest.mark.exhaustive)]
)
def test_ctrl_c_and_sigterm_at_random_moments_say_so_in_one_line_and_lose_nothing(engine, runs):
    counts = interruptions.main(runs, engine, seed=1)
    assert counts == dict.fromkeys(("interrupted", "in one line", "resumed to the same bits"), runs)


def start(program, *words, **variables):
    """Run a program that patches scratchnet before the command begins."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, words)],
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process, words):
    assert any(words in line for line in process.stdout)


def ended(process):
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def test_a_signal_that_is_ignored_from_the_start_stays_so(digits_folder, tmp_path, monkeypatch):
    """As Ctrl-C is for a job that a script runs in the background."""
    step = SGD.step

    def step_amid_signals(self):
        os.kill(os.getpid(), signal.SIGINT)
        step(self)

    monkeypatch.setattr(SGD, "step", step_amid_signals)
    monkeypatch.setattr(signals, "in_command", True)  # as `entry.run` sets it; undone at the end
    handlers = {signum: signal.getsignal(signum) for signum in signals.SIGNALS}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _, *options = train(digits_folder, tmp_path, "--epochs", 1, "--hidden", 8)
        entry.run(lambda: scratchnet.train.main([str(word) for word in options]))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    assert (tmp_path / "metrics.json").exists()


def test_a_library_leaves_the_signals_of_its_users_alone(monkeypatch):
    before = [signal.getsignal(signum) for signum in signals.SIGNALS]
    for in_command, same in ((False, True), (True, False)):
        monkeypatch.setattr(signals, "in_command", in_command)
        with signals.at_once():
            found = [signal.getsignal(signum) for signum in signals.SIGNALS]
        assert (found == before) == same
        assert [signal.getsignal(signum) for signum in signals.SIGNALS] == before


SLOW_STEP = """
import sys, time
from scratchnet import SGD, train
from scratchnet.cli import entry
def step(self):
    print('in the middle of a batch')
    time.sleep(600)
SGD.step = step
entry.run(lambda: train.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["scratchnet.train", "torch_ref.train", "somebody.else"])
def test_a_signal_while_a_command_is_imported_ends_it_in_one_line(module, signum):
    program = f"import signal, scratchnet.signals; signal.raise_signal({int(signum)})"
    words = [sys.executable, "-c", program, "-m", module]  # as `python -m` has them
    shown = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    if module == "somebody.else":  # a library leaves the signals of its users alone
        assert shown.returncode == -signum
    else:
        assert_one_line(shown, 128 + signum, "stopped")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_in_the_middle_of_a_batch_ends_at_once(digits_folder, tmp_path, signum):
    with start(SLOW_STEP, *train(digits_folder, tmp_path)) as process:
        wait_for(process, "in the middle of a batch")
        process.send_signal(signum)
        with pytest.raises(subprocess.TimeoutExpired):  # the first waits for the batch
            process.wait(timeout=1)
        process.send_signal(signum)
        assert_one_line(ended(process), 128 + signum, "stopped")
    assert not (tmp_path / "model.safetensors").exists()


SLOW_SAVING = """
import os, sys, time
from scratchnet import train
from scratchnet.cli import entry
def fsync(descriptor, saves=[]):
    saves.append(descriptor)
    if len(saves) == int(sys.argv[2]):
        print('in the middle of saving')
        time.sleep(600)
os.fsync = fsync
entry.run(lambda: train.main(sys.argv[3:]))
"""


@pytest.mark.parametrize("save", [4, 5], ids=["history.csv", "model.safetensors"])
def test_two_signals_in_the_middle_of_saving_leave_the_last_epoch_whole(
    digits_folder, tmp_path, save
):
    # Saved are config.json, the first epoch's two files, and then the second's.
    module, *options = train(digits_folder, tmp_path)
    with start(SLOW_SAVING, module, save, *options) as process:
        wait_for(process, "in the middle of saving")
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGINT)
        assert_one_line(ended(process), 130, "stopped")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == [
        "config.json",
        "history.csv",
        "model.safetensors",
    ]
    kills.checkpoint.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_compiling_ends_in_one_line(digits_folder, tmp_path, signum):
    command = "import sys; from scratchnet import train; from scratchnet.cli import entry;"
    command += "sys.argv.pop(1); entry.run(train.main)"
    words = train(digits_folder, tmp_path / "out", "--engine", "fused")
    with start(command, *words, XDG_CACHE_HOME=str(tmp_path / "cache")) as process:
        wait_for(process, "engine  fused")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.send_signal(signum)
        assert_one_line(ended(process), 128 + signum, "stopped")
    assert not list((tmp_path / "cache").rglob("tmp*"))
    assert not (tmp_path / "out").exists()


STOPPED_IN_A_DESTRUCTOR = """
import os, signal, time
from scratchnet.cli import entry
class ProgressBar:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        range(10)  # the handler runs here
def command():
    ProgressBar()
    time.sleep(600)
entry.run(command)
"""


def test_a_signal_in_a_destructor_which_drops_exceptions_ends_in_one_line():
    with start(STOPPED_IN_A_DESTRUCTOR) as process:
        assert_one_line(ended(process), 143, "stopped")
