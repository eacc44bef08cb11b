"""PyTorch as a library of arrays: no autograd, no modules, products that update in place."""

import torch
from torch.nn.functional import log_softmax, nll_loss, one_hot

from benchmarks.contenders.torch_memory import as_tensors


def prepare(images, labels, parameters, *, batch_size, lr):
    x, labels = as_tensors(images, labels)
    targets = one_hot(labels, 10).float()
    tensors = [torch.from_numpy(p).clone() for p in parameters]
    layers = list(zip(tensors[::2], tensors[1::2], strict=True))

    @torch.inference_mode()
    def train_epoch(order):
        for chosen in torch.from_numpy(order).split(batch_size):
            inputs = [x.index_select(0, chosen)]
            for W, b in layers[:-1]:
                inputs.append(torch.addmm(b, inputs[-1], W).relu_())
            W, b = layers[-1]
            logp = log_softmax(torch.addmm(b, inputs[-1], W), dim=1)
            nll_loss(logp, labels[chosen])

            dy = logp.exp_().sub_(targets.index_select(0, chosen)).div_(len(chosen))
            for (W, b), a in zip(reversed(layers), reversed(inputs), strict=True):
                dx = torch.mm(dy, W.T).mul_(a > 0) if a is not inputs[0] else None
                W.addmm_(a.T, dy, alpha=-lr)
                b.sub_(dy.sum(0), alpha=lr)
                dy = dx
        return [p.numpy() for p in tensors]

    return train_epoch
