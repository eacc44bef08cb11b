"""Accuracy and the confusion matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnet import MLP, data, softmax_cross_entropy
from scratchnet.data import to_unit_interval
from scratchnet.errors import NumericError
from scratchnet.evaluation.metrics import accuracy, confusion_matrix, evaluate
from scratchnet.nn.losses import softmax

pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=50)


@given(pairs)
def test_the_matrix_counts_every_pair_in_the_row_of_the_true_digit(drawn):
    labels, predicted = np.array(drawn).T
    counts = confusion_matrix(predicted, labels)
    for true in range(10):
        for prediction in range(10):
            assert counts[true, prediction] == drawn.count((true, prediction))


@given(pairs)
def test_accuracy_is_the_diagonals_share_of_the_matrix(drawn):
    labels, predicted = np.array(drawn).T
    share = np.trace(confusion_matrix(predicted, labels)) / len(drawn)
    assert accuracy(predicted, labels) == pytest.approx(share, rel=1e-15)


@pytest.mark.parametrize(
    ("predicted", "labels"),
    [(np.zeros(2, int), np.zeros(3, int)), (np.zeros((2, 2), int), np.zeros((2, 2), int))],
)
def test_predictions_must_match_the_labels_in_number(predicted, labels):
    for measure in (accuracy, confusion_matrix):
        with pytest.raises(ValueError, match="labels"):
            measure(predicted, labels)


def test_the_accuracy_on_no_image_is_no_number():
    with pytest.raises(ValueError, match="labels"):
        accuracy(np.zeros(0, int), np.zeros(0, int))


def test_images_in_their_thousands_are_scored_as_if_all_at_once(sample):
    mlp = MLP((784, 10), rng=np.random.default_rng(0))
    x, labels = to_unit_interval(sample.train.images[::3]), sample.train.labels[::3]  # (1334,784)
    loss, score, p = evaluate(mlp, x, labels)
    logits = mlp.forward(x)  # (1334,10)
    assert loss == pytest.approx(softmax_cross_entropy(logits, labels)[0], rel=1e-6)
    assert score == (logits.argmax(axis=1) == labels).mean()
    np.testing.assert_allclose(p, softmax(logits), rtol=1e-4)


def test_a_network_that_is_no_longer_finite_is_a_numeric_error():
    mlp = MLP((784, 10), rng=np.random.default_rng(0))
    mlp.parametric_layers[0].b[:] = np.nan
    with pytest.raises(NumericError, match="the loss on 3 images not trained on is nan"):
        evaluate(mlp, np.zeros((3, 784), np.float32), np.zeros(3, int))


@pytest.mark.parametrize("wrong", [-1, 10])
def test_a_class_outside_the_matrix_is_refused(wrong):
    with pytest.raises(ValueError, match="0 to 9"):
        confusion_matrix(np.array([0, wrong]), np.array([0, 0]))


def test_loss_accuracy_and_probabilities_are_those_of_all_images_at_once(sample):
    network = MLP((784, 10), rng=np.random.default_rng(0))
    images, labels = sample.train.images[:2300], sample.train.labels[:2300]  # three pieces
    x = data.to_unit_interval(images)  # (2300,784)
    loss, score, p = evaluate(network, x, labels)
    logits = network.forward(x)  # (2300,10)
    assert loss == pytest.approx(float(softmax_cross_entropy(logits, labels)[0]), rel=1e-6)
    assert score == (logits.argmax(axis=1) == labels).mean()
    np.testing.assert_allclose(np.log(p), np.log(p[:, :1]) + logits - logits[:, :1], atol=1e-4)
