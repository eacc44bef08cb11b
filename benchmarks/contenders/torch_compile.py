"""PyTorch in memory, the forward and the backward pass compiled by torch.compile."""

import torch
from torch.nn.functional import cross_entropy

from benchmarks.contenders.torch_memory import as_tensors, model_with, parameters_of


def prepare(images, labels, parameters, *, batch_size, lr):
    x, labels = as_tensors(images, labels)
    model = model_with(parameters)
    optimizer = torch.optim.SGD(model.parameters(), lr, fused=True)

    @torch.compile
    def loss_on(x, labels):
        return cross_entropy(model(x), labels)

    def train_epoch(order):
        for chosen in torch.from_numpy(order).split(batch_size):
            loss = loss_on(x[chosen], labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return parameters_of(model)

    return train_epoch
