"""Each catalogued mistake is named, and no other; a relation has evidence, or is not named."""

import json
import shutil

import numpy as np
import pytest

from benchmarks import diagnosis as matrix
from benchmarks.harness import RESULTS
from scratchnet.exercises import diagnosis, implementation, stubs
from scratchnet.exercises.chapters import by_number
from scratchnet.exercises.check import check_chapter, judge
from scratchnet.exercises.implementation import FILES
from scratchnet.exercises.relation import Known, relation, words
from scratchnet.exercises.variants import VARIANTS

BY_NAME = {bug.name: bug for bug in matrix.MISTAKES}
LEARNERS = [bug for bug in matrix.MISTAKES if bug.file in FILES.values()]
STORED = {row["bug"]: row for row in json.loads((RESULTS / "diagnosis.json").read_text())["rows"]}


def test_every_mistake_is_named_at_least_60_alone_and_none_falsely():
    assert STORED.keys() == BY_NAME.keys(), "run `python -m benchmarks diagnosis`"
    assert all(name in row["named"] for name, row in STORED.items())
    assert sum(row["named"] == [name] for name, row in STORED.items()) >= 60
    for name, row in STORED.items():
        for names in row["steps"].values():
            assert names is None or name in names


@pytest.mark.parametrize("bug", LEARNERS[::5], ids=lambda bug: bug.name)
def test_the_chapters_say_of_it_what_is_stored(bug):
    assert matrix.in_chapters(bug).items() <= STORED[bug.name].items()


@pytest.mark.parametrize("bug", LEARNERS[2:33:10], ids=lambda bug: bug.name)
def test_a_saved_step_says_of_it_what_is_stored(bug):
    assert matrix.in_steps(bug)["steps"] == STORED[bug.name]["steps"]


@pytest.mark.exhaustive
def test_all_of_the_confusion_matrix_is_what_is_stored():
    assert {row["bug"]: row for row in matrix.main()["rows"]} == STORED


def test_a_mistake_in_a_learners_folder_is_named_in_the_words_of_the_catalogue(tmp_path):
    for name in FILES:
        (tmp_path / f"{name}.py").write_text(stubs.stub(name, to_write=()), encoding="utf-8")
    bug = BY_NAME["The gradient lacks 1/N"]
    path = shutil.copy(tmp_path / "losses.py", tmp_path / "right.py")
    (tmp_path / "losses.py").write_text(bug.plant(path.read_text(encoding="utf-8")))
    wrong = check_chapter(tmp_path, by_number("loss_gradient")).first_wrong
    assert wrong.check == "dlogits"
    assert wrong.relation == "2 x"
    assert wrong.diagnosis == ["The gradient lacks 1/N"]
    assert wrong.message == (
        "wrong. Yours is 2 times too large, in every element. "
        'That is what this mistake makes of it: "The gradient lacks 1/N".'
    )


@pytest.mark.parametrize(
    ("chapter", "names"),
    [
        ("linear_backward", {"The bias gradient is averaged", "The weight gradient is transposed"}),
        ("chain", {"ReLU lets every gradient through", "The bias gradient is averaged"}),
        ("convolution", {"Kernels are flipped in the forward pass",
                         "Overlapping patches overwrite each other"}),
        ("gan_parts", {"LeakyReLU leaks nothing in the backward pass",
                       "Tanh's derivative lacks the square",
                       "The gradient of the binary loss has the opposite sign"}),
    ],
)  # fmt: skip
def test_mistakes_at_once_in_several_functions_are_all_named(chapter, names):
    chapter = by_number(chapter)
    nn = implementation.with_bugs(*(BY_NAME[name] for name in names))
    checks = judge(chapter, diagnosis.trace(nn, chapter.probe, chapter.cases()))
    assert {name for check in checks for name in check.diagnosis} == names


@pytest.mark.parametrize("variant", VARIANTS[::7], ids=lambda bug: f"{bug.name}, {bug.edits[0][1]}")
def test_a_variant_has_the_name_of_its_mistake(variant):
    nn = implementation.with_bugs(variant)
    chapters = (by_number(n) for n in ("softmax_cross_entropy", "loss_gradient", "linear_backward",
                                       "batches", "gan_parts"))  # fmt: skip
    checks = (judge(c, diagnosis.trace(nn, c.probe, c.cases())) for c in chapters)
    wrong = next(its for its in checks if not all(check.ok for check in its))
    assert {name for check in wrong for name in check.diagnosis} == {variant.name}


def test_variants_are_of_mistakes_in_the_catalogue_and_the_readme_counts_them():
    assert all(BY_NAME[variant.name].file == variant.file for variant in VARIANTS)
    assert len(set(VARIANTS)) == len(VARIANTS)
    readme = (implementation.PACKAGE / "exercises/README.md").read_text(encoding="utf-8")
    assert f"{len(VARIANTS)} [variants](variants.py)" in readme


def test_an_mlp_that_does_not_call_super_does_not_pass_the_chapter():
    chapter, sources = by_number("chain"), implementation.sources()
    path, text = sources["network"]
    text = text.replace("super().__init__(layers[:-1])", "self.layers = layers[:-1]")
    nn = implementation.Implementation(sources | {"network": (path, text)})
    checks = judge(chapter, diagnosis.trace(nn, chapter.probe, chapter.cases()))
    assert checks[-1].check == "runs"
    assert "_found" in checks[-1].message


RNG = np.random.default_rng(0)
RIGHT = RNG.standard_normal((6, 5))
BEFORE, START, OTHER = (RNG.standard_normal((6, 5)) for _ in range(3))
SQUARE = RNG.standard_normal((5, 5))
MASKED = RIGHT * (RIGHT > 0)
KNOWN = Known({"lr": 0.05, "batch": 6.0}, BEFORE, START, {"dy": OTHER})
RELATIONS = [
    ("32 x", RIGHT, 32 * RIGHT, "Yours is 32 times too large, in every element."),
    ("1/6 x", RIGHT, RIGHT / 6, "Yours is 6 times too small, in every element."),
    ("-1 x", RIGHT, -RIGHT, "Yours has the opposite sign, in every element."),
    ("0.9 x", RIGHT, 0.9 * RIGHT, "Yours is 0.9 times what it should be, in every element."),
    ("zero", RIGHT, 0 * RIGHT, "Yours is zero."),
    ("transposed", SQUARE, SQUARE.T, "Yours is transposed."),
    ("transposed", RIGHT, RIGHT.T, "Yours is transposed."),
    ("transposed, then reshaped", RIGHT, RIGHT.T.reshape(6, 5), None),
    ("reshaped", RIGHT, RIGHT.reshape(5, 6), None),
    ("turned round along axis 1", RIGHT, RIGHT[:, ::-1], None),
    ("0 in places where it should not be", RIGHT, MASKED, None),
    ("not 0 in places where it should be", MASKED, RIGHT, None),
    ("in single precision", RIGHT, RIGHT.astype(np.float32).astype(np.float64), None),
    ("in half precision", RIGHT, RIGHT.astype(np.float16).astype(np.float64), None),
    ("that of the batch before", RIGHT, BEFORE, "Yours is that of the batch before."),
    ("added to that of the batch before", RIGHT, RIGHT + BEFORE, None),
    ("what it was before the step", RIGHT, START, None),
    ("a step of -1 x", RIGHT, 2 * START - RIGHT, "Yours takes a step that has the opposite sign."),
    ("one place too late along axis 0", RIGHT, np.roll(RIGHT, 1, axis=0), None),
    ("one place too early along axis 1", RIGHT, np.roll(RIGHT, -1, axis=1), None),
    ("without its signs", RIGHT, np.abs(RIGHT), None),
    ("dy", RIGHT, OTHER, "Yours is dy."),
    ("the sum of dy along axis 0", RIGHT.sum(axis=0), OTHER.sum(axis=0), None),
    ("the right one minus 1/20 times dy", RIGHT, RIGHT - OTHER / 20, None),
    ("not summed along axis 0", RIGHT.sum(axis=0), RIGHT, None),
    ("summed along axis 1", RIGHT, RIGHT.sum(axis=1), None),
    ("2 times the right one minus 1", RIGHT, 2 * RIGHT - 1, None),
    ("off by the same numbers in each row", RIGHT, RIGHT + SQUARE[0], None),
    ("a multiple of the right one, another in each row", RIGHT, RIGHT * BEFORE[:, :1], None),
    ("cut off at the end", RIGHT, RIGHT[:-1], None),
]


@pytest.mark.parametrize(("text", "right", "theirs", "sentence"), RELATIONS)
def test_a_relation_holds_for_every_element_or_not_at_all(text, right, theirs, sentence):
    assert relation(theirs, right, KNOWN) == text
    assert sentence in (None, words(text))
    broken = theirs.copy()
    broken.flat[min(5, broken.size - 1)] += 0.1
    assert relation(broken, right, KNOWN) is None


@pytest.mark.parametrize(
    ("right", "theirs"),
    [
        (np.array(2.3), np.array(3.3)),  # any number is a multiple of any other
        (np.array([2.3]), np.array([1.7])),
        (np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 3], [2, 4]])),  # two have changed places
        (np.array([1.0, 2]), np.array([2.0, 1])),
        (np.eye(40)[:1], 3.7 * np.eye(40)[:1]),  # nearly all of it is 0
        (np.array([1e6, 1e-9, 1e-9, 1e-9]), np.array([2e6, 5e-9, 7e-9, 0])),  # one number counts
        (np.ones(50), 1.7 * np.ones(50)),  # the same number again and again
    ],
)
def test_too_little_data_shows_no_relation(right, theirs):
    assert relation(theirs, right) is None


def test_one_number_is_enough_for_a_factor_that_means_something():
    assert relation(np.array(2.3 * 6), np.array(2.3), KNOWN) == "6 x"
    assert relation(np.array(-2.3), np.array(2.3)) == "-1 x"
    assert relation(np.float32(2.3 * 6), np.float32(2.3), KNOWN) is None  # not so sharp
