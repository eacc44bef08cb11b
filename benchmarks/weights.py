"""The first layer's weights as they form: `python -m benchmarks weights`.

784-128-64-10 is trained as `scratchnet.train` does it by default, and looked at after a few batches
of the first epoch, then after each epoch. The animation shows the weights of 32 hidden units, those
that training changes most, each as an image of 28 x 28 pixels, and the validation accuracy;
weights.json keeps the accuracies.

In the comments: H hidden units, U of them shown.
"""

import matplotlib
import numpy as np
import threadpoolctl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import moving_picture
from benchmarks.harness import RESULTS, environment
from scratchnet import MLP, SGD, data, softmax_cross_entropy
from scratchnet.evaluation.metrics import accuracy, evaluate

EPOCHS, BATCH, LR, VALIDATION = 10, 32, 0.1, 5000
LOOKED_AT = 0, 10, 20, 40, 80, 160, 320, 640, 1000  # batches of the first epoch
ROWS, COLUMNS = 4, 8
ZOOM, GAP = 2, 4  # a weight is ZOOM pixels wide; white between two units
SIDE, HEIGHT = 244, 270  # width of the curve, height of all, in pixels
LEVELS = 17  # of the diverging colour map, an odd number, so that 0 is white
COLOURS = 32  # of the palette: those, and the greys of the text
MILLISECONDS, LAST = 350, 2500


def train(quick):
    """Return the looks: [(epoch, batch, first layer's W (784, H), validation accuracy)]."""
    dataset = data.load("auto" if quick else "mnist")
    kept, held_out = data.hold_out(dataset.train, 100 if quick else VALIDATION, 0)
    x, labels = data.to_unit_interval(kept.images), kept.labels  # (N,784), (N,)
    x_val = data.to_unit_interval(held_out.images)  # (V,784)
    network = MLP((784, 128, 64, 10), rng=np.random.default_rng(0))
    sgd = SGD(network, LR)
    looks = []

    def look(epoch, batch):
        _, probabilities = evaluate(network, x_val, held_out.labels)
        reached = accuracy(probabilities.argmax(axis=1), held_out.labels)
        looks.append((epoch, batch, network.parametric_layers[0].W.copy(), reached))

    for epoch in range(1, (2 if quick else EPOCHS) + 1):
        batches = data.batches(x, labels, BATCH, seed=0, epoch=epoch)
        for n, (images, targets) in enumerate(batches):
            if epoch == 1 and n in LOOKED_AT:
                look(epoch, n)
            _, dlogits = softmax_cross_entropy(network.forward(images), targets)
            network.backward(dlogits)
            sgd.step()
        look(epoch, n + 1)
    return looks


def grid(W, limit):
    """Return the weights W (784, U), |W| <= limit, as RGB (h, w, 3): red below 0, blue above."""
    size = 28 * ZOOM + GAP
    sheet = np.full((ROWS * size - GAP, COLUMNS * size - GAP, 3), 255, np.uint8)
    shade = np.rint((LEVELS - 1) * (np.clip(W / limit, -1, 1) + 1) / 2) / (LEVELS - 1)
    colours = matplotlib.colormaps["RdBu"](shade, bytes=True)[..., :3]  # (784,U,3)
    for unit in range(W.shape[1]):
        row, column = divmod(unit, COLUMNS)
        image = colours[:, unit].reshape(28, 28, 3).repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
        top, left = row * size, column * size
        sheet[top : top + 28 * ZOOM, left : left + 28 * ZOOM] = image
    return sheet


def draw(looks, last, limit):
    """Return the frame of `looks[last]`: its weights, and the accuracies up to there."""
    epoch, batch, W, reached = looks[last]
    picture = grid(W, limit)
    width = picture.shape[1] + 12 + SIDE
    figure = Figure(figsize=(width / 100, HEIGHT / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    top = HEIGHT - picture.shape[0] - 8  # the line of text above the grid
    figure.figimage(picture, xo=4, yo=HEIGHT - top - picture.shape[0])
    when = f"after {batch} batches" if epoch == 1 and batch in LOOKED_AT else f"after epoch {epoch}"
    when = when if batch else "before training"
    title = f"first-layer weights of {W.shape[1]} hidden units, {when}"
    figure.text(4 / width, 1 - 8 / HEIGHT, title, va="top", size=9)

    left = picture.shape[1] + 62
    ax = figure.add_axes(
        (left / width, 40 / HEIGHT, (width - left - 14) / width, (HEIGHT - 68) / HEIGHT)
    )
    ax.plot(range(last + 1), [look[3] for look in looks[: last + 1]], color="#2166ac", lw=1.5)
    ax.plot(last, reached, "o", color="#2166ac", ms=5)
    ax.set(xlim=(-0.5, len(looks) - 0.5), ylim=(0, 1.03))
    end = next(i for i, look in enumerate(looks) if look[0] == 2)  # the first of the second epoch
    ax.axvline(end - 1, color="#cccccc", lw=1, zorder=0)
    ax.text(end - 1.3, 0.04, "batches", size=8, color="#777777", ha="right")
    ax.text(end - 0.7, 0.04, "epochs", size=8, color="#777777")
    first = [i for i, look in enumerate(looks) if look[0] == 1 and look[1] in (0, 40, 320)]
    ends = [i for i, look in enumerate(looks) if i >= end - 1 and (look[0] in (1, 5, 10))]
    names = [str(looks[i][1]) for i in first] + [str(looks[i][0]) for i in ends]
    ax.set_xticks(first + ends, names)
    ax.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(f"validation accuracy {reached:.1%}", size=9, loc="left")
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def main(quick=False, folder=RESULTS):
    """Train, write training/weights.gif into the folder, and return the accuracies."""
    with threadpoolctl.threadpool_limits(1):
        looks = train(quick)
    change = np.linalg.norm(looks[-1][2] - looks[0][2], axis=0)  # (H,)
    units = np.sort(np.argsort(change)[-ROWS * COLUMNS :])  # (U,), in the layer's order
    looks = [(epoch, batch, W[:, units], reached) for epoch, batch, W, reached in looks]
    limit = np.quantile(np.abs(looks[-1][2]), 0.995)  # a few weights lie beyond the last colour
    frames = [draw(looks, last, limit) for last in range(len(looks))]
    milliseconds = [MILLISECONDS] * (len(frames) - 1) + [LAST]
    moving_picture.save(frames, milliseconds, folder / "training" / "weights.gif", COLOURS)
    return {
        "environment": environment(),
        "looks": [
            {"epoch": epoch, "batch": batch, "validation_accuracy": reached}
            for epoch, batch, _, reached in looks
        ],
    }


def summary(results):
    """In words: the accuracy before training, in the first epoch, and at the end."""
    looks = results["looks"]
    early = next(look for look in looks if look["batch"] >= 160)
    return (
        f"Validation accuracy: {looks[0]['validation_accuracy']:.1%} before training, "
        f"{early['validation_accuracy']:.1%} after {early['batch']} batches, "
        f"{looks[-1]['validation_accuracy']:.1%} after {looks[-1]['epoch']} epochs."
    )
