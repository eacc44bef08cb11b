"""Figures: drawn without a display, and showing what they say."""

import io

import numpy as np
import pytest
from PIL import Image

from scratchnet import plots


def drawn(figure):
    """The pixels of the figure as it would be saved."""
    png = io.BytesIO()
    figure.savefig(png, dpi=50)
    return np.asarray(Image.open(png).convert("L"))


def history(validated=True):
    return [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "val_loss": 1.1 / epoch if validated else None,
            "val_accuracy": 1 - 0.1 / epoch if validated else None,
        }
        for epoch in (1, 2, 3)
    ]


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in (ax.title, *ax.texts)]


def test_samples_shows_ten_real_images_in_the_row_of_each_digit(sample):
    figure = plots.samples(sample.train.images, sample.train.labels)
    assert drawn(figure).std() > 0
    assert len(figure.axes) == 100
    for i, ax in enumerate(figure.axes):
        shown = ax.images[0].get_array()
        of_the_digit = sample.train.images[sample.train.labels == i // 10]
        assert (shown == of_the_digit[i % 10]).all()


def test_samples_leaves_gaps_where_digits_are_missing(sample):
    figure = plots.samples(sample.train.images[:3], sample.train.labels[:3])
    assert sum(bool(ax.images) for ax in figure.axes) == 3
    drawn(figure)


@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_name_the_best_accuracy(epochs):
    figure = plots.curves(history()[:epochs])
    assert drawn(figure).std() > 0
    training, validation = figure.axes[0].lines
    assert list(training.get_ydata()) == [row["train_loss"] for row in history()[:epochs]]
    assert list(validation.get_ydata()) == [row["val_loss"] for row in history()[:epochs]]
    best = f"{100 * history()[epochs - 1]['val_accuracy']:.2f} %"
    assert any(best in text for text in texts(figure))


def test_curves_stand_a_history_that_was_lost():
    drawn(plots.curves([]))


def test_curves_say_when_no_images_were_held_out():
    figure = plots.curves(history(validated=False))
    assert drawn(figure).std() > 0
    assert "no images held out" in texts(figure)


def test_confusion_shows_every_count_but_zero(sample):
    counts = np.diag(np.arange(10)) + np.eye(10, k=3, dtype=int)
    figure = plots.confusion(counts)
    assert drawn(figure).std() > 0
    (ax,) = figure.axes
    shown = {text.get_position(): int(text.get_text()) for text in ax.texts}
    expected = {(j, i): n for (i, j), n in np.ndenumerate(counts) if n}  # x: predicted, y: true
    assert shown == expected
    coloured = ax.images[0].get_array()
    assert (np.ma.filled(coloured, 0) == counts).all()


def test_confusion_stands_a_matrix_of_zeros():
    drawn(plots.confusion(np.zeros((10, 10), int)))


def test_mistakes_shows_the_most_confident_first_with_both_digits(sample):
    probabilities = np.full((4, 10), 0.01)
    probabilities[0, 3] = 0.91  # right
    probabilities[1, 4] = 0.60  # wrong
    probabilities[2, 5] = 0.80  # wrong and surer
    probabilities[3, 6] = 0.70
    labels = np.array([3, 1, 2, 6])
    figure = plots.mistakes(sample.test.images[:4], labels, probabilities)
    titles = [title for title in texts(figure) if title]
    assert [title.split("\n")[0] for title in titles] == ["is 2, read 5", "is 1, read 4"]
    assert "80.0%" in titles[0]
    assert (figure.axes[0].images[0].get_array() == sample.test.images[2]).all()
    drawn(figure)


def test_mistakes_says_when_there_are_none(sample):
    figure = plots.mistakes(sample.test.images[:10], np.arange(10), np.eye(10))
    assert figure.get_suptitle() == "No mistakes"
    drawn(figure)


@pytest.mark.parametrize("units", [1, 10, 128])
def test_weights_shows_an_image_a_hidden_unit(units):
    W = np.random.default_rng(0).normal(size=(784, units))
    figure = plots.weights(W)
    shown = [
        ax.images[0] for ax in figure.axes if ax.images and len(ax.images[0].get_array()) == 28
    ]
    assert len(shown) == min(units, 64)
    assert (shown[0].get_array().ravel() == W[:, 0]).all()
    drawn(figure)


def test_filters_show_every_kernel():
    W = np.random.default_rng(0).normal(size=(11, 2, 5, 5))
    figure = plots.filters(W)
    assert drawn(figure).std() > 0
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    for image, kernel in zip(shown, W[:, 0], strict=False):
        assert (image == kernel).all()
    assert len(shown) >= 11


def test_feature_maps_show_the_digit_and_a_row_of_maps_for_each_layer(sample):
    rng = np.random.default_rng(0)
    maps = {"conv1": rng.random((16, 28, 28)), "conv2": np.zeros((3, 14, 14))}
    figure = plots.feature_maps(sample.test.images[0], maps)
    assert drawn(figure).std() > 0
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert (shown[0] == sample.test.images[0]).all()
    assert (shown[1] == maps["conv1"][0]).all()
    assert len(shown) == 1 + 16 + 3
