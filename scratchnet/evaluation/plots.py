"""Every figure: samples, learning curves, confusion matrix, mistakes, weights, robustness.

Each function returns a `matplotlib.figure.Figure` of its own. No pyplot: without its global state
no window is ever opened, no display is needed and no figure is left behind in memory.

In the comments: N images, H hidden units, C classes.
"""

import io

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from scratchnet.files import write_atomically

# Okabe & Ito, "Color Universal Design" (2008): told apart with any colour vision and in print.
BLUE, ORANGE, RED = "#0072B2", "#E69F00", "#D55E00"
MANY_TRIALS = 20  # of a search: of fewer, the best tenth is a single one, which tells nothing
SERIES = (BLUE, RED, "#009E73", "#CC79A7", "#56B4E9")  # for lines side by side


def save(figure, path):
    """Write a figure as a PNG; OSError, and the old file whole, where that is not possible."""
    png = io.BytesIO()
    figure.savefig(png, dpi=120)
    write_atomically(path, png.getvalue())


def image_axes(figure, rows, columns):
    """Return (rows, columns) axes for images, without frames."""
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    return axes


def tidy(*axes, whole=True):
    """Give axes a grid, no frame on top and right, and whole numbers for epochs or trials."""
    for ax in axes:
        if whole:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)


def samples(images, labels):
    """Show ten of the uint8 images (N, 28, 28) with each label (N,), or fewer, a row a digit."""
    figure = Figure(figsize=(6, 6.2), layout="constrained")
    axes = image_axes(figure, 10, 10)
    for digit, row in enumerate(axes):
        for ax, image in zip(row, images[labels == digit][:10], strict=False):
            ax.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        row[0].text(-0.3, 0.5, str(digit), ha="right", va="center", transform=row[0].transAxes)
    figure.suptitle("Ten training images of each digit")
    return figure


def curves(history):
    """Show loss and accuracy over the epochs.

    Args:
        history: one dict an epoch with `epoch`, `train_loss`, and `val_loss` and `val_accuracy`,
            which are None where no images were held out.
    """
    names = ("epoch", "train_loss", "val_loss", "val_accuracy")
    epochs, train_loss, val_loss, accuracy = ([row[name] for row in history] for name in names)
    validated = any(loss is not None for loss in val_loss)
    figure = Figure(figsize=(9 if validated else 5, 3.6), layout="constrained")
    loss_ax, *others = figure.subplots(1, 1 + validated, squeeze=False)[0]
    loss_ax.plot(epochs, train_loss, "o-", color=BLUE, label="training")
    title = "Loss" if validated else "Loss; no validation images held out"
    loss_ax.set(title=title, xlabel="epoch", ylabel="cross-entropy (nats)")
    if validated:
        loss_ax.plot(epochs, val_loss, "s--", color=ORANGE, label="validation")
        (ax,) = others
        percent = [100 * share for share in accuracy]
        best = int(np.argmax(percent))
        ax.plot(epochs, percent, "s--", color=ORANGE, clip_on=False)
        circle = {"color": RED, "ms": 11, "mfc": "none", "mew": 2, "clip_on": False}
        ax.plot(epochs[best], percent[best], "o", **circle)
        ax.set(title=f"Validation accuracy, best {percent[best]:.2f} %", xlabel="epoch")
        ax.margins(y=0.25)
        low, high = ax.get_ylim()
        ax.set(ylabel="accuracy (%)", ylim=(max(0, low), min(100, high)))
    loss_ax.set_ylim(0, None)  # last: it ends the search for limits that show all
    loss_ax.legend(frameon=False)
    tidy(loss_ax, *others)
    return figure


def confusion(counts):
    """Show a confusion matrix (C, C), rows true and columns predicted; colour is logarithmic."""
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    ax = figure.subplots()
    counts = np.asarray(counts)
    top = max(counts.max(), 2)
    ax.imshow(np.where(counts, counts, np.nan), cmap="Blues", norm=LogNorm(0.7, top))
    for (true, predicted), count in np.ndenumerate(counts):
        if count:
            colour = "white" if count > top**0.6 else "black"
            ax.text(predicted, true, str(count), ha="center", va="center", color=colour, fontsize=9)
    digits = range(len(counts))
    ax.set(xticks=digits, yticks=digits, xlabel="predicted digit", ylabel="true digit")
    right, total = np.trace(counts), counts.sum()
    ax.set_title(f"Test accuracy {right / max(total, 1):.2%}: {right:,} of {total:,} images")
    return figure


def mistakes(images, labels, probabilities):
    """Show the mistakes that the network was most confident of.

    Args: images uint8 (N, 28, 28), labels (N,), probabilities (N, C).
    """
    predicted = probabilities.argmax(axis=1)  # (N,)
    confidence = probabilities.max(axis=1)  # (N,)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:20]
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    axes = image_axes(figure, 4, 5)
    for ax, i in zip(axes.flat, worst, strict=False):
        ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=255)
        title = f"is {labels[i]}, predicted {predicted[i]}\nconfidence {confidence[i]:.1%}"
        ax.set_title(title, fontsize=9)
    title = f"The {len(worst)} most confident of {len(wrong):,} mistakes"
    figure.suptitle(title if len(wrong) else "No mistakes")
    return figure


def weights(W):
    """Show the first layer's weights W (784, H): an image a hidden unit.

    Of more than 64 units those with the largest weight norm: they have learned most.
    """
    n_units = W.shape[1]
    largest = np.argsort(-np.linalg.norm(W, axis=0), kind="stable")[:64]  # (64,) or (H,)
    figure = Figure(figsize=(7.2, 7.2), layout="constrained")
    show_weights(figure, image_axes(figure, 8, 8), W.T[largest].reshape(-1, 28, 28), shrink=0.5)
    which = f"{len(largest)} of" if n_units > 64 else "all"
    figure.suptitle(f"Weights of {which} {n_units} hidden units, those of the largest norm first")
    return figure


def filters(W):
    """Show the first channel of the kernels W (O, C, k, k) of a convolution, an image a kernel."""
    rows = max(1, -(-len(W) // 8))
    figure = Figure(figsize=(8, 1.1 * rows + 0.6), layout="constrained")
    show_weights(figure, image_axes(figure, rows, 8), W[:, 0], shrink=0.9)
    figure.suptitle(f"The {len(W)} kernels of the first layer: blue looks for ink, red for none")
    return figure


def show_weights(figure, axes, W, shrink):
    """Show weights as images W (N, h, w) on the axes: blue positive, red negative, white zero."""
    limit = np.abs(W).max()
    for ax, image in zip(axes.flat, W, strict=False):  # (h,w)
        shown = ax.imshow(image, cmap="RdBu", vmin=-limit, vmax=limit)
    figure.colorbar(shown, ax=axes, shrink=shrink, label="weight")


def feature_maps(image, maps):
    """Show a digit and its feature maps, a row a layer, of more than 16 maps the first 16.

    Args:
        image: uint8 (28, 28).
        maps: {title: array (C, H, W)}, in the order of the layers.
    """
    figure = Figure(figsize=(10, 1 + 1.5 * len(maps)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 6))
    image_axes(left, 1, 1)[0, 0].imshow(image, cmap="gray_r", vmin=0, vmax=255)
    rows = right.subfigures(len(maps), 1, squeeze=False).flat
    for row, (title, channels) in zip(rows, maps.items(), strict=True):
        n, height, width = channels.shape
        which = f"the first 16 of {n}" if n > 16 else f"all {n}"
        row.suptitle(f"{title}: {which} maps, {height} x {width} each", fontsize=9)
        axes = image_axes(row, 2, 8)
        for ax, channel in zip(axes.flat, channels, strict=False):  # (H,W)
            ax.imshow(channel, cmap="gray_r", vmin=0, vmax=channels.max() or 1)
    return figure


def corrupted_digits(images, squares):
    """Show the first digits as they are and corrupted: a row a corruption, a column a strength.

    Args:
        images: {(name, strength): uint8 (N, 28, 28)}, the clean ones first.
        squares: {side: (top rows (N,), left columns (N,))} of the occluded squares, which are
            outlined: they are as black as the background, and would not be seen.
    """
    (_, clean), *rest = images.items()
    names = list(dict.fromkeys(name for (name, _), _ in rest))
    n_columns = 1 + len(rest) // len(names)
    figure = Figure(figsize=(1.25 * n_columns, 1.4 * len(names)), layout="constrained")
    for i, axes in enumerate(figure.subplots(len(names), n_columns)):
        name, digit = names[i], (3 * i + 2) % len(clean)  # another digit in each row
        row = [("clean", clean)] + [(strength, x) for (n, strength), x in rest if n == name]
        for ax, (title, x) in zip(axes, row, strict=True):
            ax.imshow(x[digit], cmap="gray_r", vmin=0, vmax=255)
            ax.set_title(title, fontsize=9)
            ax.set(xticks=[], yticks=[])
            if name == "occlusion" and title in squares:
                top, left = (edge[digit] - 0.5 for edge in squares[title])
                ax.add_patch(Rectangle((left, top), title, title, fill=False, ec=RED, lw=1.5))
        axes[0].set_ylabel(name)
    return figure


def robustness(scores, names):
    """Show accuracy over the strength of each corruption, a line a network.

    Args:
        scores: {(name, strength): [accuracy of each network in [0, 1]]}, the clean ones first.
        names: of the networks.
    """
    from scratchnet.data.corruptions import CORRUPTIONS

    figure = Figure(figsize=(10, 6), layout="constrained")
    (_, clean), *_ = scores.items()
    axes = figure.subplots(2, 3, sharey=True).flat
    for ax, (kind, (_, strengths, unit)) in zip(axes, CORRUPTIONS.items(), strict=True):
        for i, name in enumerate(names):
            y = [100 * clean[i], *(100 * scores[kind, strength][i] for strength in strengths)]
            style = {"marker": "os^Dv"[i % 5], "color": SERIES[i % len(SERIES)]}
            ax.plot([0, *strengths], y, label=name, **style)
        ax.set(title=kind, xlabel=unit, ylim=(0, 102))
        tidy(ax, whole=False)
    for ax in figure.axes[::3]:
        ax.set_ylabel("test accuracy (%)")
    figure.axes[0].legend(frameon=False, loc="lower left")
    return figure


def search_history(trials):
    """Show how accurate each trial of a search was, and the best so far.

    Args:
        trials: dicts with `number`, `state` and `validation_accuracy` in [0, 1] or None. At least
            one is "complete"; those "pruned" ended early; others are left out.
    """

    def points(state):
        found = [(t["number"], t["validation_accuracy"]) for t in trials if t["state"] == state]
        found = [(number, 100 * score) for number, score in found if score is not None]
        return np.array(found).reshape(-1, 2).T  # numbers (T,), accuracies (T,)

    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = figure.subplots()
    numbers, scores = points("complete")
    best = np.maximum.accumulate(scores)
    ax.plot(numbers, scores, "o", color=BLUE, label="trained to the end")
    if len(numbers) > 1:
        ax.step(numbers, best, where="post", color=RED, label="best so far")
    early, early_scores = points("pruned")
    if len(early):
        ax.plot(early, early_scores, "x", color=ORANGE, label="stopped early")
    shown = np.concatenate([scores, early_scores])
    ax.margins(y=0.1)
    xlabel = "trial"
    if len(shown) >= MANY_TRIALS and (hidden := (shown < best[-1] - 4).sum()):
        # The hopeless ones would flatten the rest.
        ax.set_ylim(best[-1] - 4, best[-1] + 0.3)
        xlabel += f" ({hidden} more below the axis)"
    ax.set(title=f"Best trial: validation accuracy {best[-1]:.2f} %", xlabel=xlabel)
    ax.set_ylabel("validation accuracy (%)")
    low, high = ax.get_ylim()
    ax.set_ylim(max(0, low), min(100, high))
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    tidy(ax)
    return figure


def importance(shares, n_trials):
    """Show the importance {option: share in [0, 1]} of the options in n_trials, not few."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    ax = figure.subplots()
    names = sorted(shares, key=shares.get)
    bars = ax.barh(names, [100 * shares[name] for name in names], color=BLUE)
    ax.bar_label(bars, fmt="%.0f %%", padding=3)
    ax.margins(x=0.12)
    ax.set(title=f"What tells the best tenth of {n_trials} trials from the rest")
    ax.set_xlabel("importance (%)")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def gan_losses(history):
    """Show a GAN's losses, and the share of its digits that a classifier is confident of.

    Args:
        history: one dict an epoch with `epoch`, `discriminator_loss`, `generator_loss` and
            `recognised`, that share in [0, 1], or None where there was no classifier.
    """
    scored = [row for row in history if row["recognised"] is not None]
    figure = Figure(figsize=(9 if scored else 5, 3.6), layout="constrained")
    loss_ax, *others = figure.subplots(1, 1 + bool(scored), squeeze=False)[0]
    epochs = [row["epoch"] for row in history]
    for name, colour, style in (("discriminator", BLUE, "o-"), ("generator", ORANGE, "s--")):
        losses = [row[f"{name}_loss"] for row in history]
        loss_ax.plot(epochs, losses, style, color=colour, ms=4, label=name)
    loss_ax.axhline(np.log(2), color="black", lw=0.8, ls=":", label="no better than chance")
    losses = (row[f"{side}_loss"] for row in history for side in ("discriminator", "generator"))
    top = max(losses, default=1)
    title = "Loss" if scored else "Loss; no classifier given"
    loss_ax.set(title=title, xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, 1.1 * top))
    loss_ax.legend(frameon=False)
    for ax in others:
        shares = [100 * row["recognised"] for row in scored]
        ax.plot([row["epoch"] for row in scored], shares, "o-", color=RED, ms=4)
        ax.set(title="Generated digits classified with confidence", xlabel="epoch")
        ax.set(ylabel="confident (%)", ylim=(-2, 102), xlim=loss_ax.get_xlim())
    tidy(loss_ax, *others)
    return figure
