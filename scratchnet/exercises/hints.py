"""Hints in four steps: which tensor, what it is to the right one, the mistake, the line."""

import ast
import difflib
import re
from pathlib import Path

from scratchnet.checking.bugs import BUGS
from scratchnet.exercises.implementation import functions

STEPS = 4


def hint(folder, result, step):
    """Return the text of a hint, from 1 to STEPS, for the first wrong check of a Result."""
    check, chapter = result.first_wrong, result.chapter
    if check.check in ("runs", "written") or not chapter.probe:
        return f"{check.check}: {check.message}"
    if step == 1:
        names = " or ".join(name for _, name in chapter.written)
        return f"{check.check} is the first that is wrong, so look at what makes it: {names}."
    if step == 2:
        if check.relation:
            return f"{check.check} is {check.relation.removesuffix(' x')}" + (
                " times the right one."
                if check.relation.endswith(" x")
                else ", compared to the right one."
            )
        return f"{check.check} has no simple relation to the right one. {check.message}"
    if step == 3:
        if check.diagnosis:
            return "The mistake: " + " or ".join(f'"{name}"' for name in check.diagnosis) + "."
        return (
            "The mistake is not in the catalogue. The derivation: "
            f"scratchnet/nn/README.md#{chapter.section}"
        )
    file, number, text = _line(folder, chapter, check)
    return f"{file}, line {number}: {text.strip()}"


def _line(folder, chapter, check):
    """Return the file, number and text of the line where the mistake most likely stands."""
    candidates = []
    for file, function in chapter.written:
        path = Path(folder, f"{file}.py")
        lines = path.read_text(encoding="utf-8").splitlines()
        node = functions(ast.parse("\n".join(lines))).get(function)
        if node is not None:
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            first = body[0].lineno if body else node.lineno
            candidates += [(path.name, n, lines[n - 1]) for n in range(first, node.end_lineno + 1)]
    wrong = [
        line
        for bug in BUGS
        if bug.name in check.diagnosis[:1]
        for _, text in bug.edits
        for line in text.splitlines()
        if line.strip()
    ]
    texts = [text.strip() for _, _, text in candidates]
    for line in wrong:
        same = [text for text in texts if text.startswith(line.strip())]
        close = same or difflib.get_close_matches(line.strip(), texts, 1)
        if close:
            return candidates[texts.index(close[0])]
    assigned = re.compile(rf"\b{re.escape(check.check.split()[0])}\b[^=]*=[^=]")
    found = [c for c in candidates if assigned.search(c[2])]
    returned = [c for c in candidates if c[2].strip().startswith("return")]
    return (found or returned or candidates)[-1]
