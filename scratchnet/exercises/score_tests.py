"""Tests that are scored: they have to pass on what is right, and to fail on every mistake.

    test_*.py ──> three right implementations              all must pass
              ──> the network with a mistake, 78 times     the share that fails is the score

Mutation testing (DeMillo, Lipton, Sayward, "Hints on Test Data Selection", 1978), with mistakes
that people make in place of random edits.
"""

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from scratchnet.cli.options import cores
from scratchnet.errors import UsageError
from scratchnet.exercises import fixtures, implementation, runner
from scratchnet.exercises.hunt import HUNTED
from scratchnet.files import write_json

SECONDS = 180  # for all tests on what is right, with kernels that may have to be compiled
PATIENCE = 10  # times as long as on our layers, and 10 seconds more, a mistake may take
PRELOAD = ["scratchnet.exercises.pytest_server"]
REFERENCES = Path(__file__).parent / "reference_tests"
SCORES = REFERENCES / "scores.json"
TITLES = {
    "test_accuracy.py": "it learns to over 95 %",
    "test_finite_differences.py": "finite differences",
    "test_up_to_rounding.py": "equal to ours up to rounding",
}


@dataclass
class Score:
    """How good some tests are."""

    folder: str
    right: list  # of {"implementation": ..., "ok": ..., "message": ...}
    caught: list = field(default_factory=list)  # names of mistakes
    missed: list = field(default_factory=list)

    @property
    def valid(self):
        """Whether the tests pass on all that is right: if not, what they catch says nothing."""
        return all(one["ok"] for one in self.right)

    @property
    def share(self):
        return len(self.caught) / max(1, len(self.caught) + len(self.missed))

    def __str__(self):
        lines = [
            f"{one['implementation']:20} {'pass' if one['ok'] else 'FAIL: ' + one['message']}"
            for one in self.right
        ]
        if not self.valid:
            lines.append("Tests that fail on a right network have no score.")
            return "\n".join(lines)
        lines.append(f"caught {len(self.caught)} of {len(HUNTED)} mistakes: {self.share:.0%}")
        caught = Counter(bug.file for bug in HUNTED if bug.name in self.caught)
        for file, total in Counter(bug.file for bug in HUNTED).items():
            lines.append(f"  {Path(file).name:15} {caught[file]:2} of {total:2}")
            names = [b.name for b in HUNTED if b.file == file and b.name in self.missed]
            lines += [f"      missed: {name}" for name in names]
        lines.append("for comparison:")
        for title, kept in reference_scores().items():
            lines.append(f"  {title:30} {len(kept['caught']) / len(HUNTED):.0%}")
        return "\n".join(lines)


def reference_scores():
    """Return {title: {"caught": [...], "missed": [...]}} of the three tests that we keep."""
    return json.loads(SCORES.read_text(encoding="utf-8"))


def score_references():
    """Score our three tests anew, a file each, and keep what was found; yield the Scores."""
    kept = {}
    for file, title in TITLES.items():
        found = score(REFERENCES, [file])
        assert found.valid, f"{file} fails on a right network:\n{found}"
        kept[title] = {"caught": found.caught, "missed": found.missed}
        yield title, found
    write_json(SCORES, kept)


def score(folder, files=None, bugs=HUNTED):
    """Run the tests of a folder on what is right and on every mistake; return the Score.

    Args:
        files: which of its files; by default all that are called test_*.py.
        bugs: the mistakes.

    Raises:
        UsageError: there is no such folder, or no test in it.
        OSError: pytest is not installed.
    """
    folder = Path(folder).resolve()
    files = files or sorted(path.name for path in folder.glob("test_*.py"))
    if not files:
        raise UsageError(f"{folder} holds no test_*.py")
    if importlib.util.find_spec("pytest") is None:
        raise OSError('score-tests needs pytest: pip install -e ".[test]"')
    from scratchnet.kernels import jit  # only here: Numba takes half a second

    with tempfile.TemporaryDirectory() as home:
        archive = Path(home, "digits.npz")
        np.savez(archive, **{
            f"{name}-{part}": array
            for name, split in zip(("train", "test"), fixtures.digits(), strict=True)
            for part, array in split._asdict().items()
        })  # fmt: skip
        cache = jit.cache_folder()

        def run(subject, seconds=SECONDS):
            given = str(folder), files, subject, str(archive), str(cache)
            outcome = runner.run(
                run_tests, *given, seconds=seconds, writable=(str(cache),), preload=PRELOAD
            )
            return _complaint(outcome)

        right, seconds = [], []
        for title in RIGHT:
            begin = time.monotonic()
            complaint = run(title)
            right.append({"implementation": title, "ok": not complaint, "message": complaint})
            seconds.append(time.monotonic() - begin)
        limit = 10 + PATIENCE * seconds[0]
        found = Score(str(folder), right)
        if found.valid:
            with ThreadPoolExecutor(cores()) as pool:
                complaints = pool.map(partial(run, seconds=limit), bugs)
                for bug, complaint in zip(bugs, complaints, strict=True):
                    (found.caught if complaint else found.missed).append(bug.name)
    return found


def _complaint(outcome):
    """Return what the tests found wrong, in a line, or ""."""
    if outcome.stopped:
        return outcome.stopped
    code, failures = outcome.value
    if failures:
        return failures[0]
    return {0: "", 5: "there is no test in it"}.get(code, f"pytest ended with exit code {code}")


# In a process of its own


class _Failures(list):
    """A plugin of pytest that notes the failures, a line each."""

    def pytest_runtest_logreport(self, report):
        self.pytest_collectreport(report)

    def pytest_collectreport(self, report):
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = crash.message if crash else str(report.longrepr).strip()
            line = text.splitlines()[0 if crash else -1] if text else ""
            self.append(f"{report.nodeid}: {line}")


def run_tests(folder, files, subject, archive, cache):
    """Run tests on the right implementation of a name, or on a Bug; return (code, failures)."""
    import pytest

    sys.dont_write_bytecode = True
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    fixtures._archive = archive
    if isinstance(subject, str):
        from scratchnet.kernels import jit

        jit.cache_folder = lambda: Path(cache)
        nn = RIGHT[subject]()
    else:
        nn = implementation.with_bugs(subject)
    sys.modules.update({name: getattr(nn, name) for name in implementation.FILES})
    failures = _Failures()
    options = ["-q", "-x", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider"]
    code = pytest.main([*options, *(str(Path(folder, file)) for file in files)], [failures])
    return int(code), list(failures)


def _compiled():
    """Return ours with the compiled operations in place of NumPy's."""
    from scratchnet.kernels.adam import adam_update
    from scratchnet.kernels.conv_ops import COMPILED_OPS
    from scratchnet.kernels.simd import simd

    nn = implementation.ours()
    instead = {np.matmul: simd, nn.conv.NUMPY_OPS: COMPILED_OPS, nn.optim.adam_update: adam_update}
    for module in (nn.layers, nn.network, nn.conv, nn.cnn, nn.optim, nn.gan):
        for thing in vars(module).values():
            init = vars(thing).get("__init__") if isinstance(thing, type) else None
            if init is None:
                continue
            keywords = init.__kwdefaults__ or {}
            init.__kwdefaults__ = {k: _swap(instead, v) for k, v in keywords.items()}
            init.__defaults__ = tuple(_swap(instead, v) for v in init.__defaults__ or ())
    return nn


def _swap(instead, value):
    return next((new for old, new in instead.items() if value is old), value)


def _fused():
    """Return ours, and let the fused engine take the training steps."""
    from scratchnet.kernels.fused import FusedEngine

    def training_step(network, optimiser, images, labels):
        engine = FusedEngine(network, optimiser, images, labels, len(labels))
        ((loss, _),) = engine.train(np.arange(len(labels)))
        return loss

    fixtures.training_step = training_step
    return implementation.ours()


RIGHT = {
    "our layers": implementation.ours,
    "compiled operations": _compiled,
    "fused engine": _fused,
}
