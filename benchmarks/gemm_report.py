"""The kernels against NumPy and PyTorch: tables and figures, from results/gemm.json alone."""

import matplotlib.pyplot as plt

LADDER_PRODUCTS = ["x1 @ W1, batch 32", "x1.T @ dy1, batch 32", "square 512"]
# Greys for the way up, a colour for each of those that race: told apart by colour-blind eyes, too.
COLOURS = {
    "ijk": "#d9d9d9", "ikj": "#bdbdbd", "packed": "#969696", "tiled": "#737373",
    "parallel": "#525252", "simd": "#0072b2", "sparse": "#009e73", "numpy": "#e69f00",
    "torch": "#d55e00",
}  # fmt: skip


def median(five_numbers):
    return five_numbers[2]


def rates(row):
    """contender -> GFLOP/s; for `sparse` those of the whole product, zeros and all."""
    return {name: row["flops"] / median(samples) / 1e9 for name, samples in row["samples"].items()}


def race(results, dtype, threads):
    found = (r for r in results["races"] if (r["dtype"], r["threads"]) == (dtype, threads))
    return next(found)


def figures(results):
    """{name: Figure}."""
    one = race(results, "float32", 1)
    return {"ladder": draw_ladder(one), "roofline": draw_roofline(one)}


def draw_ladder(race):
    """A bar for each rung, with the peak of the core as a line."""
    rows = [row for row in race["products"] if row["product"] in LADDER_PRODUCTS]
    figure, axes = plt.subplots(1, len(rows), figsize=(12, 4.2), sharey=True, layout="constrained")
    for ax, row in zip(axes, rows, strict=True):
        found = rates(row)
        bars = ax.bar(found.keys(), found.values(), color=[COLOURS[name] for name in found])
        ax.bar_label(bars, fmt="%.3g", fontsize=8, padding=2)
        peak = median(row["peak"]) / 1e9
        ax.axhline(peak, color="black", linewidth=1, linestyle="--")
        ax.set_title("{}\n{} × {} × {}".format(row["product"], *row["shape"]), fontsize=10)
        ax.tick_params(axis="x", rotation=60)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("GFLOP/s, one core, float32")
    axes[-1].annotate(
        f"peak of the core: {peak:.0f}", (1, peak), xycoords=("axes fraction", "data"),
        xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8,
    )  # fmt: skip
    return figure


def draw_roofline(race):
    """The products of the network under the two ceilings of the core: arithmetic and memory."""
    memory, cache = (median(race["bandwidths"][name]) / 1e9 for name in ("memory", "cache"))
    peak = median(race["peak"]) / 1e9
    figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    intensity = [0.5, 400]
    for bandwidth, what in ((memory, "memory"), (cache, "cache")):
        roof = sorted({*intensity, peak / bandwidth})
        ax.plot(
            roof, [min(peak, bandwidth * x) for x in roof], color="black",
            linestyle="-" if what == "memory" else ":",
            label=f"{what}: {bandwidth:.0f} GB/s, then {peak:.0f} GFLOP/s",
        )  # fmt: skip
    for batch, marker in ((32, "o"), (128, "s")):
        rows = [row for row in race["products"] if row["product"].endswith(f", batch {batch}")]
        for name in ("numpy", "torch", "simd", "sparse"):
            points = [(row["flops"] / row["bytes"], rates(row)[name]) for row in rows]
            ax.plot(
                *zip(*points, strict=True), marker, color=COLOURS[name], markersize=5,
                label=f"{name}, batch {batch}", alpha=0.8,
            )  # fmt: skip
    ax.set(
        xscale="log", yscale="log", xlim=intensity,
        xlabel="operations per byte of A, B and C", ylabel="GFLOP/s, one core, float32",
    )  # fmt: skip
    ax.legend(fontsize=8, ncols=2, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def gemm_table(results):
    """For every product the microseconds of each contender, and how far simd is ahead."""
    yield f"Measured on {results['environment']['processor']}, medians."
    for race in results["races"]:
        yield f"\n## {race['dtype']}, threads: {race['threads']}\n"
        names = list(race["products"][0]["samples"])
        pairs = ("simd", "numpy"), ("simd", "torch"), ("sparse", "numpy")
        cores = f"{race['threads']} cores" if race["threads"] > 1 else "one core"
        heads = [*names, f"simd of the peak of {cores}", *(" : ".join(pair) for pair in pairs)]
        yield f"| µs | {' | '.join(heads)} |"
        yield f"|---|{'---:|' * len(heads)}"
        for row in race["products"]:
            t = {name: median(samples) for name, samples in row["samples"].items()}
            cells = [f"{t[name] * 1e6:.1f}" if name in t else "" for name in names]
            cells.append(f"{row['flops'] / t['simd'] / median(row['peak']) / race['threads']:.0%}")
            cells += [f"{t[b] / t[a]:.2f}" if a in t and b in t else "" for a, b in pairs]
            yield f"| {row['product']} | {' | '.join(cells)} |"
