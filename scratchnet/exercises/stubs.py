"""The learner's folder: our files without the bodies that are to be written.

The stubs are made from the files themselves, so that names, signatures and docstrings are those of
scratchnet, and what is given agrees with what is asked for.
"""

import ast
import errno
import re
from pathlib import Path

from scratchnet.exercises.chapters import CHAPTERS
from scratchnet.exercises.implementation import FILES, PACKAGE, functions

NAMES = (*FILES, "kernel")  # of the files of a folder, without ".py"

KERNEL = '''"""A matrix product (GEMM) of your own, compiled by Numba.

    C[i, j] = sum over k of A[i, k] * B[k, j]          A (m, K)   B (K, n)   C (m, n)
"""

import numba
import numpy as np


def matmul(A, B):
    """Return the product C (m, n), new, of two matrices of float32 or float64 with any strides."""
    # chapter {number}
    raise NotImplementedError
'''


def stub(name, to_write=CHAPTERS):
    """Return the text of a file of FILES without what these chapters ask for, as the first."""
    source = (PACKAGE / FILES[name]).read_text(encoding="utf-8")
    lines = source.splitlines()
    chapters = {}
    for chapter in CHAPTERS:
        for file, function in chapter.written:
            if file == name:
                chapters.setdefault(function, []).append(chapter)
    chapters = {function: its for function, its in chapters.items() if its[0] in to_write}
    written = functions(ast.parse(source))
    for function in sorted(chapters, key=lambda f: -written[f].lineno):  # from the last one up
        node = written[function]
        documented = ast.get_docstring(node) is not None
        first = node.body[0].end_lineno if documented else node.body[0].lineno - 1
        indent = " " * (node.col_offset + 4)
        marks = [f"{indent}# chapter {c.number}: {c.title}" for c in chapters[function]]
        if len(marks) > 1:
            marks[0] += f"; {chapters[function][0].part}"
        lines[first : node.end_lineno] = [*marks, f"{indent}raise NotImplementedError"]
    return flat_imports("\n".join(lines) + "\n")


def flat_imports(text):
    """Let a file of ours import its neighbours as a learner's does: from layers import Linear."""
    return re.sub(
        r"^from scratchnet\.(?:nn|data)\.(\w+) import", r"from \1 import", text, flags=re.MULTILINE
    )


def solution(chapter):
    """Return our text of what a chapter asks for."""
    texts = []
    for file, function in chapter.written:
        source = (PACKAGE / FILES[file]).read_text(encoding="utf-8")
        node = functions(ast.parse(source))[function]
        where = f"scratchnet/{FILES[file]}, line {node.lineno}"
        body = "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])
        texts.append(f"# {where}\n{body}\n")
    return "\n".join(texts)


def start(folder):
    """Write a new folder: a stub of every file, and a README.md; return it.

    Raises:
        FileExistsError: the folder exists already and is not empty.
    """
    folder = new_folder(folder)
    for name in FILES:
        (folder / f"{name}.py").write_text(stub(name), encoding="utf-8")
    kernel = next(c.number for c in CHAPTERS if c.name == "kernel")
    (folder / "kernel.py").write_text(KERNEL.replace("{number}", str(kernel)), encoding="utf-8")
    (folder / "README.md").write_text(readme(folder.name), encoding="utf-8")
    return folder


def new_folder(folder):
    """Make a folder and return its Path; FileExistsError if it exists and is not empty."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(errno.EEXIST, "exists already and is not empty", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def readme(name):
    """Return the text of the README.md of a learner's folder."""
    command = "    python -m scratchnet.exercises"
    parts = [
        f"# {name}: a neural network of my own\n",
        f"{command} check {name}     # the first chapter that is not done",
        f"{command} watch {name}     # ... again whenever a file is saved",
        f"{command} status {name}    # what is done, what comes next\n",
        "Each chapter: think about its question first, read the derivation in "
        "`scratchnet/nn/README.md`, then write the functions, and check.\n",
    ]
    for chapter in CHAPTERS:
        parts.append(f"## {chapter.number}. {chapter.title}\n")
        parts.append(f"*{chapter.question}*\n")
        for file, names in [(chapter.file, chapter.functions), *chapter.more]:
            if names:
                parts.append(f"- `{file}.py`: " + ", ".join(f"`{f}`" for f in names))
        if chapter.section:
            parts.append(f"- derived in `scratchnet/nn/README.md#{chapter.section}`")
        parts.append("")
    return "\n".join(parts)
