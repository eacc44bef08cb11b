"""The table of the ladder in scratchnet/kernels/README.md, from benchmarks/results/gemm.json."""

import inspect
from statistics import median

from scratchnet.kernels import LADDER, get

NETWORK, TRANSPOSED, SQUARE = "x1 @ W1, batch 32", "dy2 @ W2.T, batch 32", "square 512"
LARGE = "square 1024"
HEADS = "rung", "one idea", f"GFLOP/s on {NETWORK}", f"on {SQUARE}", "of the peak"


def ladder_table(results):
    """Return Markdown: a row for each rung, on one core in float32, and what the rows do not show.

    Args:
        results: what `python -m benchmarks gemm` has written, read from gemm.json.
    """
    one, products = _race(results, min)
    peak = median(products[SQUARE]["peak"])
    lines = [f"| {' | '.join(HEADS)} |", "|---|---|---:|---:|---:|"]
    for name in LADDER:
        square = _rate(products[SQUARE], name)
        rates = _giga(_rate(products[NETWORK], name)), _giga(square), f"{square / peak:.0%}"
        lines.append(f"| `{name}` | {_idea(name, results)} | {' | '.join(rates)} |")
    memory, cache = (_giga(median(one["bandwidths"][name])) for name in ("memory", "cache"))
    lines += [
        f"\nMedians on one core of an {results['environment']['processor']}, in float32. `sparse` "
        "is credited with the whole product, zeros too; the last column is of the square one.\n",
        f"- Ceilings: {_giga(peak)} GFLOP/s, measured in turns with {SQUARE} (the median over all "
        f"products is {_giga(median(one['peak']))}, as the clock varies); {memory} GB/s from "
        f"memory, {cache} from the L2 cache.",
        f"- {TRANSPOSED}: {_pair(products[TRANSPOSED], 'ikj', 'packed')} GFLOP/s.",
    ]
    together, products = _race(results, max)
    if LARGE in products:  # a quick run leaves it out, and does not compile anew
        rates = _pair(products[LARGE], "tiled", "parallel")
        lines.append(f"- {LARGE} with {together['threads']} threads: {rates} GFLOP/s.")
    if times := results.get("compile_seconds"):
        lines.append(
            "- Until the first product of a process, compiled and from the cache: "
            + ", ".join(
                f"`{n}` {times[n]['cold']:.1f} and {times[n]['cached']:.1f} s"
                for n in ("tiled", "simd", "sparse")
            )
            + "."
        )
    return "\n".join(lines)


def roofline(results):
    """Return Markdown: the ceilings of one core, and what the first layer asks of each."""
    one, products = _race(results, min)
    row, peak = products[NETWORK], median(products[SQUARE]["peak"])
    memory, cache = (median(one["bandwidths"][name]) for name in ("memory", "cache"))
    (m, k, n), flops, moved = row["shape"], row["flops"], row["bytes"]
    by_peak, by_memory, by_cache = (
        f"{seconds * 1e6:.0f} us" for seconds in (flops / peak, moved / memory, moved / cache)
    )
    return "\n".join(
        [
            f"    multiply-adds between registers, nothing else     {_giga(peak)} GFLOP/s",
            f"    reading memory, and the L2 cache                  {_giga(memory)} and "
            f"{_giga(cache)} GB/s",
            "",
            f"    operations   2 x {m} x {k} x {n} = {flops / 1e6:.1f} million        "
            f"{by_peak} at that peak",
            f"    bytes        4 x ({m * k:,} + {k * n:,} + {m * n:,}) = {moved / 1e6:.2f} million"
            f"   {by_memory} from memory, {by_cache} from the L2 cache",
        ]
    )


def _race(results, pick):
    """The float32 race with the fewest (`min`) or most (`max`) threads, and {product: its row}."""
    races = (race for race in results["races"] if race["dtype"] == "float32")
    race = pick(races, key=lambda race: race["threads"])
    return race, {row["product"]: row for row in race["products"]}


def _rate(row, name):
    """Operations a second."""
    return row["flops"] / median(row["samples"][name])


def _giga(number):
    return f"{number / 1e9:.3g}"


def _pair(row, *names):
    return ", ".join(f"`{name}` {_giga(_rate(row, name))}" for name in names)


def _idea(name, results):
    """The first line of the rung's docstring; NumPy's is not ours."""
    if name == "numpy":
        return f"The yardstick, a BLAS: {' '.join(results['environment']['blas'])}."
    return inspect.getdoc(get(name)).splitlines()[0]
