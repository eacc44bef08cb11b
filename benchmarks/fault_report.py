"""The counts of `python -m tests.faults` as a table."""

MEMORY = "megabytes more at the peak"  # counted apart from the outcomes
SHOWN = {"loaded as what it says now": "loaded with the altered content"}  # outcome -> its words


def table(counts):
    """Markdown: what was done, how often, and what came of it; for the parts that were counted."""
    lines = ["| what was done | times | what came of it |", "|---|---:|---|"]
    if kills := counts.get("kills"):
        torn = kills["where"].get("in the middle of writing a file", 0)
        lines.append(
            f"| `kill -9` at a random moment of training, {torn} of them in the middle of writing "
            f"a file | {kills['killed']:,} | {kills['resumed to the same bits']:,} resumed to the "
            "bits of an undisturbed run |"
        )
    for engine, found in counts.get("interruptions", {}).items():
        lines.append(
            f"| Ctrl-C or SIGTERM at a random moment from the first import on, {engine} engine | "
            f"{found['interrupted']:,} | {found['in one line']:,} said so in one line, "
            f"{found['resumed to the same bits']:,} resumed to the same bits |"
        )
    for kind, found in counts.get("fuzzing", {}).items():
        done = f"damaged {kind}" if " of " not in kind else f"{kind} flipped"
        outcomes = {outcome: n for outcome, n in found.items() if outcome != MEMORY}
        lines.append(
            f"| {done} | {sum(outcomes.values()):,} | "
            f"{', '.join(f'{n:,} {SHOWN.get(name, name)}' for name, n in outcomes.items())} |"
        )
    if runs := counts.get("determinism"):
        most = max(found["distinct weights"] for found in runs.values())
        lines.append(
            f"| the same training with {len(runs)} kernels and engines, each with 1 and 2 threads, "
            f"either threading library, two processes at a time | "
            f"{sum(found['runs'] for found in runs.values()):,} | "
            f"distinct sets of weights for each: {most} |"
        )
    return "\n".join(lines)
