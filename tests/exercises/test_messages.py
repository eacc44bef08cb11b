"""What a learner is told: every mistake once, and nothing that looks like a riddle."""

import numpy as np
import pytest

from scratchnet.exercises import stubs
from scratchnet.exercises.chapters import by_number
from scratchnet.exercises.check import Check, check_chapter, describe
from scratchnet.exercises.implementation import FILES
from scratchnet.exercises.text import show_checks


@pytest.fixture
def changed(tmp_path):
    """A function of a chapter, a file, a text of it and another: the Result with that instead."""

    def check(chapter, file, right, wrong):
        for name in FILES:
            text = stubs.stub(name, to_write=())
            if name == file:
                assert right in text
                text = text.replace(right, wrong)
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return check_chapter(tmp_path, by_number(chapter))

    return check


@pytest.mark.parametrize(
    ("theirs", "name"),
    [
        (np.array([1.0, 5.0], np.float64), "W afterwards"),
        (np.array([1.0, 2.0], np.float32), "y"),
        (np.array([1, 2]), "y"),
    ],
)
def test_a_mistake_that_the_message_explains_is_not_called_unknown(theirs, name):
    assert "unknown" not in describe(theirs, np.array([1.0, 2.0]), None, [], True, name)
    other = np.array([1.0, 5.0])
    assert "unknown" in describe(other, np.array([1.0, 2.0]), None, [], True, "y")


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_two_numbers_never_look_the_same(shape):
    right = np.full(shape, 0.1234567890123)
    text = describe(right + 1e-12, right, None, [], True)
    assert "0.123456789013 in place of 0.123456789012" in text


def test_a_forgotten_return_is_a_question_with_one_mark_at_its_end(changed):
    wrong = changed("linear_forward", "layers", "return y", "y").first_wrong
    assert wrong.message == "wrong. Yours is None: does it return anything?"


def test_a_gradient_that_the_optimiser_changes_is_said_to_be_none_of_its_business(changed):
    result = changed("sgd", "optim", "p -= ", "g *= 3.3; p -= ")
    messages = [c.message for c in result.checks if c.check.startswith("dW after") and not c.ok]
    assert messages
    assert all("Your code changes dW, which is not its own." in text for text in messages)
    assert not any("unknown" in text for text in messages)


def test_another_shuffle_is_two_lines_and_not_a_wall(changed):
    order = "shuffled(len(x), seed=seed, epoch=epoch)"
    rng = "np.random.RandomState(epoch).permutation(len(x))"
    result = changed("batches", "batches", order, rng)
    first, *also = [check for check in result.checks if not check.ok]
    assert first.message == "wrong. Yours is not in the order of `shuffled`."
    shown = show_checks(result.checks)
    assert shown.count("wrong") == 2
    _, end = shown.split("also wrong, as a consequence or by itself: ")
    assert " ".join(end.split()) == ", ".join(check.check for check in also)
    assert len(also) > 8


def test_each_mistake_is_named_once_and_what_ended_it_all_is_told():
    shown = show_checks(
        [
            Check("y", False, "first", diagnosis=["A"]),
            Check("dx", False, "same", diagnosis=["A"]),
            Check("dW", False, "second", diagnosis=["B"]),
            Check("db", False, "unknown"),
            Check("runs", False, "ended"),
        ]
    )
    assert [line.strip() for line in shown.splitlines()] == [
        "y: first",
        "dW: second",
        "runs: ended",
        "also wrong, as a consequence or by itself: dx, db",
    ]


@pytest.mark.parametrize("result", ["loss", "(loss, None)"])
def test_of_the_loss_chapter_its_gradient_may_be_left_out(result, changed):
    assert changed(
        "softmax_cross_entropy", "losses", "return loss, dlogits", f"return {result}"
    ).done


@pytest.mark.parametrize(("result", "kind"), [("None", "None"), ("[loss, 0]", "list")])
def test_of_another_form_it_is_said_what_to_return_for_now(result, kind, changed):
    right = "return loss, dlogits"
    wrong = changed("softmax_cross_entropy", "losses", right, f"return {result}").first_wrong
    said = f"softmax_cross_entropy() returns (loss, dlogits), not {kind}; return loss, None for now"
    assert said in wrong.message
    assert "return loss, None for now\n" in stubs.stub("losses")
    later = changed("loss_gradient", "losses", right, f"return {result}").first_wrong
    assert "for now" not in later.message
