"""Tables of the README, put between the markers `<!-- name -->` and `<!-- /name -->`."""

from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def fill_in(name, text):
    """Replace what stands between the markers; ValueError if the README lacks them."""
    head, _, tail = _cut(name)
    README.write_text(f"{head}{text}\n{tail}", encoding="utf-8")


def filled_in(name):
    """Return what stands between the markers."""
    return _cut(name)[1].removesuffix("\n")


def _cut(name):
    """Return the page up to the text, the text, and the page from there on."""
    opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    head, found, rest = README.read_text(encoding="utf-8").partition(opening)
    text, found_too, tail = rest.partition(closing)
    if not found or not found_too:
        raise ValueError(f"README.md has no markers for {name}")
    return head + opening, text, closing + tail
