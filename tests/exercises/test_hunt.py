"""The bug hunt: the same for everybody with a seed, silent about its mistake, and judged to the bit
that rounding leaves."""

import ast
import json

import pytest

from scratchnet.errors import UsageError
from scratchnet.exercises import diagnosis, hunt, implementation, walk
from scratchnet.exercises.__main__ import main

DIVIDED = "Pixels are divided by 256"


def seed_of(name):
    return next(seed for seed in range(10_000) if hunt.mistake(seed).name == name)


@pytest.fixture(scope="module")
def hunted(tmp_path_factory):
    """A hunt for pixels that are divided by 256, written by the command."""
    folder = tmp_path_factory.mktemp("hunts") / "bug"
    main(["hunt", "--seed", str(seed_of(DIVIDED)), str(folder)])
    return folder


def test_the_same_seed_writes_the_same_files(hunted, tmp_path):
    hunt.write(tmp_path / "bug", seed_of(DIVIDED))
    for path in hunted.iterdir():
        if path.name != ".hunt.json":
            assert path.read_bytes() == (tmp_path / "bug" / path.name).read_bytes(), path.name


def test_nothing_in_the_folder_names_the_mistake_or_marks_its_line(hunted):
    bug = hunt.mistake(seed_of(DIVIDED))
    for path in hunted.iterdir():
        assert bug.name.encode() not in path.read_bytes(), path
    for name in implementation.FILES:
        text = (hunted / f"{name}.py").read_text()
        assert "#" not in text
        assert "from scratchnet" not in text


def test_without_comments_every_mistake_is_still_the_same_program():
    def statements(text):
        simple = (n for n in ast.walk(ast.parse(text)) if not hasattr(n, "body"))
        return [ast.dump(n) for n in simple if isinstance(n, ast.stmt) and type(n) is not ast.Pass]

    for bug in hunt.HUNTED:
        name = next(name for name, file in implementation.FILES.items() if file == bug.file)
        _, text = implementation.sources(bug)[name]
        assert statements(hunt.bare(text)) == statements(text), bug.name


@pytest.mark.exhaustive
@pytest.mark.parametrize("bug", hunt.HUNTED, ids=lambda bug: bug.name)
def test_every_mistake_makes_a_tensor_of_its_own_models_steps_wrong(bug):
    cases = walk.CASES[bug.model]
    traces = diagnosis.trace(implementation.with_bugs(bug), walk.walk, cases())
    assert diagnosis.wrong(traces, diagnosis.right(walk.walk, cases))


def test_a_hunt_ends_when_the_mistake_is_mended_and_all_else_is_right(hunted, capsys):
    batches, layers = hunted / "batches.py", hunted / "layers.py"
    planted, right = batches.read_text(), layers.read_text()

    main(["evidence", str(hunted), "tensor", "x"])
    assert capsys.readouterr().out.count("wrong") == 8  # in every step
    main(["evidence", str(hunted), "gradcheck"])
    assert "wrong" not in capsys.readouterr().out  # pixels are no parameters
    assert main(["check", str(hunted)]) == 1
    assert "not mended yet" in capsys.readouterr().out

    batches.write_text(planted.replace("x /= 256", "x /= 255"))
    layers.write_text(right.replace("self.db = dy.sum(axis=0)", "self.db = dy.mean(axis=0)"))
    assert main(["check", str(hunted)]) == 1
    assert "wrong that was right before: db in" in capsys.readouterr().out

    layers.write_text(right + "half a line (")
    assert main(["check", str(hunted)]) == 1
    assert "layers.py, line" in capsys.readouterr().out

    layers.write_text(right)
    assert main(["check", "--json", str(hunted)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mended"]
    assert DIVIDED in found["message"]
    assert found["cost"] == 1 + 3 + 2  # the evidence, and two checks that came too early


def test_what_is_asked_in_vain_costs_nothing_and_names_what_there_is(hunted):
    before = hunt.load(hunted).cost
    for wrong in (["rumour"], ["tensor", "dW9"], ["tensor"], ["gradcheck", "dW1"]):
        with pytest.raises(UsageError):
            main(["evidence", str(hunted), *wrong])
    assert hunt.load(hunted).cost == before
