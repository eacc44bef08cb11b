"""The READMEs: every relative link and every anchor leads somewhere, and the program runs."""

import re

import pytest
from threadpoolctl import threadpool_limits

from tests.conftest import ROOT

READMES = sorted(
    path
    for folder in ("", "scratchnet/*/", "torch_ref/", "torch_ref/*/", "benchmarks/")
    for path in ROOT.glob(f"{folder}README.md")
)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(markdown):
    """Return the anchors of a page as GitHub names them, after its headings."""
    headings = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S), re.M
    )
    found = set()
    for heading in headings:
        text = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        same = sum(known == slug or known.startswith(f"{slug}-") for known in found)
        found.add(f"{slug}-{same}" if slug in found else slug)
    return found


def links(path):
    return LINK.findall(CODE.sub("", path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_of_a_readme_leads_to_a_file_and_a_heading(readme):
    for link in links(readme):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (readme.parent / name).resolve() if name else readme
        assert target.exists(), f"{readme}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{readme}: {link}"


def test_the_checker_finds_headings_as_github_names_their_anchors():
    page = "# What you see\n## `nn`, the maths\n```\n# no heading\n```\n## What you see\n"
    assert anchors(page) == {"what-you-see", "nn-the-maths", "what-you-see-1"}


def test_the_program_of_the_first_page_learns_the_digits_as_it_says(capsys):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    with threadpool_limits(1):
        exec(program, {})
    (said,) = re.findall(r"# (\d+)%$", program, re.M)
    assert abs(int(capsys.readouterr().out.removesuffix("%\n")) - int(said)) <= 1
