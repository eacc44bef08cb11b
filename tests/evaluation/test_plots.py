"""Figures: drawn without a display, and showing what they say."""

import io

import numpy as np
import pytest
from PIL import Image

from scratchnet.data.corruptions import CORRUPTIONS, corrupt, occluded_squares
from scratchnet.evaluation import plots


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


def test_curves_without_validation_are_one_panel_that_says_so():
    figure = plots.curves(history(validated=False))
    assert drawn(figure).std() > 0
    assert texts(figure) == ["Loss; no validation images held out"]


@pytest.mark.parametrize("accuracies", [[0.996], [0.97, 0.996], [1.0]])
def test_curves_have_no_accuracy_over_100_percent_and_no_half_epochs(accuracies):
    rows = [
        {"epoch": epoch, "train_loss": 0.1, "val_loss": 0.1, "val_accuracy": accuracy}
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]
    figure = plots.curves(rows)
    drawn(figure)
    loss_ax, ax = figure.axes
    low, high = ax.get_ylim()
    assert 0 <= low < 100 * min(accuracies) <= 100 * max(accuracies) <= high <= 100
    for axis in (loss_ax.xaxis, ax.xaxis):
        assert all(tick == int(tick) for tick in axis.get_ticklocs())


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
    probabilities[2, 5] = 0.80  # wrong and more confident
    probabilities[3, 6] = 0.70
    labels = np.array([3, 1, 2, 6])
    figure = plots.mistakes(sample.test.images[:4], labels, probabilities)
    titles = [title for title in texts(figure) if title]
    assert [title.split("\n")[0] for title in titles] == ["is 2, predicted 5", "is 1, predicted 4"]
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
    norms = [np.linalg.norm(image.get_array()) for image in shown]
    every = sorted(np.linalg.norm(W, axis=0), reverse=True)
    np.testing.assert_allclose(norms, every[: len(norms)])
    assert f"{'64 of' if units > 64 else 'all'} {units} hidden units" in figure.get_suptitle()
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


def test_feature_maps_say_how_many_of_them_are_shown(sample):
    maps = {"conv1": np.zeros((16, 28, 28)), "conv2": np.zeros((32, 14, 14))}
    figure = plots.feature_maps(sample.test.images[0], maps)
    _, right = figure.subfigs
    assert [row.get_suptitle() for row in right.subfigs] == [
        "conv1: all 16 maps, 28 x 28 each",
        "conv2: the first 16 of 32 maps, 14 x 14 each",
    ]


def test_the_brightest_feature_of_a_layer_is_black_and_a_layer_of_zeros_is_white(sample):
    maps = {"conv1": np.full((2, 28, 28), 3.0), "conv2": np.zeros((2, 14, 14))}
    figure = plots.feature_maps(sample.test.images[0], maps)
    _, first, _, zeros, _ = (ax.images[0].get_clim() for ax in figure.axes if ax.images)
    assert first == (0, 3)
    assert zeros == (0, 1)


def test_corrupted_digits_stand_beside_the_clean_one(sample):
    clean = sample.test.images[::10]
    images = {("clean", 0): clean}
    images |= {(name, s): clean // s for name in ("dim", "dark") for s in (2, 3)}
    figure = plots.corrupted_digits(images, {})
    shown = [ax.images[0].get_array() for ax in figure.axes]
    assert len(shown) == 2 * 3
    for row in (shown[:3], shown[3:]):
        assert (row[1] == row[0] // 2).all()
        assert (row[2] == row[0] // 3).all()
    assert [ax.get_title() for ax in figure.axes[:3]] == ["clean", "2", "3"]
    drawn(figure)


def test_each_of_six_corruptions_is_shown_on_another_digit(sample):
    clean = sample.test.images[::100]  # one of each class
    images = {("clean", 0): clean} | {(name, 1): clean for name in CORRUPTIONS}
    figure = plots.corrupted_digits(images, {})
    assert len({ax.images[0].get_array().tobytes() for ax in figure.axes[::2]}) == 6


def test_the_occluded_square_is_outlined_where_it_covers_the_digit():
    black = np.zeros((1, 28, 28), np.uint8)
    side, rng = 9, np.random.default_rng(0)
    top, left = occluded_squares(1, side, np.random.default_rng(0))
    images = {("clean", 0): black, ("noise", 0.1): black, ("occlusion", side): black}
    figure = plots.corrupted_digits(images, {side: (top, left)})
    *others, occluded = figure.axes
    assert not any(ax.patches for ax in others)
    (outline,) = occluded.patches
    covered = corrupt(np.full((1, 28, 28), 255, np.uint8), "occlusion", side, rng)[0] == 0
    rows, columns = np.nonzero(covered)
    assert outline.get_bbox().extents.tolist() == [
        *(columns.min() - 0.5, rows.min() - 0.5),
        *(columns.max() + 0.5, rows.max() + 0.5),
    ]
    drawn(figure)


def test_a_digit_is_drawn_as_dark_as_it_is_whatever_stands_beside_it(sample):
    faint = sample.test.images[:2] // 4 + 10
    for figure in (
        plots.samples(faint, np.array([3, 7])),
        plots.mistakes(faint, np.array([3, 7]), np.eye(10)[:2]),
        plots.corrupted_digits(dict.fromkeys([("clean", 0), ("dim", 1), ("blur", 1)], faint), {}),
    ):
        assert {ax.images[0].get_clim() for ax in figure.axes if ax.images} == {(0, 255)}


def test_robustness_draws_a_line_a_network_from_the_clean_accuracy_on():
    scores = {("clean", 0): [0.9, 0.8]} | {
        (name, s): [0.5 / (i + 1), 0.4]
        for name, corruption in CORRUPTIONS.items()
        for i, s in enumerate(corruption.strengths)
    }
    figure = plots.robustness(scores, ["one", "two"])
    assert [ax.get_title() for ax in figure.axes] == list(CORRUPTIONS)
    for ax, corruption in zip(figure.axes, CORRUPTIONS.values(), strict=True):
        one, two = ax.lines
        assert list(one.get_xdata()) == [0, *corruption.strengths]
        assert list(one.get_ydata()) == pytest.approx([90, 50, 25, 50 / 3, 12.5, 10])
        assert list(two.get_ydata()) == pytest.approx([80, 40, 40, 40, 40, 40])
    drawn(figure)


def gan_history():
    return [
        {"epoch": epoch, "discriminator_loss": 0.5, "generator_loss": 0.9, "recognised": share}
        for epoch, share in ((1, None), (2, 0.25), (3, 0.5))
    ]


def test_a_validation_loss_far_over_the_training_loss_is_shown_in_full():
    rows = [row | {"val_loss": 3.5, "train_loss": 0.5} for row in history()]
    top = plots.curves(rows).axes[0].get_ylim()[1]
    assert 3.5 < top < 4


def test_the_losses_of_a_gan_stand_beside_chance_and_the_confident_share_where_it_was_measured():
    figure = plots.gan_losses(gan_history())
    losses, shares = figure.axes
    discriminator, generator, chance = losses.lines
    assert list(discriminator.get_ydata()) == [0.5, 0.5, 0.5]
    assert list(generator.get_ydata()) == [0.9, 0.9, 0.9]
    assert set(chance.get_ydata()) == {np.log(2)}
    assert losses.get_ylim() == pytest.approx((0, 0.99))  # all of both losses, and little more
    (line,) = shares.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([2, 3], [25, 50])
    drawn(figure)
    drawn(plots.gan_losses([]))


def test_without_a_classifier_the_losses_of_a_gan_say_so():
    figure = plots.gan_losses(gan_history()[:1])
    (losses,) = figure.axes
    assert losses.get_title() == "Loss; no classifier given"


def test_every_axis_says_what_it_measures_and_every_line_what_it_is():
    scores = {("clean", 0): [0.9, 0.8]}
    scores |= {(name, s): [0.5, 0.4] for name, c in CORRUPTIONS.items() for s in c.strengths}
    gan_lines = ["discriminator", "generator", "no better than chance"]
    for figure, lines, step in (
        (plots.curves(history()), ["training", "validation"], 1),
        (plots.gan_losses(gan_history()), gan_lines, 1),
        (plots.robustness(scores, ["one", "two"]), ["one", "two"], 3),  # three share a y-axis
    ):
        assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == lines
        assert all(ax.get_title() and ax.get_xlabel() for ax in figure.axes)
        assert all(ax.get_ylabel() for ax in figure.axes[::step])
    (confusion,) = plots.confusion(np.eye(10)).axes
    assert (confusion.get_xlabel(), confusion.get_ylabel()) == ("predicted digit", "true digit")
    assert list(confusion.get_xticks()) == list(confusion.get_yticks()) == list(range(10))


def trial(number, state, accuracy):
    return {"number": number, "state": state, "validation_accuracy": accuracy}


def test_the_history_of_a_search_shows_every_trial_and_the_best_so_far():
    trials = [
        trial(0, "complete", 0.9),
        trial(1, "pruned", 0.5),
        trial(2, "pruned", None),
        trial(3, "fail", None),
        trial(4, "complete", 0.8),
        trial(5, "complete", 0.95),
    ]
    figure = plots.search_history(trials)
    complete, best, pruned = figure.axes[0].lines
    assert list(complete.get_xdata()) == [0, 4, 5]
    assert list(best.get_ydata()) == pytest.approx([90, 90, 95])
    assert list(pruned.get_ydata()) == [50]
    assert "95.00 %" in figure.axes[0].get_title()
    low, high = figure.axes[0].get_ylim()
    assert low <= 50
    assert high <= 100
    drawn(figure)


def test_the_history_of_one_trial_has_no_legend_entry_for_what_did_not_happen():
    figure = plots.search_history([trial(0, "complete", 0.9)])
    drawn(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["trained to the end"]


def test_the_history_of_a_long_search_says_how_many_trials_lie_below_its_axis():
    scores = [0.5, 0.6, *[0.95] * plots.MANY_TRIALS]
    figure = plots.search_history([trial(n, "complete", s) for n, s in enumerate(scores)])
    (ax,) = figure.axes
    assert ax.get_ylim()[0] == pytest.approx(91)
    assert ax.get_xlabel() == "trial (2 more below the axis)"


def test_importance_names_the_most_important_option_on_top():
    figure = plots.importance({"lr": 0.7, "depth": 0.1, "momentum": 0.2}, 50)
    (ax,) = figure.axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([10, 20, 70])
    drawn(figure)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["depth", "momentum", "lr"]
