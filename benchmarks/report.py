"""Every table and figure of the READMEs, from stored measurements: `python -m benchmarks report`.

Programs that measure write JSON; nothing but this writes Markdown. A table stands between markers
in its page (see `benchmarks.readme`), and a test compares it with what this makes of the results.
"""

import importlib
import json
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks import gemm_report, race_report, readme, sources
from benchmarks.harness import RESULTS


class Table(NamedTuple):
    """A table of a page: its marker, what was measured, and who makes Markdown of that.

    results: a path below the project's folder, or the name of a file in benchmarks/results.
    maker: "module:function" of the results; returns the text or its lines.
    """

    marker: str
    page: str
    results: str
    maker: str

    def load(self, folder=RESULTS):
        """Return the results, None where nothing was measured yet."""
        inside = self.results.endswith(".json")
        path = readme.ROOT / self.results if inside else folder / f"{self.results}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def text(self, folder=RESULTS):
        """Return the Markdown, None where nothing was measured yet.

        The first table that a page has of some results says whether they are stale.
        """
        if (results := self.load(folder)) is None:
            return None
        module, function = self.maker.split(":")
        made = getattr(importlib.import_module(module), function)(results)
        text = made if isinstance(made, str) else "\n".join(made)
        of_them = [t for t in TABLES if (t.page, t.results) == (self.page, self.results)]
        stale = sources.caption(self.results) if of_them[:1] == [self] else ""
        return f"{text}\n\n{stale}" if stale else text


TOP, HERE, REFERENCE = "README.md", "benchmarks/README.md", "torch_ref/README.md"
KERNELS, BUGS = "scratchnet/kernels/README.md", "torch_ref/mutation/README.md"
MUTATION = "torch_ref/mutation/results.json"
EXERCISES = "scratchnet/exercises/README.md"
TABLES = [
    Table("train", TOP, "pictures", "benchmarks.transcripts:train"),
    Table("lockstep", TOP, "pictures", "benchmarks.transcripts:lockstep_end"),
    Table("lockstep-first", REFERENCE, "pictures", "benchmarks.transcripts:lockstep_first"),
    Table("lockstep-worst", REFERENCE, "pictures", "benchmarks.transcripts:lockstep_worst"),
    Table("free-run", REFERENCE, "pictures", "benchmarks.transcripts:free_run"),
    Table("race-top", TOP, "race", "benchmarks.race_report:top_table"),
    Table("accuracy", TOP, "accuracy", "benchmarks.accuracy:table"),
    Table("mutation-top", TOP, MUTATION, "benchmarks.mutation_report:top_rows"),
    Table("race", HERE, "race", "benchmarks.race_report:epoch_table"),
    Table("race-start", HERE, "race", "benchmarks.race_report:start_table"),
    Table("race-batch", HERE, "race", "benchmarks.race_report:batch_table"),
    Table("race-growth", HERE, "race", "benchmarks.race_report:growth_table"),
    Table("race-losses", HERE, "race", "benchmarks.race_report:losses_table"),
    Table("machine", HERE, "race", "benchmarks.race_report:machine"),
    Table("accuracy", HERE, "accuracy", "benchmarks.accuracy:table"),
    Table("cnn", HERE, "cnn", "benchmarks.cnn:summary"),
    Table("gan", HERE, "gan", "benchmarks.gan:summary"),
    Table("overhead", HERE, "overhead", "benchmarks.overhead:summary"),
    Table("weights", HERE, "weights", "benchmarks.weights:summary"),
    Table("pictures", HERE, "pictures", "benchmarks.pictures:accuracies"),
    Table("corruptions", HERE, "pictures", "benchmarks.pictures:corruptions"),
    Table("search", HERE, "pictures", "benchmarks.pictures:search"),
    Table("gan-metrics", HERE, "pictures", "benchmarks.pictures:gan_metrics"),
    Table("faults", HERE, "faults", "benchmarks.fault_report:table"),
    Table("gemm", "benchmarks/results/gemm.md", "gemm", "benchmarks.gemm_report:gemm_table"),
    Table("ladder", KERNELS, "gemm", "benchmarks.ladder_table:ladder_table"),
    Table("roofline", KERNELS, "gemm", "benchmarks.ladder_table:roofline"),
    Table("mutation", BUGS, MUTATION, "benchmarks.mutation_report:tables"),
    Table("diagnosis-summary", EXERCISES, "diagnosis", "benchmarks.diagnosis:summary"),
    Table("diagnosis", EXERCISES, "diagnosis", "benchmarks.diagnosis:table"),
]
FIGURES = {"gemm": gemm_report.figures, "race": race_report.figures}  # results -> {name: Figure}


def main(folder=RESULTS):
    """Draw what there are results for in the folder; if it is the kept one, fill in every page."""
    for name, draw in FIGURES.items():
        path = folder / f"{name}.json"
        if path.exists():
            for title, figure in draw(json.loads(path.read_text())).items():
                figure.savefig(folder / f"{title}.png", dpi=120)
                plt.close(figure)
    for table in TABLES:
        if (text := table.text(folder)) is None or folder != RESULTS:
            continue
        try:
            readme.fill_in(table.page, table.marker, text)
        except readme.MissingMarkers as error:
            print(f"left out: {error}")
