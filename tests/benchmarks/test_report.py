"""What the READMEs show is what was measured, and what is kept of it is small."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import moving_picture, race_report, readme, report, weights
from benchmarks.harness import RESULTS, five_numbers, spread

AWAITED = {"race-top", "mutation"}  # their pages are being written


@pytest.mark.parametrize("table", report.TABLES, ids=lambda table: table.marker)
def test_a_table_of_a_page_is_that_of_the_results(table):
    if (text := table.text()) is None:
        pytest.skip("not measured yet")
    try:
        shown = readme.filled_in(table.page, table.marker)
    except readme.MissingMarkers as error:
        if table.marker not in AWAITED:
            raise
        pytest.skip(str(error))
    assert shown == text, "run `python -m benchmarks report`"


def test_every_measurement_but_the_figures_of_readmes_is_recorded():
    assert {t.marker for t in report.TABLES if t.load() is None} <= {"pictures"}


def test_report_fills_the_page_of_each_table_and_says_which_markers_are_missing(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "FIGURES", {})
    make = "benchmarks.accuracy:table"
    tables = [report.Table(name, page, "accuracy", make) for name, page in (("a", "1"), ("b", "2"))]
    monkeypatch.setattr(report, "TABLES", [*tables, report.Table("c", "1", "accuracy", make)])
    (tmp_path / "accuracy.json").write_text('{"sample, 10 epochs": [0.92, 0.94]}')
    (tmp_path / "1").write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n")
    report.main(tmp_path)
    text = (tmp_path / "1").read_text()
    assert text.startswith("before\n<!-- a -->\n| trained on")
    assert "93.00%" in text
    assert text.endswith("<!-- /a -->\nafter\n")
    shown = capsys.readouterr().out
    assert "2 does not exist, so b has no place" in shown
    assert "1 has no markers for c" in shown


def test_the_losses_name_who_is_ahead_of_the_fused_engine_where_nothing_is_compiled_yet():
    (race,) = (table for table in report.TABLES if table.marker == "race-losses")
    rows = list(race_report.losses_table(race.load()))
    (row,) = (row for row in rows if "nothing compiled yet | scratchnet, fused" in row)
    for ahead in ("JAX", "gradients by hand", "bare NumPy"):
        assert ahead in row
    assert not any("compiled code cached" in row for row in rows)  # there it is the fastest


@pytest.mark.parametrize("n", [1, 2, 3, 6, 78])
def test_the_quartiles_of_a_five_number_summary_are_those_of_the_samples(n):
    samples = np.random.default_rng(n).random(n).tolist()
    assert spread(five_numbers(samples)) == spread(samples)


def test_the_results_are_small_enough_for_a_readme():
    sizes = {path: path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 600_000, max(sizes, key=sizes.get)


def test_a_reduced_animation_keeps_every_second_frame_and_the_last(tmp_path):
    shades = [Image.new("L", (4, 4), 20 * n) for n in range(6)]
    source, path = tmp_path / "all.gif", tmp_path / "few" / "some.gif"
    shades[0].save(source, save_all=True, append_images=shades[1:], duration=[250] * 5 + [2000])
    moving_picture.reduce(source, path, every=2, colours=16)
    with Image.open(path) as reduced:
        assert reduced.n_frames == 4
        seen = []
        for n in range(reduced.n_frames):
            reduced.seek(n)
            seen.append((reduced.convert("L").getpixel((0, 0)), reduced.info["duration"]))
    assert seen == [(0, 250), (40, 250), (80, 250), (100, 2000)]


def test_weights_of_0_are_white_and_those_at_the_limit_red_and_blue():
    W = np.zeros((784, weights.ROWS * weights.COLUMNS))
    W[0, 0], W[0, 1] = -1, 1
    sheet = weights.grid(W, limit=1)
    size = 28 * weights.ZOOM + weights.GAP
    red, blue, zero = sheet[0, 0], sheet[0, size], sheet[0, 2 * size]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert zero.min() > 240
