"""Confusion matrix of the exercises: is each mistake of the catalogue named, and no other?

Every mistake is planted, and looked for as a learner's would be: by the chapters, and in a single
training step saved to a file. Those of the compiled kernels are planted in a copy of the package,
and the chapters' probes run on its operations.
"""

import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tqdm import tqdm

from scratchnet.checking.bugs import BUGS
from scratchnet.checking.planting import import_planted
from scratchnet.exercises import diagnosis, image_probes, implementation, probes, step
from scratchnet.exercises.chapters import CHAPTERS
from scratchnet.exercises.check import judge
from scratchnet.exercises.implementation import FILES
from scratchnet.exercises.step_file import SavedStep

# What a file may hold of a step: all of it, its gradients, or the parameters that it leaves.
KEPT = {
    "everything": lambda name: True,
    "gradients": lambda name: name[:2] in ("dW", "db"),
    "parameters": lambda name: name.endswith("_after") and name[0] != "v",
}
SIZES, BATCH, CONFIDENT = (784, 32, 16, 10), 20, 5e3  # the last: how large an image's logits are
RATES = {"lr": 0.05, "momentum": 0.8, "weight_decay": 1e-3}
# model -> [(title, probe, cases)] of the compiled operations
COMPILED = {
    "cnn": [
        ("convolution", image_probes.conv, image_probes.conv_cases),
        ("pooling", image_probes.pooling, image_probes.pooling_cases),
    ],
    "gan": [
        ("adam", probes.adam, probes.adam_cases),
        ("gan_steps", image_probes.gan, image_probes.gan_cases),
    ],
}

# Those of the files that learners write, and of compiled operations with the same meaning; the
# products and the loops of the commands are in no chapter.
MISTAKES = [
    bug
    for bug in BUGS
    if bug.file in FILES.values() or bug.model in ("compiled cnn", "direct cnn", "compiled gan")
]


def main(quick=False):
    """Return {"rows": [...]}, a dict for each mistake of the catalogue."""
    learners = [bug for bug in MISTAKES if bug.file in FILES.values()]
    compiled = [bug for bug in MISTAKES if bug.file not in FILES.values()]
    if quick:
        learners, compiled = learners[::8], []
    rows = [in_chapters(bug) | in_steps(bug) for bug in tqdm(learners)]
    return {"rows": rows + in_compiled(compiled)}


def in_chapters(bug):
    """Return what the first chapter that notices says to a learner who has made this mistake."""
    nn = implementation.with_bugs(bug)
    for chapter in CHAPTERS:
        if chapter.probe:
            traces = diagnosis.trace(nn, chapter.probe, chapter.cases())
            wrong = [check for check in judge(chapter, traces) if not check.ok]
            if wrong:
                names = sorted({name for check in wrong for name in check.diagnosis})
                first = next((check for check in wrong if check.check != "runs"), wrong[0])
                found = {"check": first.check, "relation": first.relation, "named": names}
                return {"bug": bug.name, "chapter": chapter.name} | found
    return {"bug": bug.name, "chapter": None, "check": None, "relation": None, "named": []}


def in_steps(bug):
    """Return {"steps": {what a file holds: names}}: null where the step is right all the same.

    The same names have to come out of float64 with weights (I, O) and of float32 with (O, I),
    unless rounding hides it in float32; ValueError otherwise.
    """
    if bug.file not in step.FILES or bug.model != "mlp":
        return {"steps": {}}
    steps = {}
    with tempfile.TemporaryDirectory() as folder:
        for kept, keep in KEPT.items():
            found = [
                names_in_file(Path(folder, "step.npz"), bug, dtype, weights, keep)
                for dtype, weights in ((np.float64, "io"), (np.float32, "oi"))
            ]
            answers = {tuple(names) for names in found if names is not None}
            if len(answers) > 1:
                raise ValueError(f"{bug.name}: a file of {kept} is diagnosed as {found}")
            steps[kept] = list(answers.pop()) if answers else None
    return {"steps": steps}


def names_in_file(path, bug, dtype, weights, keep):
    """Return the mistakes that are named in a saved step with the bug, None if all is right."""
    arrays = saved_step(implementation.with_bugs(bug, lr=RATES["lr"]), dtype)
    given = {name for name in arrays if name not in RATES and keep(name)}
    given |= {"x", "labels", *(f"{k}{i}" for k in ("W", "b", "vW", "vb") for i in (1, 2, 3))}
    arrays = {name: array for name, array in arrays.items() if name in given} | RATES
    if weights == "oi":
        arrays = {n: a.T if "W" in n and np.ndim(a) == 2 else a for n, a in arrays.items()}
    np.savez(path, **arrays)
    wrong = [check for check in step.diagnose(step.load(path)) if not check.ok]
    return sorted({name for check in wrong for name in check.diagnosis}) if wrong else None


def saved_step(nn, dtype, seed=3, batch=BATCH):
    """Return {name: array} of a step of an implementation, with what it starts from.

    Some units have a z of exactly 0, and one image has logits so large that exp overflows.
    """
    rng, before = np.random.default_rng(seed), {}
    for i, (n_in, n_out) in enumerate(pairwise(SIZES), start=1):
        bound = 1 / np.sqrt(n_in)
        before[f"W{i}"] = rng.uniform(-bound, bound, (n_in, n_out)).astype(dtype)
        before[f"b{i}"] = rng.uniform(-bound, bound, n_out).astype(dtype)
        before[f"vW{i}"] = (rng.standard_normal((n_in, n_out)) / 100).astype(dtype)
        before[f"vb{i}"] = (rng.standard_normal(n_out) / 100).astype(dtype)
    before["W1"][:, :3], before["b1"][:3] = 0, 0
    x = probes.pixels(batch, dtype)
    x[-1] *= CONFIDENT
    start = SavedStep(x, probes.digits()[1][:batch], before, {}, **RATES)
    trace, _ = step.recompute(nn, start, dtype)
    return before | {"x": x, "labels": start.labels} | {k: v for k, v in trace.items() if k != "x"}


def in_compiled(bugs):
    """Return the rows of the mistakes in compiled kernels: each is compared with every other."""
    traces, rights = {}, {}
    for bug in tqdm(bugs):
        nn = operations(import_planted(bug), bug.model)
        for title, probe, cases in COMPILED.get(bug.model.split()[-1], ()):
            traces[bug.name, title] = diagnosis.trace(nn, probe, cases())
            rights[title] = diagnosis.right(probe, cases)
    return [_compiled_row(bug, traces, rights) for bug in bugs]


def _compiled_row(bug, traces, rights):
    for title, right in rights.items():
        mine = traces.get((bug.name, title))
        wrong = diagnosis.wrong(mine, right) if mine else []
        if wrong:
            others = [name for name, where in traces if where == title]
            named = [
                name
                for name in others
                if diagnosis.wrong(traces[name, title], right) == wrong
                and all(_same(mine, traces[name, title], place) for place in wrong)
            ]
            found = {"chapter": title, "check": wrong[0][1], "relation": None, "named": named}
            return {"bug": bug.name} | found | {"steps": {}}
    nothing = {"chapter": None, "check": None, "relation": None, "named": [], "steps": {}}
    return {"bug": bug.name} | nothing


def _same(mine, other, place):
    title, name = place
    return diagnosis.same(mine[title].get(name), other[title].get(name))


def operations(package, model):
    """Return what looks like an `Implementation`, whose layers use a package's compiled kernels."""
    conv_ops, update = package.kernels.conv_ops, package.kernels.adam.adam_update
    direct = model == "direct cnn"
    ops = conv_ops.IMPLICIT_GEMM_OPS if direct else conv_ops.COMPILED_OPS
    product = {"matmul": package.kernels.simd.simd} if direct else {}
    nn = package.nn
    return SimpleNamespace(
        paths=[],
        conv=_with(nn.conv, Conv2d={"ops": ops, **product}, MaxPool2d={"ops": ops}),
        cnn=_with(nn.cnn, CNN={"ops": ops, **product}),
        optim=_with(nn.optim, Adam={"update": update}),
        gan=_with(nn.gan, GAN={"update": update}),
    )


def _with(module, **arguments):
    classes = {name: partial(getattr(module, name), **given) for name, given in arguments.items()}
    return SimpleNamespace(**(vars(module) | classes))


def summary(results):
    """Return the sentence that counts."""
    rows = results["rows"]
    alone = sum(row["named"] == [row["bug"]] for row in rows)
    grouped = sum(row["bug"] in row["named"] for row in rows) - alone
    false = sum(bool(row["named"]) and row["bug"] not in row["named"] for row in rows)
    unnamed = len(rows) - alone - grouped - false
    return (
        f"Of the {len(rows)} mistakes the chapters name {alone} alone, {grouped} in a group, "
        f"{unnamed} not at all, and {false} falsely. The other {len(BUGS) - len(rows)} of the "
        "catalogue stand in products and loops that no chapter asks for."
    )


def table(results):
    """Return the lines of the table: a row a mistake."""
    yield "| mistake | chapter | first wrong | relation | " + " | ".join(KEPT) + " |"
    yield "|---|---|---|---|" + "---|" * len(KEPT)
    for row in results["rows"]:
        cells = [row["bug"], row["chapter"] or "none", row["check"] or "", row["relation"] or ""]
        if row["named"] != [row["bug"]]:
            cells[1] += f": {_named(row['bug'], row['named'])}"
        steps = row["steps"]
        cells += [_named(row["bug"], steps[kept]) if kept in steps else "" for kept in KEPT]
        yield "| " + " | ".join(cells) + " |"


def _named(bug, names):
    if names is None:
        return "right"
    others = [name for name in names if name != bug]
    if bug not in names:
        return f"**{', '.join(others) or 'unknown'}**"
    return f"or {', '.join(others)}" if others else "named"
