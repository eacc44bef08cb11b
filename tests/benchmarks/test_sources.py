"""A number in a README is that of the code beside it, or the page says that it is not."""

import json

import pytest

from benchmarks import harness, report, sources

CODE = '"""Doc."""\n\n# why\ndef f(x):\n    "Doc."\n    return x + 1  # one more\n'


@pytest.mark.parametrize(
    ("text", "other", "changes"),
    [
        ("# why", "# because", False),
        ("  # one more", "", False),
        ('"Doc."\n    return', '"Other."\n    return', False),
        ('"""Doc."""', '"""A longer\n\ntext."""', False),
        ("x + 1", "x + 2", True),
        ("def f(x)", "def g(x)", True),
        ("return x + 1", 'return "# one"', True),
    ],
)
def test_a_digest_changes_with_the_code_and_not_with_its_comments(text, other, changes):
    edited = CODE.replace(text, other)
    assert edited != CODE
    assert (sources.digest(edited) != sources.digest(CODE)) == changes


@pytest.mark.parametrize("measurement", sources.SOURCES)
def test_every_source_of_a_measurement_is_a_file(measurement):
    for pattern in sources.SOURCES[measurement]:
        assert list(sources.ROOT.glob(pattern)), pattern


def test_every_measurement_has_recorded_its_sources():
    assert json.loads(sources.RECORD.read_text()).keys() == sources.SOURCES.keys()
    results = {name.split()[0] for name in sources.SOURCES}
    assert results <= {table.results for table in report.TABLES}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one source, measured."""
    (tmp_path / "one.py").write_text(CODE)
    (tmp_path / "sources.json").write_text("{}")
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(sources, "RECORD", tmp_path / "sources.json")
    monkeypatch.setattr(sources, "SOURCES", {"race": ["*.py"], "faults kills": ["*.py"]})
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    harness.save("race", {"seconds": 1.0}, tmp_path)
    sources.record("faults kills")
    return tmp_path


def test_what_has_changed_since_it_was_measured_is_named_with_the_command(project):
    assert sources.caption("race") == sources.caption("faults") == ""
    (project / "one.py").write_text(CODE.replace("x + 1", "x - 1"))
    assert "`one.py`: `python -m benchmarks race`" in sources.caption("race")
    assert "`one.py`: `python -m tests.faults kills`" in sources.caption("faults")
    assert sources.caption("cnn") == ""


def test_a_source_that_is_new_or_gone_counts_as_changed(project):
    (project / "two.py").write_text("")
    assert sources.changed("race") == ["two.py"]
    (project / "two.py").rename(project / "three.py")
    (project / "one.py").unlink()
    assert sources.changed("race") == ["one.py", "three.py"]


def test_only_what_is_kept_is_recorded(project, tmp_path_factory):
    (project / "one.py").write_text("x = 2\n")
    harness.save("race", {"seconds": 2.0}, tmp_path_factory.mktemp("quick"))
    assert sources.changed("race") == ["one.py"]
    harness.save("race", {"seconds": 2.0}, project)
    assert sources.changed("race") == []


def test_the_first_table_that_a_page_has_of_stale_results_says_so(project, monkeypatch):
    make = "benchmarks.accuracy:table"
    tables = [report.Table(name, "page", "race", make) for name in ("a", "b")]
    monkeypatch.setattr(report, "TABLES", tables)
    (project / "race.json").write_text('{"sample, 10 epochs": [0.92, 0.94]}')
    assert "Measured before" not in tables[0].text(project)
    (project / "one.py").write_text("x = 2\n")
    assert tables[0].text(project).endswith("`python -m benchmarks race`.*")
    assert "Measured before" not in tables[1].text(project)
