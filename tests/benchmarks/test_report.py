"""What the READMEs show is what was measured, and what is kept of it is small."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import gemm, moving_picture, pictures, race_report, readme, report, weights
from benchmarks.harness import RESULTS, five_numbers, spread


@pytest.mark.parametrize("table", report.TABLES, ids=lambda table: f"{table.page}-{table.marker}")
def test_a_table_of_a_page_is_that_of_the_results(table):
    if (text := table.text()) is None:
        pytest.skip("not measured yet")
    shown = readme.filled_in(table.page, table.marker)
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


def test_the_peak_of_two_threads_is_that_of_two_cores():
    row = {"product": "square 64", "flops": 2e9, "samples": {"simd": [0.01]}, "peak": [180e9]}
    assert gemm._line(row, 1).endswith("simd 200.0  peak of 1 core 180")
    assert gemm._line(row, 2).endswith("simd 200.0  peak of 2 cores 360")


@pytest.mark.parametrize("n", [1, 2, 3, 6, 78])
def test_the_quartiles_of_a_five_number_summary_are_those_of_the_samples(n):
    samples = np.random.default_rng(n).random(n).tolist()
    assert spread(five_numbers(samples)) == spread(samples)


def test_the_results_are_small_enough_for_a_readme():
    sizes = {path: path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 600_000, max(sizes, key=sizes.get)


def test_every_picture_of_the_results_has_a_command_that_makes_it():
    found = {
        str(p.relative_to(RESULTS)) for p in RESULTS.rglob("*") if p.suffix in (".png", ".gif")
    }
    drawn = {
        f"{title}.png" for title in ("ladder", "roofline", "race", "race-batch", "race-growth")
    }
    copied = {place for run in pictures.RUNS.values() for place in run.figures.values()}
    assert found == drawn | copied | {"training/weights.gif"}


@pytest.mark.exhaustive
def test_the_pictures_are_those_of_real_runs_and_what_they_measured_is_kept(monkeypatch, tmp_path):
    names = ("default", "free-run")
    monkeypatch.setattr(pictures, "RUNS", {name: pictures.RUNS[name] for name in names})
    results = pictures.main(quick=True, folder=tmp_path)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png")} == {
        "training/curves.png",
        "training/mistakes.png",
        "free-run.png",
    }
    accuracy = results["runs"]["default"]["measured"]["test_accuracy"]
    assert accuracy > 0.8
    assert results["runs"]["free-run"]["printed"][-1].startswith("  curve: ")
    *_, row = pictures.accuracies(results)
    assert row.startswith("| `python -m scratchnet.train --out runs/default")
    assert row.endswith(f"| {accuracy:.2%} |")


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
