"""Tables of the README, put between the markers `<!-- name -->` and `<!-- /name -->`."""

from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def fill_in(name, text):
    """Replace what stands between the markers; ValueError if the README lacks them."""
    page = README.read_text(encoding="utf-8")
    head, opening, rest = page.partition(f"<!-- {name} -->\n")
    _, closing, tail = rest.partition(f"<!-- /{name} -->\n")
    if not opening or not closing:
        raise ValueError(f"README.md has no markers for {name}")
    README.write_text(f"{head}{opening}{text}\n{closing}{tail}", encoding="utf-8")
