"""Tables in a README, put between the markers `<!-- name -->` and `<!-- /name -->`."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


class MissingMarkers(ValueError):
    """A page that does not exist, or has no place for a table of that name."""


def fill_in(page, name, text):
    """Replace what stands between the markers of a page, a path below the project's folder."""
    head, _, tail = _cut(page, name)
    (ROOT / page).write_text(f"{head}{text}\n{tail}", encoding="utf-8")


def filled_in(page, name):
    """Return what stands between the markers of a page; MissingMarkers if there are none."""
    return _cut(page, name)[1].removesuffix("\n")


def _cut(page, name):
    """Return the page up to the text, the text, and the page from there on."""
    path = ROOT / page
    if not path.exists():
        raise MissingMarkers(f"{page} does not exist, so {name} has no place")
    opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    head, found, rest = path.read_text(encoding="utf-8").partition(opening)
    text, found_too, tail = rest.partition(closing)
    if not found or not found_too:
        raise MissingMarkers(f"{page} has no markers for {name}")
    return head + opening, text, closing + tail
