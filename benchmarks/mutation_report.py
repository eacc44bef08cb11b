"""The tables of planted bugs, from the results of `python -m torch_ref.mutation`, in Markdown."""

import scratchnet
from scratchnet.checking.planting import COMMANDS, GAN_LR, build
from torch_ref.lockstep.gan import GANLockstep
from torch_ref.mutation.detection import EPOCHS, IMAGES, OPTIONS, RECIPE


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


TOP_ROWS = (
    "Divided by the number of classes",
    "The same order in every epoch",
    "The bias is not added",
)


def top_rows(results):
    """Return three bugs that train at least as well as the right network, in Markdown."""
    right, *rows = (row for row in results["rows"] if row["model"] == "mlp")
    return _table([right, *(row for row in rows if row["bug"] in TOP_ROWS)])


def _describe(model):
    kind = model.split()[-1]
    network = build(scratchnet, kind)
    name = str(GANLockstep(network, scratchnet.binary_cross_entropy) if kind == "gan" else network)
    return name + {
        "compiled cnn": " with compiled col2im and max pooling",
        "direct cnn": " with implicit GEMM",
        "compiled gan": " with a compiled Adam",
        "tiled mlp": " with the kernel `tiled`",
        "simd mlp": " with the kernel `simd`",
        "sparse mlp": " with the kernel `sparse`",
        "fused mlp": " by `scratchnet.train --engine fused`",
        "layered mlp": " by `scratchnet.train`",
        "trained gan": " by `scratchnet.gan`",
    }.get(model, "")


def _recipe(model):
    if model == "trained gan":
        return "Adam with the learning rates of the command"
    if "gan" in model:
        return f"Adam with lr {GAN_LR}"
    lr, momentum, decay = RECIPE.values()
    recipe = f"lr {lr}, momentum {momentum}, weight decay {decay}"
    if model in COMMANDS:
        recipe += f", augmented, lr times {OPTIONS['train']['lr_decay']} in each epoch"
    return recipe


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
