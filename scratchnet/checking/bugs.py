"""The classic mistakes, each as the line of scratchnet it stands in and the line it would be.

Most of them train. Many read over 90 % of the digits, and a few as many as the right network: a
loss that falls and an accuracy that rises prove little.
"""

from typing import NamedTuple


class Bug(NamedTuple):
    """A mistake: in `file`, every pair (right, wrong) of texts is exchanged."""

    name: str
    model: str  # what has to be trained to see the mistake, by its name in `planting.build`
    file: str
    edits: tuple  # of (right, wrong); each right text stands in the file exactly once


def _bug(name, model, file, *texts):
    return Bug(name, model, file, tuple(zip(texts[::2], texts[1::2], strict=True)))


# The lines that several mistakes have in common.
RELU_BACK = "return dy * self.mask  # (B,O)"
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
ROUTE = "np.where(argmax == n, dy, dy.dtype.type(0))"

LEAK = "return dy * np.maximum(self.mask, dy.dtype.type(self.slope))"
COSTS = "costs = np.maximum(logits, 0) - targets * logits + np.log1p(np.exp(-np.abs(logits)))"
DBINARY = "dlogits = (sigmoid(logits) - targets) / logits.size"
SQUARE = "v += (1 - beta2) * (g * g)"
UPDATE = "p -= step_size * m / (np.sqrt(v) / sqrt_correction2 + eps)"
DECEIVE = (
    "batch = generator_batch(noise)  # (B,Z), (B,1)\n"
    "        return train_step(self.combined, self.generator_adam, *batch)"
)
PIXEL = "padded[c, i + stride * h, j + stride * w, b] += patches["

BUGS = (
    _bug("ReLU's slope at 0 is 1", "mlp", "nn/layers.py", "~(x <= 0)", "~(x < 0)"),
    _bug(
        "ReLU's mask is taken from the gradient",
        "mlp",
        "nn/layers.py",
        *(RELU_BACK, "return np.where(dy <= 0, dy.dtype.type(0), dy)"),
    ),
    _bug("ReLU lets every gradient through", "mlp", "nn/layers.py", RELU_BACK, "return dy"),
    _bug(
        "ReLU leaks in the backward pass only",
        "mlp",
        "nn/layers.py",
        *(RELU_BACK, "return dy * np.maximum(self.mask, dy.dtype.type(0.01))"),
    ),
    _bug("A ReLU follows the logits", "mlp", "nn/network.py", "(layers[:-1])", "(layers)"),
    _bug(
        "Activations of the batch before",
        "mlp",
        "nn/layers.py",
        *("self.x = x\n", 'self.x, self.last = getattr(self, "last", x), x\n'),
    ),
    _bug(
        "The bias is not added",
        "mlp",
        "nn/layers.py",
        *("y += self.b  # (B,O) + (O,) -> (B,O)", "pass"),
    ),
    _bug(
        "The products are in single precision",
        "mlp",
        "nn/layers.py",
        "y = self.matmul(x, self.W)",
        "y = self.matmul(x.astype(np.float32), self.W.astype(np.float32)).astype(x.dtype)",
    ),
    _bug(
        "The weight gradient is transposed",
        "mlp",
        "nn/layers.py",
        *(DW, "self.dW = self.matmul(dy.T, self.x).reshape(self.W.shape)"),
    ),
    _bug(
        "Gradients add up from batch to batch",
        "mlp",
        "nn/layers.py",
        *(DW, "self.dW = self.dW + self.matmul(self.x.T, dy)"),
        *(DB, "self.db = self.db + dy.sum(axis=0)"),
    ),
    _bug(
        "The bias gradient is forgotten",
        "mlp",
        "nn/layers.py",
        DB,
        "self.db = np.zeros_like(self.b)",
    ),
    _bug("The bias gradient is averaged", "mlp", "nn/layers.py", DB, "self.db = dy.mean(axis=0)"),
    _bug(
        "The bias gradient of the wrong layer",
        "mlp",
        "nn/layers.py",
        *(DB, "self.db = self.matmul(dy, self.W.T).sum(axis=0)[: len(self.b)]"),
    ),
    _bug(
        "The weights are reshaped where they should be transposed",
        "mlp",
        "nn/layers.py",
        *(DX, "return self.matmul(dy, self.W.reshape(self.W.shape[::-1])) if need_dx else None"),
    ),
    _bug(
        "The gradient flows through updated weights",
        "mlp",
        "nn/layers.py",
        *(DX, "return self.matmul(dy, (self.W - 0.1 * self.dW).T) if need_dx else None"),
    ),
    _bug(
        "Weights are updated during backward",
        "mlp",
        "nn/layers.py",
        *(DB, DB + "\n        self.W -= 0.1 * self.dW"),
    ),
    _bug(
        "The first layer gets no gradient",
        "mlp",
        "nn/network.py",
        *("self.layers[0].backward(dy, need_dx=False)", "pass"),
    ),
    _bug("The gradient lacks 1/N", "mlp", "nn/losses.py", MEAN, "pass"),
    _bug(
        "Sum instead of mean",
        "mlp",
        "nn/losses.py",
        MEAN,
        "pass",
        LOSS,
        LOSS.replace("mean", "sum"),
    ),
    _bug("Divided by the wrong N: always 32", "mlp", "nn/losses.py", MEAN, "dlogits /= 32"),
    _bug("Divided by the number of classes", "mlp", "nn/losses.py", MEAN, "dlogits /= n_classes"),
    _bug(
        "One maximum for the whole batch",
        "mlp",
        "nn/losses.py",
        SHIFT,
        "shifted = logits - logits.max()",
    ),
    _bug(
        "The maximum is taken along the wrong axis",
        "mlp",
        "nn/losses.py",
        *(SHIFT, "shifted = logits - logits.max(axis=0, keepdims=True)"),
    ),
    _bug("No maximum is subtracted", "mlp", "nn/losses.py", SHIFT, "shifted = logits"),
    _bug(
        "One sum for the whole batch",
        "mlp",
        "nn/losses.py",
        *("total = exp.sum(axis=1, keepdims=True)", "total = exp.sum(keepdims=True)"),
    ),
    _bug(
        "Softmax is applied twice",
        "mlp",
        "nn/losses.py",
        SHIFT,
        f"logits = softmax(logits)\n    {SHIFT}",
    ),
    _bug(
        "The logarithm is kept from 0 by an epsilon",
        "mlp",
        "nn/losses.py",
        *(LOSS, "loss = -np.log(exp[images, labels] / total[:, 0] + 1e-7).mean()"),
    ),
    _bug(
        "Labels are off by one", "mlp", "nn/losses.py", ONEHOT, "dlogits[images, labels - 1] -= 1"
    ),
    _bug(
        "Momentum is applied to the weights",
        "mlp",
        "nn/optim.py",
        *("v *= self.momentum", "v[:] = self.momentum * p"),
    ),
    _bug(
        "Momentum averages: v gets (1 - momentum) g", "mlp", "nn/optim.py", "v += g", "v += 0.5 * g"
    ),
    _bug(
        "Nesterov's momentum unasked",
        "mlp",
        "nn/optim.py",
        "g = v\n",
        "g = g + self.momentum * v\n",
    ),
    _bug(
        "The learning rate is inside the velocity",
        "mlp",
        "nn/optim.py",
        *("v += g", "v += self.lr * g", "g = v\n", "g = v / self.lr\n"),
    ),
    _bug(
        "Weight decay is not in the gradient",
        "mlp",
        "nn/optim.py",
        *("g = g + self.weight_decay * p", "g = g + 0 * p"),
    ),
    _bug(
        "Weight decay grows the weights",
        "mlp",
        "nn/optim.py",
        *("g = g + self.weight_decay * p", "g = g - self.weight_decay * p"),
    ),
    _bug(
        "The update makes a new array",
        "mlp",
        "nn/optim.py",
        "p -= self.lr * g",
        "p = p - self.lr * g",
    ),
    _bug(
        "The last, smaller batch is dropped",
        "mlp",
        "data/batches.py",
        *(FIRSTS, "range(start * batch_size, len(x) - batch_size + 1, batch_size)"),
    ),
    _bug(
        "Batches are shuffled, but not what is in them",
        "mlp",
        "data/batches.py",
        ORDER,
        "order = shuffled(-(-len(x) // batch_size), seed=seed, epoch=epoch)\n"
        "    order = (order[:, None] * batch_size + np.arange(batch_size)).ravel()\n"
        "    order = order[order < len(x)]",
    ),
    _bug(
        "The same order in every epoch",
        "mlp",
        "data/batches.py",
        *(ORDER, "order = shuffled(len(x), seed=seed, epoch=1)"),
    ),
    _bug(
        "Images are drawn with replacement",
        "mlp",
        "data/batches.py",
        *(ORDER, "order = np.random.default_rng((seed, epoch)).integers(len(x), size=len(x))"),
    ),
    _bug(
        "Images are shuffled, labels are not",
        "mlp",
        "data/batches.py",
        *("yield x[chosen], labels[chosen]", "yield x[chosen], labels[first : first + batch_size]"),
    ),
    _bug("Pixels are left in 0..255", "mlp", "data/batches.py", "x /= 255", "pass"),
    _bug("Pixels are divided by 256", "mlp", "data/batches.py", "x /= 255", "x /= 256"),
    _bug(
        "Images are read column by column",
        "mlp",
        "data/batches.py",
        *(PIXELS, "x = images.swapaxes(1, 2).reshape("),
    ),
    _bug(
        "Kernels are flipped going forward",
        "cnn",
        "nn/conv.py",
        *(PRODUCT, "y = matmul(W[:, :, ::-1, ::-1].reshape(n_out, -1), columns)"),
    ),
    _bug(
        "Kernels are flipped going back",
        "cnn",
        "nn/conv.py",
        *(DPATCHES, "dpatches = matmul(W[:, :, ::-1, ::-1].reshape(n_out, -1).T, dy)"),
    ),
    _bug(
        "The padding is off by one",
        "cnn",
        "nn/conv.py",
        "padded[:, padding : padding + H, padding : padding + W] =",
        "padded[:, padding - 1 : padding - 1 + H, padding : padding + W] =",
    ),
    _bug(
        "Images are padded with ones",
        "cnn",
        "nn/conv.py",
        "padded = np.zeros((C, H + 2 * padding, W + 2 * padding, B), x.dtype)",
        "padded = np.ones((C, H + 2 * padding, W + 2 * padding, B), x.dtype)",
    ),
    _bug(
        "The padding is not cut off again", "cnn", "nn/conv.py", INNER, "inner = padded[:, :H, :W]"
    ),
    _bug(
        "Overlapping patches overwrite each other", "cnn", "nn/conv.py", ADDED, "= patches[:, i, j]"
    ),
    _bug(
        "Rows and columns of a kernel are exchanged going back",
        "cnn",
        "nn/conv.py",
        *(ADDED, "+= patches[:, j, i]"),
    ),
    _bug(
        "The gradient of a kernel is reshaped where it should be transposed",
        "cnn",
        "nn/conv.py",
        *(DKERNEL, "return dW.reshape(n_out, *kernel)"),
    ),
    _bug(
        "The gradient of a kernel is averaged over its places",
        "cnn",
        "nn/conv.py",
        *(DKERNEL, "return dW.T.reshape(n_out, *kernel) / (where[0] * where[1])"),
    ),
    _bug(
        "The bias gradient is summed over images, not places",
        "cnn",
        "nn/conv.py",
        *(DBIAS, "self.db = dy[:, 0, 0].sum(axis=1)"),
    ),
    _bug(
        "The gradient goes to all equal maxima",
        "cnn",
        "nn/conv.py",
        ROUTE,
        "dy * (x[:, :, *pixels] == np.take_along_axis(np.stack([x[:, :, *window(*at, stride, "
        "*dy.shape[2:])] for at in np.ndindex(size, size)]), argmax[None].astype(int), 0)[0])",
    ),
    _bug(
        "The gradient goes to the last of equal maxima",
        "cnn",
        "nn/conv.py",
        *("(candidate > y)", "(candidate >= y)"),
    ),
    _bug(
        "The gradient goes to the neighbour of the maximum",
        "cnn",
        "nn/conv.py",
        *(ROUTE, "np.where(argmax == n ^ 1, dy, 0)"),
    ),
    _bug(
        "The gradient of a maximum is spread like that of a mean",
        "cnn",
        "nn/conv.py",
        *(ROUTE, "dy / size**2"),
    ),
    _bug(
        "Channels come last where they should come first",
        "cnn",
        "nn/conv.py",
        "return x.reshape(len(x), math.prod(x.shape[1:]))",
        "return x.swapaxes(1, -1).reshape(len(x), math.prod(x.shape[1:]))",
    ),
    _bug(
        "Rows and columns of the images are exchanged",
        "cnn",
        "nn/cnn.py",
        "x.reshape(len(x), *self.image)",
        "x.reshape(len(x), *self.image).swapaxes(2, 3)",
    ),
    _bug(
        "Compiled, overlapping patches overwrite each other",
        "compiled cnn",
        "kernels/conv_ops.py",
        *(PIXEL, PIXEL.replace("+=", "=")),
    ),
    _bug(
        "Compiled, the last of equal maxima counts",
        "compiled cnn",
        "kernels/conv_ops.py",
        *("(candidate > best)", "(candidate >= best)"),
    ),
    _bug(
        "Compiled, the gradient goes to the neighbour of the maximum",
        "compiled cnn",
        "kernels/conv_ops.py",
        *("if argmax[c, h, w, b] == n else 0", "if argmax[c, h, w, b] == n ^ 1 else 0"),
    ),
    _bug(
        "Without patches, the kernels are not turned going back",
        "direct cnn",
        "kernels/implicit_gemm.py",
        *("W[:, :, ::-1, ::-1].swapaxes(0, 1)", "W.swapaxes(0, 1)"),
    ),
    _bug(
        "LeakyReLU's slope is forgotten going back", "gan", "nn/activations.py", LEAK, "return dy"
    ),
    _bug(
        "LeakyReLU leaks nothing going back",
        "gan",
        "nn/activations.py",
        LEAK,
        "return dy * self.mask",
    ),
    _bug(
        "LeakyReLU's mask is taken from the gradient",
        "gan",
        "nn/activations.py",
        *(LEAK, "return dy * np.maximum(dy > 0, dy.dtype.type(self.slope))"),
    ),
    _bug(
        "Tanh's slope is taken of x, not of y",
        "gan",
        "nn/activations.py",
        *("self.y = np.tanh(x)  # (B,N)", "self.x, self.y = x, np.tanh(x)  # (B,N)"),
        *("return dy * (1 - self.y * self.y)", "return dy * (1 - self.x * self.x)"),
    ),
    _bug(
        "Tanh's slope lacks the square",
        "gan",
        "nn/activations.py",
        *("return dy * (1 - self.y * self.y)", "return dy * (1 - self.y)"),
    ),
    _bug(
        "The gradient of the binary loss lacks 1/N",
        "gan",
        "nn/losses.py",
        *(DBINARY, "dlogits = sigmoid(logits) - targets"),
    ),
    _bug(
        "The gradient of the binary loss has the opposite sign",
        "gan",
        "nn/losses.py",
        *(DBINARY, "dlogits = (targets - sigmoid(logits)) / logits.size"),
    ),
    _bug(
        "The logarithms of the binary loss are kept from 0 by an epsilon",
        "gan",
        "nn/losses.py",
        COSTS,
        "p = sigmoid(logits)\n"
        "    costs = -targets * np.log(p + 1e-7) - (1 - targets) * np.log(1 - p + 1e-7)",
    ),
    _bug(
        "Adam does not make up for the start at 0",
        "gan",
        "nn/optim.py",
        *(
            "step_size, sqrt_correction2 = self.lr / correction1, math.sqrt(correction2)",
            "step_size, sqrt_correction2 = self.lr, 1.0",
        ),
    ),
    _bug(
        "Adam's eps is inside the root",
        "gan",
        "nn/optim.py",
        *(UPDATE, "p -= step_size * m / np.sqrt(v / sqrt_correction2**2 + eps)"),
    ),
    _bug("Adam squares the mean", "gan", "nn/optim.py", SQUARE, SQUARE.replace("g * g", "m * m")),
    _bug(
        "Adam's betas are exchanged",
        "gan",
        "nn/optim.py",
        *("beta1, beta2 = betas", "beta2, beta1 = betas"),
    ),
    _bug(
        "Adam's steps are not counted on",
        "gan",
        "nn/optim.py",
        "self.steps += 1",
        "self.steps[...] = 1",
    ),
    _bug("Real and fake are exchanged", "gan", "nn/gan.py", "< len(real)", ">= len(real)"),
    _bug(
        "The discriminator is shown fakes only",
        "gan",
        "nn/gan.py",
        *("np.concatenate([real, fakes])", "np.concatenate([fakes, fakes])"),
    ),
    _bug(
        "The generator wishes to be found out",
        "gan",
        "nn/gan.py",
        *("np.ones((len(noise), 1), noise.dtype)", "np.zeros((len(noise), 1), noise.dtype)"),
    ),
    _bug(
        "The generator descends log(1 - D), flat where it fails",
        "gan",
        "nn/gan.py",
        DECEIVE,
        "noise, targets = generator_batch(noise)\n"
        "        loss, dlogits = binary_cross_entropy(self.combined.forward(noise), 1 - targets)\n"
        "        self.combined.backward(-dlogits)\n"
        "        self.generator_adam.step()\n"
        "        return -loss",
    ),
    _bug(
        "The generator's optimiser moves the discriminator, too",
        "gan",
        "nn/gan.py",
        *("Adam(generator, lr, betas,", "Adam(self.combined, lr, betas,"),
    ),
    _bug(
        "The discriminator's step is taken by the generator's optimiser",
        "gan",
        "nn/gan.py",
        *(
            "train_step(self.discriminator, self.discriminator_adam,",
            "train_step(self.discriminator, self.generator_adam,",
        ),
    ),
    _bug(
        "Compiled, Adam takes the gradient for its mean",
        "compiled gan",
        "kernels/adam.py",
        *("p[i] -= step_size * m[i] /", "p[i] -= step_size * g[i] /"),
    ),
)
