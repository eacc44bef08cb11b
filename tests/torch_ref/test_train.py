"""The tutorial's loop trains, and does what the hand-written loop does."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import scratchnet
from scratchnet.errors import NumericError
from torch_ref import model, train


def test_two_epochs_on_the_sample_read_most_digits(capsys):
    accuracy = train.main(["--epochs", "2", "--dataset", "sample"])

    assert accuracy > 0.8
    shown = capsys.readouterr().out
    assert "Epoch [2/2]" in shown
    assert f"accuracy {accuracy:.2%}" in shown


def test_a_seed_decides_everything():
    recipe = ["--epochs", "1", "--dataset", "sample", "--hidden", "8", "--momentum", "0.5"]

    assert train.main([*recipe, "--seed", "1"]) == train.main([*recipe, "--seed", "1"])


def test_a_loss_that_is_not_finite_is_an_error():
    with pytest.raises(NumericError, match="try a lower --lr"):
        train.main(["--epochs", "1", "--dataset", "sample", "--lr", "1e30"])


def test_an_epoch_of_the_tutorials_loop_is_an_epoch_of_ours():
    rng = np.random.default_rng(0)
    x, labels = rng.random((70, 784)), rng.integers(10, size=70)  # (70,784), (70,)
    mlp = scratchnet.MLP((784, 20, 10), rng=rng, dtype=np.float64)
    sgd = scratchnet.SGD(mlp, 0.1, momentum=0.9, weight_decay=0.01)
    theirs = model.to_torch(mlp)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    pictures = TensorDataset(torch.from_numpy(x).view(-1, 1, 28, 28), torch.from_numpy(labels))

    losses = []
    for first in range(0, 70, 32):
        images, digits = x[first : first + 32], labels[first : first + 32]  # (B,784), (B,)
        loss, dlogits = scratchnet.softmax_cross_entropy(mlp.forward(images), digits)
        mlp.backward(dlogits)
        sgd.step()
        losses.append(loss * len(digits))
    their_loss = train.train_epoch(
        theirs, nn.CrossEntropyLoss(), optimizer, DataLoader(pictures, batch_size=32)
    )

    assert their_loss == pytest.approx(sum(losses) / 70, rel=1e-13)
    for (_, ours), (_, torchs) in zip(mlp.parameters(), model.parameters(theirs), strict=True):
        np.testing.assert_allclose(torchs, ours, rtol=0, atol=1e-14)


def test_as_many_epochs_are_trained_as_asked_for(digits_folder, capsys):
    train.main(["--epochs", "2", "--hidden", "4", "--data-dir", str(digits_folder)])

    epochs = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch")]
    assert [line.split()[1] for line in epochs] == ["[1/2]", "[2/2]"]


def test_an_epoch_after_an_evaluation_trains_again():
    pictures = TensorDataset(torch.zeros(4, 1, 28, 28), torch.zeros(4, dtype=int))
    network = model.TorchMLP((784, 10)).eval()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)

    train.train_epoch(network, nn.CrossEntropyLoss(), optimizer, DataLoader(pictures))

    assert network.training


def test_evaluation_learns_nothing_and_counts_right_answers():
    images = torch.zeros(4, 1, 28, 28)
    loader = DataLoader(TensorDataset(images, torch.tensor([3, 3, 3, 1])), batch_size=3)
    network = model.TorchMLP((784, 10))
    with torch.no_grad():
        network[0].bias[3] = 50

    loss, accuracy = train.evaluate(network, nn.CrossEntropyLoss(), loader)

    assert accuracy == 0.75
    assert loss == pytest.approx(50 / 4, abs=0.2)  # three sure and right, one sure and wrong
    assert not network.training
    assert all(p.grad is None for p in network.parameters())
