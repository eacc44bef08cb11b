"""Plant each classic bug, train with it, and see whether the proof catches it.

    python -m torch_ref.zoo

writes `torch_ref/zoo.json`, with what was measured, and from it the table between the markers
`<!-- zoo -->` and `<!-- /zoo -->` of README.md. A bug is planted in a copy of the package; the
package itself is never changed.

In the comments: N images, B images in a batch.
"""

import importlib
import json
import shutil
import sys
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from numba.core.caching import NullCache
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import scratchnet
from benchmarks import readme
from scratchnet.cli import entry
from scratchnet.cli.options import Parser
from scratchnet.nn.losses import binary_cross_entropy
from torch_ref import data, duel
from torch_ref.bugs import BUGS, Bug
from torch_ref.step import Lockstep

RESULTS = Path(__file__).with_name("zoo.json")

RIGHTS = tuple(
    Bug("None", model, file, ())
    for model, file in {
        "mlp": "nn/layers.py",
        "cnn": "nn/conv.py",
        "compiled cnn": "kernels/conv_ops.py",
        "direct cnn": "kernels/implicit_gemm.py",
        "gan": "nn/gan.py",
        "compiled gan": "kernels/adam.py",
    }.items()
)
SIZES = (784, 128, 64, 10)
CHANNELS, WIDTHS = (4, 8), (32, 10)  # of a small CNN: mistakes are as wrong, and sooner measured
NOISE, HIDDEN = 16, (64,)  # of a small GAN
# The models, and how many images each is trained on, at most.
IMAGES = {"mlp": 60_000} | dict.fromkeys(
    ("cnn", "compiled cnn", "direct cnn", "gan", "compiled gan"), 6_000
)
RECIPE = {"lr": 0.05, "momentum": 0.5, "weight_decay": 1e-4}  # so that no bug lies idle
GAN_LR = 2e-4
EPOCHS = 2


class Catch(NamedTuple):
    """How the proof met a bug."""

    where: str  # the first tensor that was wrong, in the order of computation
    factor: float  # the largest difference, as a multiple of what is allowed


def plant(bug, folder):
    """Write a copy of the package scratchnet with the bug in it into the folder.

    Raises:
        ValueError: the right text of the bug does not stand in its file exactly once.
    """
    package = Path(folder, "scratchnet")
    shutil.copytree(
        Path(scratchnet.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    source = (package / bug.file).read_text(encoding="utf-8")
    for right, wrong in bug.edits:
        if source.count(right) != 1:
            raise ValueError(f"{bug.name!r}: {bug.file} should hold {right!r} exactly once")
        source = source.replace(right, wrong)
    (package / bug.file).write_text(source, encoding="utf-8")


def import_planted(bug):
    """Return the package scratchnet with the bug in it, imported beside the right one."""

    def ours():
        return {name: m for name, m in sys.modules.items() if name.split(".")[0] == "scratchnet"}

    right = ours()
    with TemporaryDirectory() as folder:
        plant(bug, folder)
        for name in right:
            del sys.modules[name]
        sys.path.insert(0, folder)
        try:
            planted = importlib.import_module("scratchnet")
            for name in ("data", "nn.gan"):
                importlib.import_module(f"scratchnet.{name}")
            if bug.file.startswith("kernels/"):
                # Machine code of these sources alone: in the user's cache lies that of the right.
                jit = importlib.import_module("scratchnet.kernels.jit")
                jit.DiskCache = lambda py_func: NullCache()
                for name in ("conv_ops", "adam"):
                    importlib.import_module(f"scratchnet.kernels.{name}")
        finally:
            sys.path.remove(folder)
            for name in ours():
                del sys.modules[name]
            sys.modules.update(right)
    return planted


def build(planted, model, dtype=np.float32):
    """Return what IMAGES calls by this name, of a package like scratchnet."""
    drawn = {"rng": np.random.default_rng(0), "dtype": dtype}
    if "gan" in model:
        both = planted.nn.gan
        generator = both.Generator(NOISE, HIDDEN, **drawn)
        adam = planted.kernels.adam if model == "compiled gan" else planted.nn.optim
        options = {"update": adam.adam_update}
        return both.GAN(generator, both.Discriminator(HIDDEN, **drawn), GAN_LR, GAN_LR, **options)
    if model in ("compiled cnn", "direct cnn"):
        drawn["ops"] = planted.kernels.conv_ops
    if model == "direct cnn":
        drawn["matmul"] = planted.kernels.get("simd")
    if "cnn" in model:
        return planted.CNN(WIDTHS, channels=CHANNELS, **drawn)
    return planted.MLP(SIZES, **drawn)


def catch(planted, found, pictures, model="mlp"):
    """Walk a planted network beside PyTorch's; return the Catch, or None if nothing is wrong.

    Args:
        planted: a package like scratchnet.
        model: what of it to train, by its name in IMAGES.
        found, pictures: the same training images, as a `scratchnet.data.Dataset` and as
            torchvision's data set.
    """
    catches = []
    try:
        steps = _gan_steps if "gan" in model else _steps
        for step in steps(planted, found, pictures, model):
            if step is None:
                catches.append(Catch("a batch", np.inf))
            elif not step.ok:
                bad = [v for v in step.verdicts if not v.ok]
                catches.append(Catch(bad[0].name, max(v.excess for v in bad)))
    except ValueError:  # the layers check the shapes they are given
        catches = catches or [Catch("a shape", np.inf)]
    if not catches:
        return None
    return Catch(catches[0].where, max(c.factor for c in catches))


def _steps(planted, found, pictures, model):
    """Yield Steps over two small epochs and then two probes; None for a batch too few or many."""
    few = range(70)  # two batches of 32 and one of 6
    with np.errstate(all="ignore"):
        x = planted.data.to_unit_interval(found.train.images[few], np.float64)  # (70,784)
        labels = found.train.labels[few]  # (70,)
        pair = _pair(planted, model)
        for epoch in (1, 2):
            recipe = {"seed": 0, "epoch": epoch}
            ours = planted.data.batches(x, labels, 32, **recipe)
            theirs = data.batches(
                torch.utils.data.Subset(pictures, few), 32, dtype=torch.float64, **recipe
            )
            for our_batch, their_batch in zip_longest(ours, theirs):
                yield pair.step(our_batch, their_batch) if our_batch and their_batch else None

        pair = _pair(planted, model)
        for hidden in pair.network.parametric_layers[:-1]:
            unit = (0,) if hidden.W.ndim == 4 else (slice(None), 0)
            hidden.W[unit] = hidden.b[0] = 0  # a pre-activation of exactly 0
        yield pair.step((x, labels), (torch.from_numpy(x), torch.from_numpy(labels)))

        pair = _pair(planted, model)
        pair.network.parametric_layers[-1].W *= 1e5  # logits in the thousands, and images far apart
        yield pair.step((x, labels), (torch.from_numpy(x), torch.from_numpy(labels)))


def _gan_steps(planted, found, pictures, model):
    """Yield Steps of both, over two small epochs and then two probes, as `_steps` does."""
    few = range(70)  # two batches of 32 and one of 6
    found = replace(found, train=found.train._make(part[few] for part in found.train))
    pictures = torch.utils.data.Subset(pictures, few)

    def begin():
        pair = duel.Duel(build(planted, model, np.float64), planted.binary_cross_entropy)
        return pair, duel.walk(pair, found, pictures, 32, 0, np.float64)

    with np.errstate(all="ignore"):
        _, steps = begin()
        yield from islice(steps, 12)

        pair, steps = begin()
        for hidden in pair.ours.combined.parametric_layers[:-1]:
            hidden.W[:, 0] = hidden.b[0] = 0  # a pre-activation of exactly 0
        yield from islice(steps, 2)

        pair, steps = begin()
        pair.ours.combined.parametric_layers[-1].W *= 1e5  # logits in the thousands
        yield from islice(steps, 2)


def _pair(planted, model):
    network = build(planted, model, np.float64)
    return Lockstep(network, planted.SGD(network, **RECIPE), planted.softmax_cross_entropy)


def accuracy_after_training(planted, found, model="mlp"):
    """Return the share of the test images that a planted network reads after EPOCHS epochs."""
    network = build(planted, model)
    sgd = planted.SGD(network, **RECIPE)
    x = planted.data.to_unit_interval(found.train.images[: IMAGES[model]])  # (N,784)
    with np.errstate(all="ignore"):
        for epoch in range(1, EPOCHS + 1):
            for images, labels in planted.data.batches(
                x, found.train.labels[: len(x)], 32, seed=0, epoch=epoch
            ):
                logits = network.forward(images)  # (B,10)
                _, dlogits = planted.softmax_cross_entropy(logits, labels)
                network.backward(dlogits)
                sgd.step()
        x = planted.data.to_unit_interval(found.test.images)  # (N,784)
        parts = [network.forward(x[i : i + 1000]) for i in range(0, len(x), 1000)]
    predicted = np.concatenate(parts).argmax(axis=1)  # (N,10) -> (N,)
    return float((predicted == found.test.labels).mean())


def losses_after_training(planted, found, model="gan"):
    """Return the mean losses of a planted GAN, discriminator and generator, in its last epoch.

    A None stands for a loss that is not finite.
    """
    gan, rng = build(planted, model), np.random.default_rng(0)
    x = 2 * planted.data.to_unit_interval(found.train.images[: IMAGES[model]]) - 1  # (N,784)
    with np.errstate(all="ignore"):
        for epoch in range(1, EPOCHS + 1):
            losses = []
            for real, _ in planted.data.batches(x, found.train.labels, 32, seed=0, epoch=epoch):
                noise = rng.standard_normal((2, len(real), NOISE), np.float32)  # (2,B,Z)
                losses.append(
                    (gan.discriminator_step(real, noise[0]), gan.generator_step(noise[1]))
                )
        means = np.mean(losses, axis=0)  # (batches,2) -> (2,)
    return [float(mean) if np.isfinite(mean) else None for mean in means]


def score(planted, found, model):
    """Return what a training ends with, {"test_accuracy": share} or {"losses": [...]} of a GAN."""
    if "gan" in model:
        return {"losses": losses_after_training(planted, found, model)}
    return {"test_accuracy": accuracy_after_training(planted, found, model)}


def measure(found, pictures):
    """Return what the README's tables say, a dict for every bug; the first of them are RIGHTS."""
    rows = []
    for bug in tqdm((*RIGHTS, *BUGS)):
        planted = import_planted(bug)
        with threadpool_limits(1):
            caught = catch(planted, found, pictures, bug.model)
            rows.append(
                {
                    "bug": bug.name,
                    "model": bug.model,
                    "file": bug.file,
                    "edits": bug.edits,
                    **score(planted, found, bug.model),
                    "wrong_tensor": caught and caught.where,
                    # JSON knows no infinity
                    "factor": caught and (caught.factor if np.isfinite(caught.factor) else "inf"),
                }
            )
    return rows


def tables(results):
    """Return the tables of the README, one for each model, in Markdown."""
    rows = results["rows"]
    parts = [
        f"{_describe(model)}, {EPOCHS} epochs on up to {IMAGES[model]:,} images of "
        f"{results['dataset']}, {_recipe(model)}"
        f"\n\n{_table([row for row in rows if row['model'] == model])}"
        for model in dict.fromkeys(row["model"] for row in rows)
    ]
    return "\n\n".join(parts)


def _describe(model):
    kind = model.split()[-1]
    network = build(scratchnet, kind)
    name = str(duel.Duel(network, binary_cross_entropy) if kind == "gan" else network)
    return name + {
        "compiled cnn": " with compiled folding and pooling",
        "direct cnn": " without patches in memory",
        "compiled gan": " with a compiled Adam",
    }.get(model, "")


def _recipe(model):
    if "gan" in model:
        return f"Adam with lr {GAN_LR}"
    return (
        f"lr {RECIPE['lr']}, momentum {RECIPE['momentum']}, weight decay {RECIPE['weight_decay']}"
    )


def _table(rows):
    right, *planted = rows
    scored = "losses of both" if "losses" in right else "test accuracy"
    lines = [
        f"| planted bug | {scored} | first wrong tensor | difference / allowed |",
        "|---|---:|---|---:|",
        f"| *none* | {_scored(right)} | | passes |",
    ]
    for row in sorted(planted, key=lambda row: -row.get("test_accuracy", 0)):
        factor = "∞" if row["factor"] == "inf" else f"{row['factor']:.0e}"
        lines.append(f"| {row['bug']} | {_scored(row)} | {row['wrong_tensor']} | {factor} |")
    return "\n".join(lines)


def _scored(row):
    if "losses" in row:
        return ", ".join("–" if loss is None else f"{loss:.2f}" for loss in row["losses"])
    return f"{row['test_accuracy']:.2%}"


def main(argv=None):
    """Run the command; exit code 1 if a bug was not caught."""
    p = Parser("python -m torch_ref.zoo", description=__doc__.split("\n")[0])
    p.add_argument("--dataset", choices=["auto", "mnist", "sample"], default="auto")
    p.add_argument("--data-dir", metavar="DIR", help="folder of the IDX files, gzipped or not")
    options = p.parse_args(argv)
    pictures, _, found = data.load(options.dataset, options.data_dir)
    results = {
        "dataset": found.name,
        "versions": {"numpy": np.__version__, "torch": torch.__version__},
        "rows": measure(found, pictures),
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(tables(results))
    readme.fill_in("zoo", tables(results))
    if any((row["bug"] == "None") == bool(row["factor"]) for row in results["rows"]):
        sys.exit(1)


if __name__ == "__main__":
    entry.run(main)
