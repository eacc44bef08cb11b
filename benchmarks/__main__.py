"""`python -m benchmarks` measures everything and reports it; `python -m benchmarks race` one part.

Results go into benchmarks/results, and from there into the READMEs. With --quick it only shows
that all of it runs, on little data, and keeps nothing.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import (
    accuracy,
    cnn,
    diagnosis,
    gan,
    gemm,
    overhead,
    pictures,
    race,
    report,
    weights,
)
from benchmarks.harness import RESULTS, save

# name -> function of (quick) that returns what <name>.json keeps
MEASUREMENTS = {
    "gemm": gemm.main,
    "race": race.main,
    "overhead": overhead.main,
    "cnn": cnn.main,
    "gan": gan.main,
    "accuracy": accuracy.main,
    "diagnosis": diagnosis.main,
}
# the same of (quick, folder), which leaves pictures in the folder, too
PICTURES = {"weights": weights.main, "pictures": pictures.main}


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "part",
        nargs="?",
        choices=[*MEASUREMENTS, *PICTURES, "report"],
        help="what is measured; report: only the figures and tables, from what was measured last "
        "(default: everything)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="little data, to see that it runs; keep nothing"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.quick else RESULTS
        for part in (*MEASUREMENTS, *PICTURES):
            if options.part not in (part, None):
                continue
            print(f"== {part}", flush=True)
            if part in MEASUREMENTS:
                results = MEASUREMENTS[part](options.quick)
            else:
                results = PICTURES[part](options.quick, folder)
            path = save(part, results, folder)
            if not options.quick:
                print(f"written: {path}")
        report.main(folder)
    print("it runs; nothing was kept" if options.quick else f"figures and tables: from {folder}")


if __name__ == "__main__":
    main()
