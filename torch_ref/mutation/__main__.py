"""Plant each classic bug, train with it, and see whether the comparison with PyTorch detects it.

    python -m torch_ref.mutation

prints a line for each. Of MNIST, not of the sample, the results go into results.json, from which
`python -m benchmarks report` makes the tables of README.md. A bug is planted in a copy of the
package; the package is never changed.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from scratchnet.checking.bugs import BUGS
from scratchnet.checking.planting import import_planted
from scratchnet.cli import entry
from scratchnet.cli.options import Parser, add_options
from scratchnet.cli.summary import print_data
from scratchnet.files import write_atomically
from scratchnet.training.config import Config
from torch_ref import data
from torch_ref.mutation.detection import RIGHTS, detect, score

RESULTS = Path(__file__).with_name("results.json")


def measure(found, pictures):
    """Return what was measured, a dict for every bug; the first of them are RIGHTS."""
    rows = []
    for bug in tqdm((*RIGHTS, *BUGS)):
        planted = import_planted(bug)
        with threadpool_limits(1):
            detected = detect(planted, found, pictures, bug.model)
            where, factor = detected or (None, None)
            result = f"{where}, {factor:.0e} times what is allowed" if where else "passes"
            tqdm.write(f"{bug.model}: {bug.name}: {result}")
            about = {"bug": bug.name, "model": bug.model, "file": bug.file, "edits": bug.edits}
            about |= score(planted, found, bug.model)
            factor = "inf" if factor == np.inf else factor  # JSON knows no infinity
            rows.append(about | {"wrong_tensor": where, "factor": factor})
    return rows


def main(argv=None):
    """Run the command; exit code 1 if a bug was not detected."""
    p = Parser("python -m torch_ref.mutation", description=__doc__.split("\n")[0])
    add_options(p, Config)
    options = Config(**vars(p.parse_args(argv)))
    pictures, _, found = data.load(options.dataset, options.data_dir)
    kept = found.name == "mnist"  # the tables are about MNIST
    print_data(found, f"{len(pictures):,} training images")
    print(f"results {RESULTS if kept else 'not written, since results.json is about MNIST'}")
    results = {
        "dataset": found.name,
        "versions": {"numpy": np.__version__, "torch": torch.__version__},
        "rows": measure(found, pictures),
    }
    if kept:
        text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
        write_atomically(RESULTS, text.encode())
    if any((row["bug"] == "None") == bool(row["factor"]) for row in results["rows"]):
        sys.exit(1)


if __name__ == "__main__":
    entry.run(main)
