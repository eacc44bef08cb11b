"""PyTorch without its data loader: all images in one tensor, batches cut out of it by index."""

import torch
from torch.nn.functional import cross_entropy

from torch_ref.model import TorchMLP
from torch_ref.model import parameters as named_parameters


def prepare(images, labels, parameters, *, batch_size, lr):
    x, labels = as_tensors(images, labels)
    model = model_with(parameters)
    optimizer = torch.optim.SGD(model.parameters(), lr, fused=True)

    def train_epoch(order):
        for chosen in torch.from_numpy(order).split(batch_size):
            loss = cross_entropy(model(x[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return parameters_of(model)

    return train_epoch


def as_tensors(images, labels):
    """Return float32 (N, 784) in [0, 1] and int64 (N,)."""
    return torch.from_numpy(images).reshape(-1, 784).float().div_(255), torch.from_numpy(labels)


@torch.no_grad()
def model_with(parameters):
    """Return the reference model, with these weights."""
    model = TorchMLP((len(parameters[0]), *(len(b) for b in parameters[1::2])))
    for theirs, ours in zip(model.parameters(), parameters, strict=True):
        theirs.copy_(torch.from_numpy(ours.T))  # PyTorch keeps W as (O, I)
    return model


def parameters_of(model):
    return [p for _, p in named_parameters(model)]
