"""Is a number still that of the code? The digest of each source that a measurement depends on.

A measurement records what it measured in results/sources.json; the report says at its table which
of these files have changed since. Comments and docstrings do not count.
"""

import hashlib
import io
import json
import tokenize

from benchmarks.lines import code_lines
from benchmarks.readme import ROOT

RECORD = ROOT / "benchmarks" / "results" / "sources.json"

MLP = [f"scratchnet/nn/{name}.py" for name in ("layers", "losses", "network", "optim")]
CNN = [*MLP, "scratchnet/nn/conv.py", "scratchnet/nn/cnn.py"]
SIMD = [
    f"scratchnet/kernels/{name}.py"
    for name in ("simd", "register_tile", "operands", "memory", "threads", "jit")
]
IMPLICIT_GEMM = [*SIMD, "scratchnet/kernels/implicit_gemm.py", "scratchnet/kernels/conv_ops.py"]
FUSED = [*SIMD, "scratchnet/kernels/fused.py", "scratchnet/kernels/sparse.py"]
GAN = [*MLP, "scratchnet/nn/activations.py", "scratchnet/nn/gan.py"]
RUN = ["scratchnet/train.py", "scratchnet/files.py", "scratchnet/signals.py"]
RUN += ["scratchnet/cli/entry.py", "scratchnet/data/batches.py"]
RUN += [
    f"scratchnet/training/{name}.py"
    for name in ("run", "classifier_run", "run_folder", "checkpoint", "epoch", "progress")
]
CAMPAIGNS = "tests/faults/campaigns"
# measurement -> the files whose code its numbers depend on, or patterns of their names
SOURCES = {
    "race": ["benchmarks/worker.py", "benchmarks/contenders/*.py", *MLP, *FUSED],
    "gemm": ["benchmarks/gemm.py", "scratchnet/kernels/*.py"],
    "overhead": [
        *("benchmarks/overhead.py", "benchmarks/contenders/bare_numpy.py", *MLP),
        *("scratchnet/training/epoch.py", "scratchnet/training/progress.py"),
    ],
    "cnn": ["benchmarks/cnn.py", *CNN, *IMPLICIT_GEMM],
    "gan": ["benchmarks/gan.py", *GAN, *SIMD, "scratchnet/kernels/adam.py", "torch_ref/gan.py"],
    "accuracy": [*CNN, "scratchnet/data/batches.py", "scratchnet/training/epoch.py"],
    "faults kills": [*RUN, f"{CAMPAIGNS}/kills.py"],
    "faults interruptions": [*RUN, f"{CAMPAIGNS}/interruptions.py", f"{CAMPAIGNS}/kills.py"],
    "faults fuzzing": [
        *("scratchnet/data/idx.py", "scratchnet/data/digit_image.py"),
        *("scratchnet/training/checkpoint.py", f"{CAMPAIGNS}/fuzzing.py"),
    ],
    "faults determinism": [*MLP, "scratchnet/kernels/*.py", f"{CAMPAIGNS}/determinism.py"],
}


def files_of(measurement):
    """The paths, below the project's folder, of all that a measurement depends on."""
    found = {path for pattern in SOURCES[measurement] for path in ROOT.glob(pattern)}
    return sorted(str(path.relative_to(ROOT)) for path in found)


def digest(source):
    """A digest of the code in a Python file's content, without comments and docstrings."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    code = "\n".join(lines[number - 1].rstrip() for number in sorted(code_lines(source)))
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def digests(measurement):
    """{path: digest} of all that a measurement depends on, as it is now."""
    return {
        path: digest((ROOT / path).read_text(encoding="utf-8")) for path in files_of(measurement)
    }


def record(measurement):
    """Keep what has just been measured, if it is a measurement with sources."""
    if measurement in SOURCES:
        kept = json.loads(RECORD.read_text()) | {measurement: digests(measurement)}
        RECORD.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def changed(measurement):
    """The files that a measurement depends on and that are not what it measured; sorted."""
    then, now = json.loads(RECORD.read_text())[measurement], digests(measurement)
    return sorted(path for path in then.keys() | now.keys() if then.get(path) != now.get(path))


def caption(results):
    """A line that says which code behind a file of results has changed since; "" if none has."""
    stale = {
        measurement: files
        for measurement in SOURCES
        if measurement.split()[0] == results and (files := changed(measurement))
    }
    if not stale:
        return ""
    files = sorted(set().union(*stale.values()))
    named = ", ".join(f"`{path}`" for path in files[:3])
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    module = "tests.faults" if results == "faults" else "benchmarks"
    commands = ", ".join(f"`python -m {module} {name.split()[-1]}`" for name in stale)
    return f"*Measured before later changes of {named}{more}: {commands}.*"
