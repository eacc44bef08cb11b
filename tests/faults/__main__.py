"""`python -m tests.faults` does everything to scratchnet that may happen to it, and counts.

The counts go into benchmarks/results/faults.json and from there into the README. `pytest` runs the
same with smaller numbers.
"""

import argparse
import json

from benchmarks.harness import RESULTS
from tests.faults import kills

PARTS = {
    "kills": lambda: kills.main(1000),
}

parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
parser.add_argument("part", nargs="?", choices=PARTS, help="default: everything")
options = parser.parse_args()

path = RESULTS / "faults.json"
for part in [options.part] if options.part else PARTS:
    counts = json.loads(path.read_text()) if path.exists() else {}
    counts[part] = PARTS[part]()
    path.write_text(json.dumps(counts, indent=1) + "\n")
    print(part, counts[part])
