"""PyTorch as a thousand tutorials have it: Dataset, ToTensor, DataLoader, and the usual loop."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.contenders.torch_memory import model_with, parameters_of
from torch_ref import train
from torch_ref.data import datasets, transforms


class MNIST(datasets.MNIST):
    """torchvision's data set on images that have been read and verified already."""

    def __init__(self, images, labels):
        self.data, self.targets = torch.from_numpy(images), torch.from_numpy(labels)
        self.transform, self.target_transform = transforms.ToTensor(), None


def prepare(images, labels, parameters, *, batch_size, lr):
    dataset = MNIST(images, labels)
    model = model_with(parameters)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)

    def train_epoch(order):
        # The tutorials say shuffle=True; here the order is given, so that all train on the same.
        loader = DataLoader(dataset, batch_size=batch_size, sampler=order.tolist())
        train.train_epoch(model, criterion, optimizer, loader)
        return parameters_of(model)

    return train_epoch
