"""The derivations, scratchnet/nn/README.md: what is printed is computed, what is quoted is real."""

import doctest
import re
import textwrap
from pathlib import Path

import pytest

import scratchnet.nn

FOLDER = Path(scratchnet.nn.__file__).parent
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"\[(\w+\.py)\]\(\1\)[^\n]*:\n```python\n(.*?)```", re.DOTALL)
BLOCKS = BLOCK.findall(TEXT)  # of lines from a file; "..." stands for those left out
QUOTES = [(file, lines) for file, block in BLOCKS for lines in block.split("...\n")]


def test_every_number_on_the_page_is_what_numpy_scratchnet_and_pytorch_print():
    sessions = re.sub(r"^```.*$", "", TEXT, flags=re.MULTILINE)  # a fence is no output
    page = doctest.DocTestParser().get_doctest(sessions, {}, "README.md", "README.md", 0)
    report = []
    results = doctest.DocTestRunner(verbose=False).run(page, out=report.append)
    assert not results.failed, "".join(report)
    assert results.attempted == TEXT.count("\n>>> ") > 80


def test_every_block_of_code_names_the_file_it_is_quoted_from():
    assert len(BLOCKS) == TEXT.count("```python\n")


@pytest.mark.parametrize(("file", "quoted"), QUOTES)
def test_quoted_lines_stand_in_their_file(file, quoted):
    source = (FOLDER / file).read_text(encoding="utf-8")
    indents = {len(line) - len(line.lstrip()) for line in source.splitlines()}
    assert any(textwrap.indent(quoted, " " * n) in source for n in indents)


def test_the_table_of_contents_leads_to_every_section():
    contents = re.findall(r"^- \[(.*)\]\(#(.*)\)", TEXT, re.MULTILINE)
    sections = re.findall(r"^## (.*)", TEXT, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in sections]
    assert contents == list(zip(sections, anchors, strict=True))


def test_every_link_leads_to_a_file():
    targets = re.findall(r"\]\(([^#)][^)]*)\)", TEXT)
    assert len(targets) > 10
    assert [target for target in targets if not (FOLDER / target).exists()] == []
