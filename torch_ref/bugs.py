"""The classic mistakes, each as the line of scratchnet it stands in and the line it would be.

Most of them train. Many read over 90 % of the digits, and a few as many as the right network: a
loss that falls and an accuracy that rises prove little. `zoo` says how much.
"""

from typing import NamedTuple


class Bug(NamedTuple):
    """A mistake: in `file`, every pair (right, wrong) of texts is exchanged."""

    name: str
    file: str
    edits: tuple  # of (right, wrong); each right text stands in the file exactly once

    @property
    def model(self):
        """The network that the mistake is about, by its name in `scratchnet.models`."""
        return "cnn" if self.file in ("conv.py", "cnn.py") else "mlp"


def _bug(name, file, *texts):
    return Bug(name, file, tuple(zip(texts[::2], texts[1::2], strict=True)))


# The lines that several mistakes have in common.
RELU_BACK = "return dy * self.on  # (B,O)"
DW = "self.dW = self.matmul(self.x.T, dy)"
DB = "self.db = dy.sum(axis=0)  # (B,O) -> (O,)"
DX = "return self.matmul(dy, self.W.T) if need_dx else None"
SHIFT = "shifted = logits - logits.max(axis=1, keepdims=True)"
ONEHOT = "dlogits[images, labels] -= 1"
MEAN = "dlogits /= n_images"
LOSS = "loss = (np.log(total[:, 0]) - shifted[images, labels]).mean()"
ORDER = "order = shuffled(len(x), seed=seed, epoch=epoch)"
FIRSTS = "range(start * batch_size, len(x), batch_size)"
PIXELS = "x = images.reshape("
PRODUCT = "y = matmul(W.reshape(n_out, -1), columns)"
DKERNEL = "return dW.T.reshape(n_out, *kernel)"
DBIAS = "self.db = dy.reshape(len(dy), -1).sum(axis=1)"
DPATCHES = "dpatches = matmul(W.reshape(n_out, -1).T, dy)"
ADDED = "+= patches[:, i, j]"
INNER = "inner = padded[:, padding : padding + H, padding : padding + W]"
ROUTE = "np.where(choice == n, dy, dy.dtype.type(0))"

BUGS = (
    _bug("ReLU's slope at 0 is 1", "layers.py", "~(x <= 0)", "~(x < 0)"),
    _bug(
        "ReLU's mask is taken from the gradient",
        "layers.py",
        *(RELU_BACK, "return np.where(dy <= 0, dy.dtype.type(0), dy)"),
    ),
    _bug("ReLU lets every gradient through", "layers.py", RELU_BACK, "return dy"),
    _bug(
        "ReLU leaks in the backward pass only",
        "layers.py",
        *(RELU_BACK, "return dy * np.maximum(self.on, dy.dtype.type(0.01))"),
    ),
    _bug("A ReLU follows the logits", "network.py", "(layers[:-1])", "(layers)"),
    _bug(
        "Activations of the batch before",
        "layers.py",
        *("self.x = x\n", 'self.x, self.last = getattr(self, "last", x), x\n'),
    ),
    _bug(
        "The bias is not added",
        "layers.py",
        *("y += self.b  # (B,O) + (O,) -> (B,O)", "pass"),
    ),
    _bug(
        "The products are in single precision",
        "layers.py",
        "y = self.matmul(x, self.W)",
        "y = self.matmul(x.astype(np.float32), self.W.astype(np.float32)).astype(x.dtype)",
    ),
    _bug(
        "The weight gradient is transposed",
        "layers.py",
        *(DW, "self.dW = self.matmul(dy.T, self.x).reshape(self.W.shape)"),
    ),
    _bug(
        "Gradients add up from batch to batch",
        "layers.py",
        *(DW, "self.dW = self.dW + self.matmul(self.x.T, dy)"),
        *(DB, "self.db = self.db + dy.sum(axis=0)"),
    ),
    _bug("The bias gradient is forgotten", "layers.py", DB, "self.db = np.zeros_like(self.b)"),
    _bug("The bias gradient is averaged", "layers.py", DB, "self.db = dy.mean(axis=0)"),
    _bug(
        "The bias gradient of the wrong layer",
        "layers.py",
        *(DB, "self.db = self.matmul(dy, self.W.T).sum(axis=0)[: len(self.b)]"),
    ),
    _bug(
        "The weights are reshaped where they should be transposed",
        "layers.py",
        *(DX, "return self.matmul(dy, self.W.reshape(self.W.shape[::-1])) if need_dx else None"),
    ),
    _bug(
        "The gradient flows through updated weights",
        "layers.py",
        *(DX, "return self.matmul(dy, (self.W - 0.1 * self.dW).T) if need_dx else None"),
    ),
    _bug(
        "Weights are updated during backward",
        "layers.py",
        *(DB, DB + "\n        self.W -= 0.1 * self.dW"),
    ),
    _bug(
        "The first layer gets no gradient",
        "network.py",
        *("self.layers[0].backward(dy, need_dx=False)", "pass"),
    ),
    _bug("The gradient lacks 1/N", "loss.py", MEAN, "pass"),
    _bug("Sum instead of mean", "loss.py", MEAN, "pass", LOSS, LOSS.replace("mean", "sum")),
    _bug("Divided by the wrong N: always 32", "loss.py", MEAN, "dlogits /= 32"),
    _bug("Divided by the number of classes", "loss.py", MEAN, "dlogits /= n_classes"),
    _bug("One maximum for the whole batch", "loss.py", SHIFT, "shifted = logits - logits.max()"),
    _bug(
        "The maximum is taken along the wrong axis",
        "loss.py",
        *(SHIFT, "shifted = logits - logits.max(axis=0, keepdims=True)"),
    ),
    _bug("No maximum is subtracted", "loss.py", SHIFT, "shifted = logits"),
    _bug(
        "One sum for the whole batch",
        "loss.py",
        *("total = exp.sum(axis=1, keepdims=True)", "total = exp.sum(keepdims=True)"),
    ),
    _bug("Softmax is applied twice", "loss.py", SHIFT, f"logits = softmax(logits)\n    {SHIFT}"),
    _bug(
        "The logarithm is kept from 0 by an epsilon",
        "loss.py",
        *(LOSS, "loss = -np.log(exp[images, labels] / total[:, 0] + 1e-7).mean()"),
    ),
    _bug("Labels are off by one", "loss.py", ONEHOT, "dlogits[images, labels - 1] -= 1"),
    _bug(
        "Momentum is applied to the weights",
        "optim.py",
        *("v *= self.momentum", "v[:] = self.momentum * p"),
    ),
    _bug("Momentum averages: v gets (1 - momentum) g", "optim.py", "v += g", "v += 0.5 * g"),
    _bug("Nesterov's momentum unasked", "optim.py", "g = v\n", "g = g + self.momentum * v\n"),
    _bug(
        "The learning rate is inside the velocity",
        "optim.py",
        *("v += g", "v += self.lr * g", "g = v\n", "g = v / self.lr\n"),
    ),
    _bug(
        "Weight decay is not in the gradient",
        "optim.py",
        *("g = g + self.weight_decay * p", "g = g + 0 * p"),
    ),
    _bug(
        "Weight decay grows the weights",
        "optim.py",
        *("g = g + self.weight_decay * p", "g = g - self.weight_decay * p"),
    ),
    _bug("The update makes a new array", "optim.py", "p -= self.lr * g", "p = p - self.lr * g"),
    _bug(
        "The last, smaller batch is dropped",
        "data.py",
        *(FIRSTS, "range(start * batch_size, len(x) - batch_size + 1, batch_size)"),
    ),
    _bug(
        "Batches are shuffled, but not what is in them",
        "data.py",
        ORDER,
        "order = shuffled(-(-len(x) // batch_size), seed=seed, epoch=epoch)\n"
        "    order = (order[:, None] * batch_size + np.arange(batch_size)).ravel()\n"
        "    order = order[order < len(x)]",
    ),
    _bug(
        "The same order in every epoch",
        "data.py",
        *(ORDER, "order = shuffled(len(x), seed=seed, epoch=1)"),
    ),
    _bug(
        "Images are drawn with replacement",
        "data.py",
        *(ORDER, "order = np.random.default_rng((seed, epoch)).integers(len(x), size=len(x))"),
    ),
    _bug(
        "Images are shuffled, labels are not",
        "data.py",
        *("yield x[chosen], labels[chosen]", "yield x[chosen], labels[first : first + batch_size]"),
    ),
    _bug("Pixels are left in 0..255", "data.py", "x /= 255", "pass"),
    _bug("Pixels are divided by 256", "data.py", "x /= 255", "x /= 256"),
    _bug(
        "Images are read column by column",
        "data.py",
        *(PIXELS, "x = images.swapaxes(1, 2).reshape("),
    ),
    _bug(
        "Kernels are flipped going forward",
        "conv.py",
        *(PRODUCT, "y = matmul(W[:, :, ::-1, ::-1].reshape(n_out, -1), columns)"),
    ),
    _bug(
        "Kernels are flipped going back",
        "conv.py",
        *(DPATCHES, "dpatches = matmul(W[:, :, ::-1, ::-1].reshape(n_out, -1).T, dy)"),
    ),
    _bug(
        "The padding is off by one",
        "conv.py",
        "padded[:, padding : padding + H, padding : padding + W] =",
        "padded[:, padding - 1 : padding - 1 + H, padding : padding + W] =",
    ),
    _bug(
        "Images are padded with ones",
        "conv.py",
        "padded = np.zeros((C, H + 2 * padding, W + 2 * padding, B), x.dtype)",
        "padded = np.ones((C, H + 2 * padding, W + 2 * padding, B), x.dtype)",
    ),
    _bug("The padding is not cut off again", "conv.py", INNER, "inner = padded[:, :H, :W]"),
    _bug("Overlapping patches overwrite each other", "conv.py", ADDED, "= patches[:, i, j]"),
    _bug(
        "Rows and columns of a kernel are exchanged going back",
        "conv.py",
        *(ADDED, "+= patches[:, j, i]"),
    ),
    _bug(
        "The gradient of a kernel is reshaped where it should be transposed",
        "conv.py",
        *(DKERNEL, "return dW.reshape(n_out, *kernel)"),
    ),
    _bug(
        "The gradient of a kernel is averaged over its places",
        "conv.py",
        *(DKERNEL, "return dW.T.reshape(n_out, *kernel) / (where[0] * where[1])"),
    ),
    _bug(
        "The bias gradient is summed over images, not places",
        "conv.py",
        *(DBIAS, "self.db = dy[:, 0, 0].sum(axis=1)"),
    ),
    _bug(
        "The gradient goes to all equal maxima",
        "conv.py",
        ROUTE,
        "dy * (x[:, :, *pixels] == np.take_along_axis(np.stack([x[:, :, *window(*at, stride, "
        "*dy.shape[2:])] for at in np.ndindex(size, size)]), choice[None].astype(int), 0)[0])",
    ),
    _bug(
        "The gradient goes to the last of equal maxima",
        "conv.py",
        *("(candidate > y)", "(candidate >= y)"),
    ),
    _bug(
        "The gradient goes to the neighbour of the maximum",
        "conv.py",
        *(ROUTE, "np.where(choice == n ^ 1, dy, 0)"),
    ),
    _bug(
        "The gradient of a maximum is spread like that of a mean",
        "conv.py",
        *(ROUTE, "dy / size**2"),
    ),
    _bug(
        "Channels come last where they should come first",
        "conv.py",
        "return x.reshape(len(x), math.prod(x.shape[1:]))",
        "return x.swapaxes(1, -1).reshape(len(x), math.prod(x.shape[1:]))",
    ),
    _bug(
        "Rows and columns of the images are exchanged",
        "cnn.py",
        "x.reshape(len(x), *self.image)",
        "x.reshape(len(x), *self.image).swapaxes(2, 3)",
    ),
)
