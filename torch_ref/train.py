"""The training loop of a thousand tutorials: forward, loss, zero_grad, backward, step.

What the tutorials leave out is `evaluate`: images that were not trained on, counted without
gradients, by a model told that it is no longer learning.

    python -m torch_ref.train --epochs 10

In the comments: B images in a batch.
"""

import math
import time

import torch
from torch import nn
from torch.utils.data import DataLoader

from scratchnet.cli import entry
from scratchnet.cli.options import Parser, add_options
from scratchnet.cli.summary import print_data
from scratchnet.errors import NumericError
from scratchnet.training.config import TrainConfig
from torch_ref import data
from torch_ref.model import TorchMLP

# The options of `scratchnet.train` for which a tutorial's loop has a use.
OPTIONS = ["epochs", "batch_size", "lr", "momentum", "weight_decay", "hidden", "seed", "threads"]
OPTIONS += ["dataset", "data_dir"]


def train_epoch(model, criterion, optimizer, train_loader):
    """Go once around the training images; return the mean loss."""
    model.train()
    total = 0.0
    for images, labels in train_loader:
        images = images.view(-1, 784)  # (B,1,28,28) -> (B,784)
        outputs = model(images)  # (B,784) -> (B,10)
        loss = criterion(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(train_loader.dataset)


@torch.no_grad()
def evaluate(model, criterion, loader):
    """Return (mean loss, accuracy) on images that the model has not been trained on."""
    model.eval()
    total, right = 0.0, 0
    for images, labels in loader:
        outputs = model(images.view(-1, 784))  # (B,10)
        total += criterion(outputs, labels).item() * len(labels)
        right += (outputs.argmax(dim=1) == labels).sum().item()
    return total / len(loader.dataset), right / len(loader.dataset)


def main(argv=None):
    """Run the command; return the test accuracy."""
    parser = Parser("python -m torch_ref.train", description="Train the same MLP in PyTorch.")
    add_options(parser, TrainConfig, *OPTIONS, model="mlp")
    options = TrainConfig(**vars(parser.parse_args(argv)))
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    train, test, found = data.load(options.dataset, options.data_dir)
    train_loader = DataLoader(train, batch_size=options.batch_size, shuffle=True)
    test_loader = DataLoader(test, batch_size=1000)

    model = TorchMLP((784, *options.hidden, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )
    print_data(found, f"{len(train):,} training and {len(test):,} test images")

    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        loss = train_epoch(model, criterion, optimizer, train_loader)
        seconds = time.perf_counter() - start
        if not math.isfinite(loss):
            raise NumericError(f"the loss is {loss} in epoch {epoch}; try a lower --lr")
        print(f"Epoch [{epoch}/{options.epochs}]  loss {loss:.4f}  {seconds:.1f} s")

    loss, accuracy = evaluate(model, criterion, test_loader)
    print(f"test    accuracy {accuracy:.2%}, loss {loss:.4f} on {len(test):,} images")
    return accuracy


if __name__ == "__main__":
    entry.run(main)
