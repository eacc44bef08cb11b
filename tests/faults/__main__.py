"""`python -m tests.faults` does to scratchnet what may happen to it, a thousand times; it counts.

The counts go into benchmarks/results/faults.json; `python -m benchmarks report` makes a table of
them. `pytest` does the same less often.
"""

import argparse
import json

from benchmarks import sources
from benchmarks.harness import RESULTS
from tests.faults.campaigns import determinism, fuzzing, interruptions, kills

PARTS = {
    "kills": lambda: kills.main(1000),
    "interruptions": lambda: {
        engine: interruptions.main(runs, engine) for engine, runs in (("layered", 40), ("fused", 8))
    },
    "fuzzing": lambda: fuzzing.main(3000),
    "determinism": lambda: determinism.main(),
}

parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
parser.add_argument("part", nargs="?", choices=PARTS, help="default: everything")
options = parser.parse_args()

path = RESULTS / "faults.json"
for part in [options.part] if options.part else PARTS:
    counts = json.loads(path.read_text()) if path.exists() else {}
    counts[part] = PARTS[part]()
    path.write_text(json.dumps(counts, indent=1) + "\n")
    sources.record(f"faults {part}")
    print(part, json.dumps(counts[part], indent=1))
