"""Mistakes that are not in the catalogue, as people report them; no name may be given to any.

Each is a patch of one of our files: (title, chapter, file, right text, wrong text, the relation of
the first wrong tensor, or None where none holds).
"""

from typing import NamedTuple


class Foreign(NamedTuple):
    title: str
    chapter: str
    file: str
    right: str
    wrong: str
    relation: str | None = None


Y = "y += self.b"
DW, DB = "self.dW = self.matmul(self.x.T, dy)", "self.db = dy.sum(axis=0)"
DX = "return self.matmul(dy, self.W.T) if need_dx else None"
MASK, BACK = "self.mask = ~(x <= 0)", "return dy * self.mask  # (B,O)"
LOSS = "loss = (np.log(total[:, 0]) - shifted[images, labels]).mean()"
ONEHOT, MEAN = "dlogits[images, labels] -= 1", "dlogits /= n_images"
P = "return exp / exp.sum(axis=1, keepdims=True)"
TOTAL = "total = exp.sum(axis=1, keepdims=True)"
ADD = "dx[:, :, *pixels] += np.where(argmax == n, dy, dy.dtype.type(0))"
BCE = "dlogits = (sigmoid(logits) - targets) / logits.size"
COSTS = "costs = np.maximum(logits, 0) - targets * logits + np.log1p(np.exp(-np.abs(logits)))"
DECAY = "g = g + self.weight_decay * p"
FOLDED = "padded[:, *window(i, j, stride, height, width)] += patches[:, i, j]"
POOLED = "argmax[(candidate > y) | np.isnan(candidate)] = n"
X255 = "x /= 255"
CHOSEN = "chosen = order[first : first + batch_size]"

FOREIGN = tuple(
    Foreign(*row)
    for row in (
        # Linear, forward
        ("the bias is added twice", "linear_forward", "layers", Y, "y += 2 * self.b",
         "the right one plus b"),
        ("the bias is subtracted", "linear_forward", "layers", Y, "y -= self.b",
         "the right one minus 2 times b"),
        ("only the first bias is added, to all", "linear_forward", "layers", Y,
         "y += self.b[0]"),
        ("the output is divided by the number of inputs", "linear_forward", "layers", Y,
         "y += self.b\n        y /= len(self.W)", "1/3 x"),
        ("the weights are read backwards", "linear_forward", "layers",
         "y = self.matmul(x, self.W)", "y = self.matmul(x, self.W[:, ::-1])"),
        ("the images are read backwards", "linear_forward", "layers",
         "y = self.matmul(x, self.W)", "y = self.matmul(x[:, ::-1], self.W)"),
        ("x is centred in place", "linear_forward", "layers", "self.x = x",
         "x -= x.mean()\n        self.x = x"),
        ("a ReLU inside the layer", "linear_forward", "layers", Y,
         "y += self.b\n        np.maximum(y, 0, out=y)", "0 in places where it should not be"),
        ("the rows of y are turned round", "linear_forward", "layers", Y,
         "y += self.b\n        y = y[::-1]", "turned round along axis 0"),
        ("rounded to half precision", "linear_forward", "layers", Y,
         "y += self.b\n        y = y.astype(np.float16).astype(x.dtype)", "in half precision"),
        ("computed in single precision, bias and all", "linear_forward", "layers", Y,
         "y += self.b\n        y = y.astype(np.float32).astype(x.dtype)", "in single precision"),
        # ReLU
        ("the mask is the other way round", "relu", "layers", BACK, "return dy * ~self.mask",
         "dy behind another mask"),
        ("the gradient is the mask", "relu", "layers", BACK,
         "return self.mask.astype(dy.dtype)"),
        ("the gradient has a 2 in it", "relu", "layers", BACK, "return 2 * dy * self.mask", "2 x"),
        ("ReLU turns into the absolute value", "relu", "layers", "return np.maximum(x, 0)",
         "return np.abs(x)", "not 0 in places where it should be"),
        ("ReLU6", "relu", "layers", "return np.maximum(x, 0)", "return np.clip(x, 0, 1)"),
        ("the mask is that of the first batch", "relu", "layers", MASK,
         "self.mask = ~(x <= 0) if not len(self.mask) else self.mask", "dy behind another mask"),
        ("the mask is taken from x > mean", "relu", "layers", MASK, "self.mask = x > x.mean()",
         "dy behind another mask"),
        ("dropout is left in", "relu", "layers", BACK,
         "keep = np.random.default_rng(0).random(dy.shape) < 0.8\n"
         "        return dy * self.mask * keep", "0 in places where it should not be"),
        ("x is changed in place, and is the mask", "relu", "layers",
         "return np.maximum(x, 0)", "return np.maximum(x, 0, out=x)",
         "0 in places where it should not be"),
        ("the mask is left in another shape", "relu", "layers", BACK, "return (dy * self.mask).T",
         "transposed"),
        # the loss
        ("softmax over the wrong axis, in softmax only", "softmax_cross_entropy", "losses", P,
         "return exp / exp.sum(axis=0, keepdims=True)",
         "normalised along axis 0, not 1"),
        ("softmax is not normalised by its sum, but its maximum", "softmax_cross_entropy",
         "losses", P, "return exp / exp.max(axis=1, keepdims=True)",
         "a multiple of the right one, another in each row"),
        ("sigmoid in place of softmax", "softmax_cross_entropy", "losses", P,
         "return 1 / (1 + np.exp(-logits))"),
        ("the loss has the opposite sign", "softmax_cross_entropy", "losses", LOSS,
         "loss = -(np.log(total[:, 0]) - shifted[images, labels]).mean()", "-1 x"),
        ("the loss in bits", "softmax_cross_entropy", "losses", LOSS,
         "loss = (np.log(total[:, 0]) - shifted[images, labels]).mean() / np.log(2)"),
        ("the loss is divided by the classes as well", "softmax_cross_entropy", "losses", LOSS,
         "loss = (np.log(total[:, 0]) - shifted[images, labels]).mean() / n_classes", "1/3 x"),
        ("the loss of the first image only", "softmax_cross_entropy", "losses", LOSS,
         "loss = (np.log(total[:, 0]) - shifted[images, labels])[0]"),
        ("the loss of each image, not their mean", "softmax_cross_entropy", "losses", LOSS,
         "loss = np.log(total[:, 0]) - shifted[images, labels]", "not averaged along axis 0"),
        ("(B, 1) minus (B,) is (B, B), and its mean looks fine", "softmax_cross_entropy",
         "losses", LOSS, "loss = (np.log(total) - shifted[images, labels] * images).mean()"),
        ("the squared error", "softmax_cross_entropy", "losses", LOSS,
         "loss = ((exp / total - np.eye(n_classes)[labels]) ** 2).sum(axis=1).mean()"),
        # its gradient
        ("softmax over the wrong axis, in dlogits only", "loss_gradient", "losses",
         "dlogits = exp / total", "dlogits = exp / exp.sum(axis=0)"),
        ("onehot is added", "loss_gradient", "losses", ONEHOT, "dlogits[images, labels] += 1"),
        ("onehot is forgotten", "loss_gradient", "losses", ONEHOT, "pass"),
        ("labels count from 1", "loss_gradient", "losses", ONEHOT,
         "dlogits[images, (labels + 1) % n_classes] -= 1"),
        ("dlogits[:, labels]: every row gets all of them", "loss_gradient", "losses", ONEHOT,
         "dlogits[:, labels] -= 1"),
        ("target minus prediction", "loss_gradient", "losses", MEAN, "dlogits /= -n_images",
         "-1 x"),
        ("1/N twice", "loss_gradient", "losses", MEAN, "dlogits /= n_images**2", "1/2 x"),
        ("the mean over all elements", "loss_gradient", "losses", MEAN,
         "dlogits /= dlogits.size", "1/3 x"),
        ("divided by N - 1, like a variance", "loss_gradient", "losses", MEAN,
         "dlogits /= max(n_images - 1, 1)", "2 x"),
        ("the derivative of the logarithm is multiplied in", "loss_gradient", "losses", MEAN,
         "dlogits *= exp / total\n    dlogits /= n_images"),
        ("1/N before the onehot", "loss_gradient", "losses",
         "dlogits[images, labels] -= 1  # p - onehot: (B,C)\n    dlogits /= n_images",
         "dlogits /= n_images\n    dlogits[images, labels] -= 1"),
        ("label smoothing is left in", "loss_gradient", "losses", ONEHOT,
         "dlogits -= 0.1 / n_classes\n    dlogits[images, labels] -= 0.9"),
        ("the gradient is clipped", "loss_gradient", "losses", MEAN,
         "dlogits /= n_images\n    np.clip(dlogits, -0.01, 0.01, out=dlogits)"),
        # Linear, backward
        ("dW is divided by the batch once more", "linear_backward", "layers", DW,
         "self.dW = self.matmul(self.x.T, dy) / len(dy)", "1/2 x"),
        ("both gradients are averaged once more", "linear_backward", "layers", DB,
         "self.db = dy.mean(axis=0)\n        self.dW /= len(dy)", "1/2 x"),
        ("db sums over the outputs", "linear_backward", "layers", DB, "self.db = dy.sum(axis=1)",
         "the sum of dy along axis 1"),
        ("db is one sum of all", "linear_backward", "layers", DB, "self.db = dy.sum()",
         "summed along axis 0"),
        ("db is that sum for every output", "linear_backward", "layers", DB,
         "self.db = np.full(len(self.b), dy.sum())"),
        ("db keeps its dimension", "linear_backward", "layers", DB,
         "self.db = dy.sum(axis=0, keepdims=True)", "reshaped"),
        ("db is the last row of dy", "linear_backward", "layers", DB, "self.db = dy[-1]"),
        ("the weights' gradient without a sign", "linear_backward", "layers", DW,
         "self.dW = -self.matmul(self.x.T, dy)", "-1 x"),
        ("weight decay is in the gradient", "linear_backward", "layers", DW,
         "self.dW = self.matmul(self.x.T, dy) + 0.01 * self.W", "the right one plus 1/100 times W"),
        ("the output stands in place of the input", "linear_backward", "layers",
         "y += self.b", "y += self.b\n        self.x = self.x[::-1]"),
        ("dx through the gradient of the weights", "linear_backward", "layers", DX,
         "return self.matmul(dy, self.dW.T)", "dy @ dW.T"),
        ("dx is averaged", "linear_backward", "layers", DX,
         "return self.matmul(dy, self.W.T) / len(dy)", "1/2 x"),
        ("gradients of the batch before are kept by half", "linear_backward", "layers", DW,
         "self.dW = self.matmul(self.x.T, dy) + 0.5 * self.dW"),
        ("the first gradient is kept for ever", "linear_backward", "layers", DW,
         "self.dW = self.dW if self.dW.any() else self.matmul(self.x.T, dy)",
         "that of the batch before"),
        ("dy is scaled in place", "linear_backward", "layers", DW,
         "dy *= 0.5\n        self.dW = 2 * self.matmul(self.x.T, dy)",
         "1/2 x"),
        ("the weights' gradient is whole numbers", "linear_backward", "layers", DW,
         "self.dW = self.matmul(self.x.T, dy).astype(int).astype(dy.dtype)"),
        # the chain
        ("the layers are walked in the same order back", "chain", "network",
         "reversed(self.layers[1:])", "[self.layers[-1], *self.layers[1:-1]]"),
        ("the last layer is left out forward", "chain", "network",
         "for layer in self.layers:\n            x = layer.forward(x)",
         "for layer in self.layers[:-1]:\n            x = layer.forward(x)"),
        ("no ReLU between the layers", "chain", "network",
         "super().__init__(layers[:-1])", "super().__init__(layers[::2])"),
        ("the gradient is halved by every layer", "chain", "network", "dy = layer.backward(dy)",
         "dy = layer.backward(dy) * 0.5",
         "1/4 x"),
        # gradient descent
        ("the learning rate is multiplied twice", "sgd", "optim", "p -= self.lr * g",
         "p -= self.lr**2 * g",
         "a step of 1/10 x"),
        ("the step goes up", "sgd", "optim", "p -= self.lr * g", "p += self.lr * g",
         "a step of -1 x"),
        ("momentum with a minus", "sgd", "optim", "v *= self.momentum", "v *= -self.momentum"),
        ("weight decay without the weights", "sgd", "optim", DECAY, "g = g + self.weight_decay"),
        ("weight decay of the biases only", "sgd", "optim", DECAY,
         "g = g + self.weight_decay * p * (p.ndim == 1)"),
        ("weight decay of the weights only", "sgd", "optim", DECAY,
         "g = g + self.weight_decay * p * (p.ndim == 2)"),
        ("L1 in place of L2", "sgd", "optim", DECAY, "g = g + self.weight_decay * np.sign(p)"),
        ("weight decay with a factor of 2", "sgd", "optim", DECAY,
         "g = g + 2 * self.weight_decay * p"),
        ("weight decay changes the gradient in place", "sgd", "optim", DECAY,
         "g += self.weight_decay * p"),
        ("the first parameter is updated twice", "sgd", "optim", "p -= self.lr * g",
         "p -= self.lr * g\n            if p.ndim == 2:\n                p -= self.lr * g",
         "a step of 2 x"),
        ("the velocity starts over in every step", "sgd", "optim", "v *= self.momentum",
         "v[...] = 0", "what it would be without momentum"),
        ("the velocity is bound to a new array, which nobody keeps", "sgd", "optim",
         "v *= self.momentum\n                v += g", "v = self.momentum * v + g",
         "what it would be without momentum"),
        ("the gradient is normalised", "sgd", "optim", "p -= self.lr * g",
         "p -= self.lr * g / np.linalg.norm(g)",
         "a step of 0.438676 x"),
        # batches
        ("labels are shuffled by another permutation", "batches", "batches",
         "yield x[chosen], labels[chosen]",
         "yield x[chosen], labels[np.random.default_rng(1).permutation(chosen)]"),
        ("uint8 overflows", "batches", "batches", "x = x.astype(np.float32)",
         "x = (x * 2).astype(np.float32) / 2"),
        ("whole division", "batches", "batches", X255, "x //= 255"),
        ("pixels from -1 to 1", "batches", "batches", X255, "x /= 127.5\n    x -= 1",
         "2 times the right one minus 1"),
        ("pixels are standardised", "batches", "batches", X255,
         "x -= x.mean()\n    x /= x.std()", "3.19319 times the right one minus 0.432054"),
        ("pixels are inverted", "batches", "batches", X255, "x = 1 - x / 255",
         "-1 times the right one plus 1"),
        ("batches overlap by one image", "batches", "batches", CHOSEN,
         "chosen = order[max(first - 1, 0) : first + batch_size]"),
        ("the first batch is the last again", "batches", "batches", CHOSEN,
         "chosen = order[: batch_size]",
         "x of batch 1 in epoch 1"),
        ("start counts images", "batches", "batches", "start * batch_size, len(x)",
         "start, len(x)"),
        ("the data are shuffled in place", "batches", "batches",
         "order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)\n    for",
         "order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)\n"
         "    labels[:] = labels[order]\n    for"),
        # convolution and pooling
        ("patches one pixel late", "convolution", "conv",
         "patches[:, i, j] = padded[:, *window(i, j, stride, height, width)]",
         "patches[:, i, j] = np.roll(padded, 1, axis=2)[:, *window(i, j, stride, height, width)]"),
        ("edges are repeated in place of zeros", "convolution", "conv",
         "x.transpose(1, 2, 3, 0)  # (C,H,W,B)\n    height, width = (",
         "x.transpose(1, 2, 3, 0)\n"
         "    padded = np.pad(x.transpose(1, 2, 3, 0), "
         "((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)), mode='edge')\n"
         "    height, width = ("),
        ("rows and columns of a kernel are exchanged forward", "convolution", "conv",
         "y = matmul(W.reshape(n_out, -1), columns)",
         "y = matmul(W.swapaxes(2, 3).reshape(n_out, -1), columns)"),
        ("dx is averaged over the overlaps", "convolution", "conv", FOLDED,
         "padded[:, *window(i, j, stride, height, width)] += patches[:, i, j] / size**2",
         "1/4 x"),
        ("the bias gradient is averaged over the places", "convolution", "conv",
         "self.db = dy.reshape(len(dy), -1).sum(axis=1)",
         "self.db = dy.sum(axis=3).mean(axis=(1, 2))", "1/4 x"),
        ("the bias gradient is averaged over the images", "convolution", "conv",
         "self.db = dy.reshape(len(dy), -1).sum(axis=1)",
         "self.db = dy.sum(axis=(1, 2)).mean(axis=1)", "1/6 x"),
        ("argmax is flattened column by column", "pooling", "conv", POOLED,
         "argmax[(candidate > y) | np.isnan(candidate)] = j * size + i"),
        ("average pooling forward", "pooling", "conv", "return y, argmax",
         "return sum(x[:, :, *window(i, j, stride, height, width)]\n"
         "               for i, j in np.ndindex(size, size)) / size**2, argmax"),
        ("minimum in place of maximum", "pooling", "conv", "np.maximum(y, candidate, out=y)",
         "np.minimum(y, candidate, out=y)"),
        ("overlapping windows overwrite each other", "pooling", "conv", ADD,
         "dx[:, :, *pixels] = np.where(argmax == n, dy, dx[:, :, *pixels])"),
        ("flatten goes through images first", "pooling", "conv",
         "return x.reshape(len(x), math.prod(x.shape[1:]))",
         "return x.reshape(math.prod(x.shape[1:]), len(x)).T"),
        # Adam
        ("t starts at 0", "adam", "optim", "1 - beta ** int(self.steps)",
         "1 - beta ** (int(self.steps) - 1)"),
        ("no root of the second moment", "adam", "optim", "np.sqrt(v) / sqrt_correction2",
         "v / sqrt_correction2"),
        ("the correction is multiplied", "adam", "optim", "self.lr / correction1",
         "self.lr * correction1", "a step of 1/100 x"),
        ("t counts parameters", "adam", "optim",
         "self.update(p, g, m, v, step_size", "self.steps += 1\n            "
         "self.update(p, g, m, v, step_size"),
        ("eps is 1e-7", "adam", "optim", "/ sqrt_correction2 + eps)",
         "/ sqrt_correction2 + 10 * eps)"),
        ("g in place of g²", "adam", "optim", "v += (1 - beta2) * (g * g)",
         "v += (1 - beta2) * np.abs(g)"),
        # what a GAN needs
        ("the slope is that of the positive side", "gan_parts", "activations",
         "return np.maximum(x, x.dtype.type(self.slope) * x)",
         "return np.minimum(x, x.dtype.type(self.slope) * x)"),
        ("tanh's derivative is that of the sigmoid", "gan_parts", "activations",
         "return dy * (1 - self.y * self.y)", "return dy * self.y * (1 - self.y)"),
        ("the targets are exchanged in the gradient", "gan_parts", "losses", BCE,
         "dlogits = (sigmoid(logits) - (1 - targets)) / logits.size"),
        ("the targets are exchanged in the loss", "gan_parts", "losses", COSTS,
         COSTS.replace("- targets * logits", "- (1 - targets) * logits")),
        ("the binary loss is summed", "gan_parts", "losses", "return costs.mean(), dlogits",
         "return costs.sum(), dlogits", "6 x"),
        ("a gradient of probabilities", "gan_parts", "losses", BCE,
         "p = sigmoid(logits)\n    dlogits = (p - targets) * p * (1 - p) / logits.size"),
        # the steps of a GAN
        ("the fakes are labelled 0.1", "gan_steps", "gan",
         "return x, is_real[:, None].astype(x.dtype)",
         "return x, np.maximum(is_real[:, None].astype(x.dtype), 0.1)"),
        ("the discriminator's learning rate is the generator's", "gan_steps", "gan",
         "Adam(discriminator, discriminator_lr,", "Adam(discriminator, lr,"),
    )
)  # fmt: skip
