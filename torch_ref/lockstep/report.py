"""The report of a walk in lockstep: tables, a summary, a curve."""

import numpy as np
import torch

from scratchnet.checking.comparison import LOSS_LIMIT, MAX_LIMIT, NORM_LIMIT
from torch_ref.lockstep import extended_precision

DRIFT_LIMIT = 1e-12  # of any float64 parameter from the twin's,
DRIFT_STEPS = 1875  # for an epoch of MNIST; for ever, no two roundings stay together
# Adam divides by √v̂: a gradient that has cancelled is rounding alone, and moves as far as another.
GAN_DRIFT_STEPS = 200
FLIPS_SHOWN = 20


def heading(network, optimiser, found, options):
    """Say what is compared, on what, and by which libraries.

    Args: what prints as the network and as the optimiser; the data; the options of the command.
    """
    notice = f" ({found.notice})" if found.notice else ""
    return (
        f"{network} in {options.dtype}, batches of {options.batch_size}, {optimiser}\n"
        f"by hand: NumPy {np.__version__}, matmul {options.matmul}; "
        f"beside it: PyTorch {torch.__version__}\n"
        f"data: {found.name}, {len(found.train.labels):,} training images{notice}"
    )


def table(step):
    """Show every tensor of one step: the two networks side by side, and their own errors."""
    refer = extended_precision.is_finer(step.ours["x"].dtype)
    if refer:
        pair, batch = step.lockstep, (step.theirs["x"], step.theirs["labels"])
        setting = pair.network, pair.optimiser, pair.loss_function
        true = extended_precision.reference_step(step.before, *setting, *batch)
    lines = [
        f"{f'step {step.number}':<20}{'largest':>11}{'in eps of':>16}"
        + (f"{'own error in eps':>22}" if refer else ""),
        f"{'tensor':<9}{'shape':<11}{'difference':>11}{'max|t|':>10}{'‖t‖':>8}"
        + (f"{'by hand':>11}{'PyTorch':>9}" if refer else "")
        + "  result",
    ]
    for v in step.comparisons:
        shape = "×".join(map(str, v.shape)) or "1"
        line = f"{v.name:<9}{shape:<11}{v.difference:>11.1e}"
        line += f"{_eps(v.of_max):>10}{_eps(v.of_norm):>8}"
        if refer:
            sides = step.ours.get(v.name), step.theirs[v.name]
            by_hand, pytorch = (_error(side, true[v.name]) for side in sides)
            line += f"{by_hand:>11}{pytorch:>9}"
        lines.append(f"{line}  {v.result}")
    return "\n".join(["", *([step.lockstep.title] if step.lockstep.title else []), *lines])


def _eps(value):
    return "" if np.isnan(value) else f"{value:.2f}"


def _error(side, true):
    """How far a tensor is from the reference, in eps of its largest element; "" if not to say."""
    if side is None or side.shape != true.shape or side.dtype.kind != "f":
        return ""
    return f"{extended_precision.error(side, true):.2f}"


class Summary:
    """The worst of every tensor over all steps, the flipped ReLUs, and the drift."""

    def __init__(self, title=""):
        self.title = title
        self.drift_steps = GAN_DRIFT_STEPS if title else DRIFT_STEPS
        self.worst = {}  # name: (Comparison, number of its step)
        self.failed = []  # (number of the step, name)
        self.cancelled = []  # the same, for tensors that passed by their error bound
        self.flips = []
        self.drifts = []  # a dict for each step, where there is a twin
        self.parted = None  # the first step and tensor in which the twin was not bit for bit ours
        self.twin_flip = None  # the first ReLU that was on in ours and off in the twin, or inverse
        self.steps = 0
        self.dtype = None

    def add(self, step):
        """Take one more Step into account."""
        self.steps = step.number
        self.dtype = step.ours["x"].dtype
        for v in step.comparisons:
            if v.name not in self.worst or self._rank(v) > self._rank(self.worst[v.name][0]):
                self.worst[v.name] = (v, step.number)
            if not v.ok:
                self.failed.append((step.number, v.name))
            elif v.cancels:
                self.cancelled.append((step.number, v.name))
        self.flips += step.flips
        if step.twin:
            self.drifts.append(step.drift)
            self._see_twin(step)

    @staticmethod
    def _rank(v):
        """Failures first, then by how much of the strict limit is used; a NaN is the worst."""
        return (not v.ok, np.inf if np.isnan(v.strict) else v.strict)

    def _see_twin(self, step):
        if self.parted is None:
            for v in step.comparisons:
                ours, twins = step.ours.get(v.name), step.twin[v.name]
                if not np.array_equal(ours, twins):
                    self.parted = (step.number, v.name, v.difference)
                    break
        if self.twin_flip is None:
            for name in (n for n in step.twin if n[0] == "z"):
                ours, twins = step.ours[name], step.twin[name]
                places = np.argwhere((ours > 0) != (twins > 0))
                if len(places):
                    image, *unit = place = tuple(places[0].tolist())
                    where = f"image {image}, unit {', '.join(map(str, unit))} of {name}"
                    self.twin_flip = (step.number, where, ours[place], twins[place])
                    break

    @property
    def drift(self):
        """The largest difference of a parameter from the twin's: (difference, name, step)."""
        return max(
            (np.inf if np.isnan(off) else off, name, number)
            for number, drift in enumerate(self.drifts, start=1)
            for name, off in drift.items()
        )

    @property
    def ok(self):
        if self.failed or not all(flip.excused for flip in self.flips):
            return False
        drifts = [list(drift.values()) for drift in self.drifts[: self.drift_steps]]
        return bool(self.dtype != np.float64 or np.max(drifts, initial=0) <= DRIFT_LIMIT)

    def __str__(self):
        lines = [
            *([self.title] if self.title else []),
            f"{f'the worst of {self.steps:,} steps':<29}{'largest':>11}{'in eps of':>18}",
            f"{'tensor':<9}{'shape':<11}{'at step':>9}{'difference':>11}"
            f"{'max|t|':>12}{'‖t‖':>8}  result",
        ]
        for name, (v, number) in self.worst.items():
            shape = "×".join(map(str, v.shape)) or "1"
            lines.append(
                f"{name:<9}{shape:<11}{number:>9,}{v.difference:>11.1e}"
                f"{_eps(v.of_max):>12}{_eps(v.of_norm):>8}  {v.result}"
            )
        lines.append(f"{'limits':<40}{MAX_LIMIT:>12}{NORM_LIMIT:>8}  loss {LOSS_LIMIT}")
        return "\n".join(["", *lines, "", *self._sentences()])

    def _sentences(self):
        yield f"{len(self.worst) * self.steps:,} tensors compared, {len(self.failed):,} failed" + (
            f", the first {self.failed[0][1]} in step {self.failed[0][0]:,}" if self.failed else ""
        )
        if self.cancelled:
            number, name = self.cancelled[0]
            yield (
                f"  {len(self.cancelled):,} lie within their error bounds, as their terms cancel; "
                f"the first is {name} in step {number:,}"
            )
        for kind, what in (
            ("z", "ReLUs on different sides of 0"),
            ("a", "windows whose maxima lie in different pixels"),
        ):
            flips = [flip for flip in self.flips if flip.name[0] == kind]
            excused = sum(flip.excused for flip in flips)
            if kind == "z" or "p1" in self.worst:
                yield f"{len(flips):,} {what}, {excused:,} of them excused"
        for flip in sorted(self.flips, key=lambda flip: flip.excused)[:FLIPS_SHOWN]:
            yield (
                f"  step {flip.step:,}, image {flip.image}, unit {flip.place} of {flip.name}: "
                f"{flip.ours:+.1e} by hand, {flip.theirs:+.1e} in PyTorch, bound ±{flip.bound:.1e}"
                + ("" if flip.excused else ": NOT EXCUSED")
            )
        if len(self.flips) > FLIPS_SHOWN:
            yield f"  and {len(self.flips) - FLIPS_SHOWN:,} more"
        if self.drifts:
            off, name, number = self.drift
            limited = self.dtype == np.float64 and self.steps <= self.drift_steps
            limit = f" (limit {DRIFT_LIMIT:.0e})" if limited else ""
            where = f"{name} in step {number:,}"
            yield f"an unsynchronised twin drifts off by {off:.1e}{limit}: {where}"
        yield "PASS" if self.ok else "FAIL"

    def free_run(self):
        """Say where the unsynchronised twin diverged."""
        lines = ["", "the unsynchronised twin:"]
        if self.parted:
            number, name, off = self.parted
            lines.append(f"  first bitwise difference: {name} in step {number}, by {off:.2g}")
        if self.twin_flip:
            number, where, ours, twins = self.twin_flip
            lines.append(
                f"  first ReLU on the other side: step {number}, {where}: "
                f"{ours:+.2g} by hand, {twins:+.2g} in the twin"
            )
        else:
            lines.append("  no ReLU on the other side of 0")
        for number in sorted({n for n in (1, 10, 100, 1000, self.steps) if n <= self.steps}):
            off = max(self.drifts[number - 1].values())
            lines.append(f"  after step {number:,} its parameters differ by at most {off:.1e}")
        return "\n".join(lines)


def draw_drift(summary):
    """Draw how far each parameter of the twin is off after each step; return the Figure."""
    from matplotlib import color_sequences  # only here: it takes long to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    ax = figure.add_subplot()
    ax.set_prop_cycle(color=color_sequences["petroff10"])  # for any colour vision
    steps = np.arange(1, summary.steps + 1)
    for name in summary.drifts[0]:
        off = np.array([drift[name] for drift in summary.drifts])
        ax.plot(steps, np.where(off > 0, off, np.nan), label=name, linewidth=1.2)
    levels = {"eps": np.finfo(summary.dtype).eps}
    if summary.dtype == np.float64:
        levels["limit"] = DRIFT_LIMIT
    for label, level in levels.items():
        ax.axhline(level, color="black", linewidth=0.8, linestyle=":")
        ax.annotate(label, (1, level), textcoords="offset points", xytext=(0, 3))
    if summary.twin_flip:
        number = summary.twin_flip[0]
        ax.axvline(number, color="black", linewidth=0.8, linestyle=":")
        text = f"step {number}: the first ReLU\non different sides of 0 "
        ax.annotate(text, (number, 0.04), xycoords=("data", "axes fraction"), ha="right")
    ax.set_title(f"Two networks in {summary.dtype} that were never synchronised")
    ax.set(xscale="log", yscale="log", xlabel="step", ylabel="largest difference from PyTorch")
    ax.legend(ncols=2, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure
