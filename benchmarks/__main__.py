"""`python -m benchmarks` measures everything and reports it; `python -m benchmarks race` one part.

With --quick it only shows that all of it runs: the results go to a temporary folder.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import accuracy, cnn, gan, gemm, overhead, race, report
from benchmarks.harness import RESULTS

PARTS = {
    "gemm": gemm.main,
    "race": race.main,
    "overhead": overhead.main,
    "cnn": cnn.main,
    "gan": gan.main,
    "accuracy": accuracy.main,
}

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument(
    "part",
    nargs="?",
    choices=[*PARTS, "report"],
    help="report: figures and tables from the results of the last run; default: everything",
)
parser.add_argument("--quick", action="store_true", help="shows that it runs, not how fast")
options = parser.parse_args()

with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary) if options.quick else RESULTS
    for part, measure in PARTS.items():
        if options.part in (part, None):
            measure(options.quick, folder)
    report.main(folder)
