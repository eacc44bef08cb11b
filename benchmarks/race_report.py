"""The results of the race: figures and tables, from results/race.json; lines of code are counted.

A contender's time in a round is the median of the epochs of its process. What is shown is the
median over the rounds; ratios come with the interval that holds 95 % of 10,000 resamplings of the
rounds (Efron, "Bootstrap methods: another look at the jackknife", 1979).
"""

from itertools import pairwise
from statistics import median

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.contenders import CONTENDERS
from benchmarks.harness import spread
from benchmarks.lines import count_lines

OURS = "fused", "sparse", "simd", "numpy"  # `bare` is everybody's
BASELINES = {"torch": "PyTorch in memory", "bare": "bare NumPy"}  # whom all are compared with
TOP = "fused", "jax-epoch", "by-hand", "bare", "torch"  # whom the first page shows

# A colour for each family, a line for each member: told apart by colour-blind eyes, too.
STYLES = {
    "fused": ("#000000", "-", "o"), "sparse": ("#009e73", "-", "s"),
    "simd": ("#0072b2", "-", "^"), "numpy": ("#e69f00", "-", "D"),
    "bare": ("#e69f00", ":", "d"), "article": ("#d55e00", ":", "v"),
    "torch": ("#d55e00", "-", "v"), "compile": ("#d55e00", "--", "<"),
    "by-hand": ("#d55e00", "-.", ">"), "sklearn": ("#7f7f7f", "-", "X"),
    "jax-step": ("#cc79a7", "--", "p"), "jax-epoch": ("#cc79a7", "-", "P"),
}  # fmt: skip


def machine(results):
    """In words: where the race was run, and with what."""
    found = results["environment"]
    versions = ("python", "numpy", "numba", "torch", "jax", "scikit-learn")
    libraries = ", ".join(f"{name} {found[name]}" for name in versions if name in found)
    return f"{found['processor']}, {found['cores']} cores, {found['system']}; {libraries}."


def figures(results):
    """{name: Figure}."""
    return {
        "race": draw_epochs(results),
        "race-batch": draw_batches(results),
        "race-growth": draw_growth(results),
    }


def rounds(runs):
    """{name: [seconds of each round]} of {name: [run]}."""
    return {name: [median(run["seconds"]) for run in runs[name]] for name in runs}


def point_seconds(point):
    """{name: seconds} of a point of a sweep."""
    return {name: median(map(median, times)) for name, times in point["seconds"].items()}


def interval(slow, fast):
    """The 95 % bootstrap interval of median(slow) / median(fast), the rounds resampled in pairs."""
    slow, fast = np.array(slow), np.array(fast)
    indices = np.random.default_rng(0).integers(len(slow), size=(10_000, len(slow)))
    ratios = np.median(slow[indices], axis=1) / np.median(fast[indices], axis=1)
    return np.quantile(ratios, (0.025, 0.975))


def epoch_table(results):
    one, *more = [rounds(entry["runs"]) for entry in results["epochs"]]
    threads = [entry["threads"] for entry in results["epochs"]]
    heads = [
        "seconds per epoch, one thread", "quartiles",
        *(f"{n} threads" for n in threads[1:]),
        *(f"{title} takes" for title in BASELINES.values()), "test accuracy",
    ]  # fmt: skip
    yield f"| | {' | '.join(heads)} |"
    yield f"|---|{'---:|' * len(heads)}"
    for name in sorted(one, key=lambda name: median(one[name])):
        lower, middle, upper = spread(one[name])
        cells = [f"{middle:.3f}", f"{lower:.3f} – {upper:.3f}"]
        cells += [f"{median(times[name]):.3f}" for times in more]
        for baseline in BASELINES:
            ratio = median(one[baseline]) / middle
            low, high = interval(one[baseline], one[name])
            cells.append("1" if name == baseline else f"{ratio:.2f} × ({low:.2f} – {high:.2f})")
        accuracies = [run["accuracy"] for run in results["epochs"][0]["runs"][name]]
        yield f"| {results['titles'][name]} | {' | '.join(cells)} | {median(accuracies):.2%} |"


def top_table(results):
    """The five rows of the top README, fastest first."""
    one = rounds(results["epochs"][0]["runs"])
    yield "| | seconds per epoch | times as long as the fused epoch |"
    yield "|---|---:|---:|"
    for name in sorted((n for n in TOP if n in one), key=lambda name: median(one[name])):
        ratio = "1"
        if name != TOP[0]:
            low, high = interval(one[name], one[TOP[0]])
            ratio = f"{median(one[name]) / median(one[TOP[0]]):.1f} ({low:.1f} – {high:.1f})"
        yield f"| {results['titles'][name]} | {median(one[name]):.2f} | {ratio} |"


def start_table(results):
    goal, memory = results["goal"], results["epochs"][0]["runs"]
    seconds = {
        name: {caches: median(run["seconds"] for run in runs[caches]) for caches in runs}
        for name, runs in goal.items()
    }
    yield "| | cold | cached | of that, training | epochs | peak memory | lines of code |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name in sorted(goal, key=lambda name: seconds[name]["cached"]):
        training = median(run["training"] for run in goal[name]["cached"])
        peak = median(run["peak_mb"] for run in memory[name])
        lines = count_lines(CONTENDERS[name].source())
        yield (
            f"| {results['titles'][name]} | {seconds[name]['cold']:.1f} s "
            f"| {seconds[name]['cached']:.1f} s | {training:.1f} s "
            f"| {goal[name]['cached'][0]['epochs']} | {peak:.0f} MB | {lines} |"
        )


def batch_table(results):
    points = results["sweeps"]["batch_size"]
    yield f"| images/s at batch size | {' | '.join(str(p['batch_size']) for p in points)} |"
    yield f"|---|{'---:|' * len(points)}"
    rates = [{n: p["images"] / t for n, t in point_seconds(p).items()} for p in points]
    for name in rates[0]:
        cells = [
            f"**{rate[name]:,.0f}**" if rate[name] == max(rate.values()) else f"{rate[name]:,.0f}"
            for rate in rates
        ]
        yield f"| {results['titles'][name]} | {' | '.join(cells)} |"


def products(hidden):
    """Multiply-adds for an image: forward, for dW, and for dx except in the first layer."""
    shapes = list(pairwise((784, *hidden, 10)))
    return 3 * sum(i * o for i, o in shapes) - shapes[0][0] * shapes[0][1]


def growth_table(results):
    names = list(results["sweeps"]["images"][0]["seconds"])
    yield f"| from … to | multiply-adds | {' | '.join(results['titles'][n] for n in names)} |"
    yield f"|---|{'---:|' * (len(names) + 1)}"
    for sweep in ("images", "width", "depth"):
        first, last = results["sweeps"][sweep][0], results["sweeps"][sweep][-1]
        work = last["images"] * products(last["hidden"])
        work /= first["images"] * products(first["hidden"])
        before, after = point_seconds(first), point_seconds(last)
        cells = [f"× {after[name] / before[name]:.1f}" for name in names]
        ends = f"{label(sweep, first)} … {label(sweep, last)}"
        yield f"| {ends} | × {work:.1f} | {' | '.join(cells)} |"


def label(sweep, point):
    """A setting in words."""
    return {
        "batch_size": f"batch size {point['batch_size']}",
        "images": f"{point['images']:,} images",
        "width": f"width {point['hidden'][0]}",
        "depth": f"depth {len(point['hidden'])}",
    }[sweep]


def losses_table(results):
    """A row for every setting in which somebody is faster than the fastest of ours.

    The first run, with nothing compiled yet, has a second row for the fused engine alone.
    """
    yield "| setting | ours | ahead of it, fastest first | ours takes longer by |"
    yield "|---|---|---|---:|"
    epochs = [
        (f"an epoch, threads: {entry['threads']}", seconds_of(entry["runs"]), OURS)
        for entry in results["epochs"]
    ]
    swept = [
        (label(sweep, point), point_seconds(point), OURS)
        for sweep, points in results["sweeps"].items()
        for point in points
    ]
    goal = f"to {results['plan']['goal']:.0%} test accuracy"
    cold, cached = (
        {
            name: median(run["seconds"] for run in runs[caches])
            for name, runs in results["goal"].items()
        }
        for caches in ("cold", "cached")
    )
    from_nothing = [
        (f"{goal}, nothing compiled yet", cold, OURS),
        (f"{goal}, nothing compiled yet", cold, ("fused",)),
        (f"{goal}, compiled code cached", cached, OURS),
    ]
    titles = results["titles"]
    for setting, seconds, ours in epochs + swept + from_nothing:
        if not any(name in seconds for name in ours):
            continue
        best = min((name for name in ours if name in seconds), key=seconds.get)
        faster = [n for n in seconds if n not in OURS and seconds[n] < seconds[best]]
        if faster:
            faster.sort(key=seconds.get)
            longer = seconds[best] / seconds[faster[0]] - 1
            names = "; ".join(titles[name] for name in faster)
            yield f"| {setting} | {titles[best]} | {names} | {longer:.0%} |"


def seconds_of(runs):
    """{name: median of the rounds} of {name: [run]}."""
    return {name: median(times) for name, times in rounds(runs).items()}


def draw_epochs(results):
    """A dot for each contender, its median, and a line from quartile to quartile."""
    times = rounds(results["epochs"][0]["runs"])
    names = sorted(times, key=lambda name: -median(times[name]))
    figure, ax = plt.subplots(figsize=(9, 0.36 * len(names) + 1), layout="constrained")
    for y, name in enumerate(names):
        lower, middle, upper = spread(times[name])
        color = STYLES[name][0]
        ax.plot((lower, upper), (y, y), color=color, linewidth=2.5)
        ax.plot(middle, y, "o", color=color, markersize=8)
        ax.annotate(
            f"{middle:.2f} s", (upper, y), xytext=(9, 0), textcoords="offset points", va="center"
        )
    ax.set_yticks(range(len(names)), [results["titles"][name].replace("`", "") for name in names])
    ax.set(xscale="log", xlabel="seconds per epoch: MNIST, batch size 32, float32, one thread")
    ax.set_xticks(ticks := (0.2, 0.5, 1, 2, 5, 10), [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.margins(x=0.13)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def draw_lines(ax, x, points, names, titles):
    for name in names:
        color, line, marker = STYLES[name]
        found = [(a, b[name]) for a, b in zip(x, points, strict=True) if name in b]
        ax.plot(
            *zip(*found, strict=True), line, color=color, marker=marker, markersize=5,
            label=titles[name].replace("`", ""),
        )  # fmt: skip
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(x, [f"{value:,}" for value in x])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:,g}")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def draw_batches(results):
    """Images per second over the batch size."""
    points = results["sweeps"]["batch_size"]
    rates = [{n: p["images"] / t for n, t in point_seconds(p).items()} for p in points]
    figure, ax = plt.subplots(figsize=(9, 5), layout="constrained")
    draw_lines(ax, [p["batch_size"] for p in points], rates, rates[0], results["titles"])
    ax.set(xlabel="batch size", ylabel="images per second, one thread")
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def draw_growth(results):
    """Microseconds for an image over the width and depth of the network, and the images."""
    sweeps = {
        "width": ("width of two hidden layers", lambda point: point["hidden"][0]),
        "depth": ("hidden layers of 128", lambda point: len(point["hidden"])),
        "images": ("images in an epoch", lambda point: point["images"]),
    }
    figure, axes = plt.subplots(
        1, len(sweeps), figsize=(12, 4.6), layout="constrained", sharey=True
    )
    for ax, (sweep, (what, x_of)) in zip(axes, sweeps.items(), strict=True):
        points = results["sweeps"][sweep]
        x = [x_of(point) for point in points]
        per_image = [
            {n: t / p["images"] * 1e6 for n, t in point_seconds(p).items()} for p in points
        ]
        draw_lines(ax, x, per_image, per_image[0], results["titles"])
        ax.set_xlabel(what)
        # The slope to compare with, drawn through the slowest of the largest networks.
        work = np.array([products(point["hidden"]) for point in points])
        at_most = max(per_image[-1].values()) * work / work[-1]
        ax.plot(x, at_most, color="#bbbbbb", linewidth=5, zorder=0, label="multiply-adds")
    axes[0].set_ylabel("microseconds per image, one thread")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure
