"""What a learner's folder is like most of the time: half written. One line says what is wrong."""

import ast
import re

import numpy as np
import pytest

from scratchnet.exercises import runner, stubs
from scratchnet.exercises.chapters import CHAPTERS, by_number
from scratchnet.exercises.check import check_chapter
from scratchnet.exercises.implementation import FILES, PACKAGE, functions
from scratchnet.exercises.probes import digits

LINEAR = by_number("linear_forward")
Y = "        y = self.matmul(x, self.W)  # (B,I) @ (I,O) -> (B,O)\n"


@pytest.fixture
def folder(tmp_path):
    """A folder in which everything is solved."""
    for name in FILES:
        (tmp_path / f"{name}.py").write_text(stubs.stub(name, to_write=()), encoding="utf-8")
    return tmp_path


def with_line(folder, line):
    """The folder with one line in place of the product; return its number."""
    text = (folder / "layers.py").read_text(encoding="utf-8")
    (folder / "layers.py").write_text(text.replace(Y, f"        {line}\n"), encoding="utf-8")
    return text[: text.index(Y)].count("\n") + 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("y = self.matmul(x, self.W", r"SyntaxError: '\(' was never closed"),
        ("y = x @", "SyntaxError: invalid syntax"),
        ("y = x @ self.w", "AttributeError: 'Linear' object has no attribute 'w'"),
        ("y = x @ self.W.T", "ValueError: matmul: Input operand 1 has a mismatch"),
        ("exit(3)", r"it calls exit\(3\)"),
        ("f = lambda: f(); f()", "RecursionError: maximum recursion depth"),
        ("y = np.ones((1 << 20, 1 << 20))", "MemoryError"),
        ("import os; os.remove('/etc/hosts')", "PermissionError: files outside a temporary folder"),
        ("open('/tmp/out', 'w')", "PermissionError: files outside a temporary folder"),
        ("raise NotImplementedError", r"^Linear.forward is not written yet \(layers.py"),
        ("import torch_of_nobody", "ModuleNotFoundError: No module named 'torch_of_nobody'"),
    ],
)
def test_what_is_raised_is_one_line_with_file_and_line(folder, line, message):
    number = with_line(folder, line)
    (check,) = check_chapter(folder, LINEAR).checks
    assert not check.ok
    assert re.search(rf"layers.py, line {number}\b", check.message)
    check_message_is(check, message)


def check_message_is(check, message):
    assert "\n" not in check.message
    assert re.search(message, check.message), check.message


def test_an_endless_loop_is_interrupted_in_its_line(folder, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS", 2)
    number = with_line(folder, "while True: pass")
    (check,) = check_chapter(folder, LINEAR).checks
    assert check.message == (
        f"layers.py, line {number}: stopped, as it takes so long: is there an endless loop?"
    )


def test_a_loop_that_swallows_the_interruption_is_ended(folder, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS", 1)
    lines = "while True:", "    try:", "        pass", "    except:", "        pass"
    with_line(folder, "\n        ".join(lines))
    (check,) = check_chapter(folder, LINEAR).checks
    assert "endless loop" in check.message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("y.tolist()", "Yours is a list, no array."),
        ("None", r"Yours is None: does it return anything\?"),
        ("(y, x)", "Yours is a tuple, no array."),
        ("y.astype(object)", "Yours is an array of object."),
        ("y + 0j", "Yours is an array of complex128."),
        ("y.astype(int)", "Yours is int64, not float64."),
        ("y.astype(np.float32)", "Yours is float32, not float64."),
        ("type('Tensor', (), {})()", "Yours is a Tensor, no array."),
        ("y.mean()", r"Yours has the shape \(\), not \(2, 2\)."),
        ("'right'", "Yours is a str, no array."),
    ],
)
def test_another_type_than_an_array_is_said(folder, value, message):
    text = (folder / "layers.py").read_text(encoding="utf-8")
    (folder / "layers.py").write_text(text.replace("return y\n", f"return {value}\n", 1))
    check_message_is(check_chapter(folder, LINEAR).first_wrong, message)


def test_what_it_prints_is_shown_and_no_mistake(folder):
    with_line(folder, "y = self.matmul(x, self.W); print('W is', self.W.shape)")
    result = check_chapter(folder, LINEAR)
    assert result.done
    assert "W is (784, 10)" in result.printed


def test_another_signature_is_said_with_the_line_of_the_function(folder):
    text = (folder / "layers.py").read_text(encoding="utf-8")
    (folder / "layers.py").write_text(text.replace("def forward(self, x):", "def forward(self):"))
    (check,) = check_chapter(folder, LINEAR).checks
    number = text[: text.index("def forward(self, x):")].count("\n") + 1
    assert check.message.startswith(f"layers.py, line {number}: TypeError: Linear.forward() takes")


def test_a_file_that_is_none_is_said(folder):
    layers = folder / "layers.py"
    layers.write_bytes(b"\xff\xfe\x00")
    check_message_is(check_chapter(folder, LINEAR).first_wrong, "layers.py is no text in UTF-8")
    layers.unlink()
    check_message_is(check_chapter(folder, LINEAR).first_wrong, "layers.py is missing")
    layers.mkdir()
    check_message_is(check_chapter(folder, LINEAR).first_wrong, "layers.py is no file")
    layers.rmdir()
    layers.write_text("")
    check_message_is(check_chapter(folder, LINEAR).first_wrong, "no attribute 'Linear'")


def test_a_learner_who_changes_numpy_gets_no_better_verdict(folder):
    with_line(folder, "y = np.zeros((len(x), len(self.b)))")
    text = (folder / "layers.py").read_text(encoding="utf-8")
    cheat = "\nnp.array_equal = np.allclose = lambda *args, **kwargs: True\n"
    (folder / "layers.py").write_text(text + cheat)
    assert not check_chapter(folder, LINEAR).done


@pytest.mark.parametrize("chapter", [c for c in CHAPTERS if c.probe], ids=lambda c: c.name)
def test_a_chapter_passes_with_nothing_written_but_it_and_those_before(chapter, tmp_path):
    """What is written is ours: so any file of ours in place of a learner's passes, too."""
    later = [other for other in CHAPTERS if other.number > chapter.number]
    for name in FILES:
        (tmp_path / f"{name}.py").write_text(stubs.stub(name, later), encoding="utf-8")
    result = check_chapter(tmp_path, chapter)
    assert result.done, result.first_wrong


def test_no_stub_holds_its_solution():
    """Each function that is asked for raises NotImplementedError, and that is all."""
    asked = {pair for chapter in CHAPTERS for pair in chapter.written if pair[0] in FILES}
    for file, function in asked:
        node = functions(ast.parse(stubs.stub(file)))[function]
        body = node.body[1:] if ast.get_docstring(node) else node.body
        assert [ast.unparse(statement) for statement in body] == ["raise NotImplementedError"]
    for file in FILES:
        ours = functions(ast.parse((PACKAGE / FILES[file]).read_text(encoding="utf-8")))
        hidden = {
            ast.unparse(statement)
            for name, node in ours.items()
            if (file, name) in asked
            for statement in node.body[bool(ast.get_docstring(node)) :]
        }
        given = functions(ast.parse(stubs.stub(file)))
        shown = {
            ast.unparse(statement)
            for name, node in given.items()
            for statement in node.body[bool(ast.get_docstring(node)) :]
        }
        assert hidden & shown <= HARMLESS, file


# What a given function shares with one that is asked for: checks, not formulas.
HARMLESS = {
    "n_in, n_out = self.W.shape",
    "self.shape = x.shape",
    "return self.y",
    "check_shape(self, dy, self.mask.shape)",
    "check_shape(self, dy, self.y.shape)",
}


def test_checks_work_on_real_digits_of_a_class_each():
    images, labels = digits()
    assert images.shape == (70, 28, 28)
    assert set(labels[:32]) == set(np.arange(10))
