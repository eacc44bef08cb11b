"""The catalogue of bugs: the classic mistakes, each as a patch of scratchnet.

Most of them train. Many reach an accuracy over 90 %, and a few that of the right network: a loss
that falls and an accuracy that rises prove little. Those of kernels, engines and commands stand in
`kernel_bugs`.
"""

import re
from typing import NamedTuple

from scratchnet.checking import kernel_bugs

# Under [model: file] the bugs of a file: the name, then - the right text and + the wrong one, once
# or more often. Each right text stands in the file exactly once.
CATALOGUE = """
[mlp: nn/layers.py]
ReLU's gradient at 0 is 1
    - ~(x <= 0)
    + ~(x < 0)
ReLU's mask is taken from the gradient
    - return dy * self.mask  # (B,O)
    + return np.where(dy <= 0, dy.dtype.type(0), dy)
ReLU lets every gradient through
    - return dy * self.mask  # (B,O)
    + return dy
ReLU leaks in the backward pass only
    - return dy * self.mask  # (B,O)
    + return dy * np.maximum(self.mask, dy.dtype.type(0.01))

[mlp: nn/network.py]
A ReLU follows the logits
    - (layers[:-1])
    + (layers)

[mlp: nn/layers.py]
Activations of the batch before
    - self.x = x
    + self.x, self.last = getattr(self, "last", x), x
The bias is not added
    - y += self.b  # (B,O) + (O,) -> (B,O)
    + pass
The products are in single precision
    - y = self.matmul(x, self.W)
    + y = self.matmul(x.astype(np.float32), self.W.astype(np.float32)).astype(x.dtype)
The weight gradient is transposed
    - self.dW = self.matmul(self.x.T, dy)
    + self.dW = self.matmul(dy.T, self.x).reshape(self.W.shape)
Gradients add up from batch to batch
    - self.dW = self.matmul(self.x.T, dy)
    + self.dW = self.dW + self.matmul(self.x.T, dy)
    - self.db = dy.sum(axis=0)  # (B,O) -> (O,)
    + self.db = self.db + dy.sum(axis=0)
The bias gradient is forgotten
    - self.db = dy.sum(axis=0)  # (B,O) -> (O,)
    + self.db = np.zeros_like(self.b)
The bias gradient is averaged
    - self.db = dy.sum(axis=0)  # (B,O) -> (O,)
    + self.db = dy.mean(axis=0)
The bias gradient of the wrong layer
    - self.db = dy.sum(axis=0)  # (B,O) -> (O,)
    + self.db = self.matmul(dy, self.W.T).sum(axis=0)[: len(self.b)]
The weights are reshaped where they should be transposed
    - return self.matmul(dy, self.W.T) if need_dx else None
    + return self.matmul(dy, self.W.reshape(self.W.shape[::-1])) if need_dx else None
The gradient flows through updated weights
    - return self.matmul(dy, self.W.T) if need_dx else None
    + return self.matmul(dy, (self.W - 0.1 * self.dW).T) if need_dx else None
Weights are updated during backward
    - self.db = dy.sum(axis=0)  # (B,O) -> (O,)
    + self.db = dy.sum(axis=0)  # (B,O) -> (O,)
    +         self.W -= 0.1 * self.dW

[mlp: nn/network.py]
The first layer gets no gradient
    - self.layers[0].backward(dy, need_dx=False)
    + pass

[mlp: nn/losses.py]
The gradient lacks 1/N
    - dlogits /= n_images
    + pass
Sum instead of mean
    - dlogits /= n_images
    + pass
    - loss = (np.log(total[:, 0]) - shifted[images, labels]).mean()
    + loss = (np.log(total[:, 0]) - shifted[images, labels]).sum()
Divided by the wrong N: always 32
    - dlogits /= n_images
    + dlogits /= 32
Divided by the number of classes
    - dlogits /= n_images
    + dlogits /= n_classes
One maximum for the whole batch
    - shifted = logits - logits.max(axis=1, keepdims=True)
    + shifted = logits - logits.max()
The maximum is taken along the wrong axis
    - shifted = logits - logits.max(axis=1, keepdims=True)
    + shifted = logits - logits.max(axis=0, keepdims=True)
No maximum is subtracted
    - shifted = logits - logits.max(axis=1, keepdims=True)
    + shifted = logits
One sum for the whole batch
    - total = exp.sum(axis=1, keepdims=True)
    + total = exp.sum(keepdims=True)
Softmax is applied twice
    - shifted = logits - logits.max(axis=1, keepdims=True)
    + logits = softmax(logits)
    +     shifted = logits - logits.max(axis=1, keepdims=True)
The logarithm is kept from 0 by an epsilon
    - loss = (np.log(total[:, 0]) - shifted[images, labels]).mean()
    + loss = -np.log(exp[images, labels] / total[:, 0] + 1e-7).mean()
Labels are off by one
    - dlogits[images, labels] -= 1
    + dlogits[images, labels - 1] -= 1

[mlp: nn/optim.py]
Momentum is applied to the weights
    - v *= self.momentum
    + v[:] = self.momentum * p
Momentum averages: v gets (1 - momentum) g
    - v += g
    + v += (1 - self.momentum) * g
Nesterov momentum instead of classical momentum
    - g = v
    + g = g + self.momentum * v
The learning rate is inside the velocity
    - v += g
    + v += self.lr * g
    - g = v
    + g = v / self.lr
Weight decay is not in the gradient
    - g = g + self.weight_decay * p
    + g = g + 0 * p
Weight decay grows the weights
    - g = g + self.weight_decay * p
    + g = g - self.weight_decay * p
The update makes a new array
    - p -= self.lr * g
    + p = p - self.lr * g

[mlp: data/batches.py]
The last, smaller batch is dropped
    - range(start * batch_size, len(x), batch_size)
    + range(start * batch_size, len(x) - batch_size + 1, batch_size)
Batches are shuffled, but not what is in them
    - order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)
    -     for first in
    + order = shuffled(-(-len(x) // batch_size), seed=seed, epoch=epoch)
    +     order = (order[:, None] * batch_size + np.arange(batch_size)).ravel()
    +     order = order[order < len(x)]
    +     for first in
The same order in every epoch
    - order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)
    -     for first in
    + order = shuffled(len(x), seed=seed, epoch=1)
    +     for first in
Images are drawn with replacement
    - order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)
    -     for first in
    + order = np.random.default_rng((seed, epoch)).integers(len(x), size=len(x))
    +     for first in
Images are shuffled, labels are not
    - yield x[chosen], labels[chosen]
    + yield x[chosen], labels[first : first + batch_size]
Pixels are left in 0..255
    - x /= 255
    + pass
Pixels are divided by 256
    - x /= 255
    + x /= 256
Images are read column by column
    - x = images.reshape(
    + x = images.swapaxes(1, 2).reshape(

[cnn: nn/conv.py]
Kernels are flipped in the forward pass
    - y = matmul(W.reshape(n_out, -1), columns)
    + y = matmul(W[:, :, ::-1, ::-1].reshape(n_out, -1), columns)
Kernels are flipped in the backward pass
    - dpatches = matmul(W.reshape(n_out, -1).T, dy)
    + dpatches = matmul(W[:, :, ::-1, ::-1].reshape(n_out, -1).T, dy)
The padding is off by one
    - padded[:, padding : padding + H, padding : padding + W] =
    + padded[:, padding - 1 : padding - 1 + H, padding : padding + W] =
Images are padded with ones
    - padded = np.zeros((C, H + 2 * padding, W + 2 * padding, B), x.dtype)
    + padded = np.ones((C, H + 2 * padding, W + 2 * padding, B), x.dtype)
The padding is not cut off again
    - inner = padded[:, padding : padding + H, padding : padding + W]
    + inner = padded[:, :H, :W]
Overlapping patches overwrite each other
    - += patches[:, i, j]
    + = patches[:, i, j]
Rows and columns of a kernel are exchanged in the backward pass
    - += patches[:, i, j]
    + += patches[:, j, i]
The gradient of a kernel is reshaped where it should be transposed
    - return dW.T.reshape(n_out, *kernel)
    + return dW.reshape(n_out, *kernel)
The gradient of a kernel is averaged over its positions
    - return dW.T.reshape(n_out, *kernel)
    + return dW.T.reshape(n_out, *kernel) / (where[0] * where[1])
The bias gradient is summed over images, not positions
    - self.db = dy.reshape(len(dy), -1).sum(axis=1)
    + self.db = dy[:, 0, 0].sum(axis=1)
The gradient goes to all equal maxima
    - np.where(argmax == n, dy, dy.dtype.type(0))
    + dy * (x[:, :, *pixels] == np.take_along_axis(
    +     np.stack([x[:, :, *window(*at, stride, *dy.shape[2:])] for at in np.ndindex(size, size)]),
    +     argmax[None].astype(int), 0)[0])
The gradient goes to the last of equal maxima
    - (candidate > y)
    + (candidate >= y)
The gradient goes to the neighbour of the maximum
    - np.where(argmax == n, dy, dy.dtype.type(0))
    + np.where(argmax == n ^ 1, dy, 0)
The gradient of a maximum is spread like that of a mean
    - np.where(argmax == n, dy, dy.dtype.type(0))
    + dy / size**2
Channels come last where they should come first
    - return x.reshape(len(x), math.prod(x.shape[1:]))
    + return x.swapaxes(1, -1).reshape(len(x), math.prod(x.shape[1:]))

[cnn: nn/cnn.py]
Rows and columns of the images are exchanged
    - x.reshape(len(x), *self.image)
    + x.reshape(len(x), *self.image).swapaxes(2, 3)

[compiled cnn: kernels/conv_ops.py]
Compiled, overlapping patches overwrite each other
    - padded[c, i + stride * h, j + stride * w, b] += patches[
    + padded[c, i + stride * h, j + stride * w, b] = patches[
Compiled, the last of equal maxima counts
    - (candidate > best)
    + (candidate >= best)
Compiled, the gradient goes to the neighbour of the maximum
    - if argmax[c, h, w, b] == n else 0
    + if argmax[c, h, w, b] == n ^ 1 else 0

[direct cnn: kernels/implicit_gemm.py]
Implicit GEMM does not flip the kernels in the backward pass
    - W[:, :, ::-1, ::-1].swapaxes(0, 1)
    + W.swapaxes(0, 1)

[gan: nn/activations.py]
LeakyReLU's slope is forgotten in the backward pass
    - return dy * np.maximum(self.mask, dy.dtype.type(self.slope))
    + return dy
LeakyReLU leaks nothing in the backward pass
    - return dy * np.maximum(self.mask, dy.dtype.type(self.slope))
    + return dy * self.mask
LeakyReLU's mask is taken from the gradient
    - return dy * np.maximum(self.mask, dy.dtype.type(self.slope))
    + return dy * np.maximum(dy > 0, dy.dtype.type(self.slope))
Tanh's derivative uses x instead of y
    - self.y = np.tanh(x)  # (B,N)
    + self.x, self.y = x, np.tanh(x)  # (B,N)
    - return dy * (1 - self.y * self.y)
    + return dy * (1 - self.x * self.x)
Tanh's derivative lacks the square
    - return dy * (1 - self.y * self.y)
    + return dy * (1 - self.y)

[gan: nn/losses.py]
The gradient of the binary loss lacks 1/N
    - dlogits = (sigmoid(logits) - targets) / logits.size
    + dlogits = sigmoid(logits) - targets
The gradient of the binary loss has the opposite sign
    - dlogits = (sigmoid(logits) - targets) / logits.size
    + dlogits = (targets - sigmoid(logits)) / logits.size
The logarithms of the binary loss are kept from 0 by an epsilon
    - costs = np.maximum(logits, 0) - targets * logits + np.log1p(np.exp(-np.abs(logits)))
    + p = sigmoid(logits)
    +     costs = -targets * np.log(p + 1e-7) - (1 - targets) * np.log(1 - p + 1e-7)

[gan: nn/optim.py]
Adam without bias correction
    - step_size, sqrt_correction2 = self.lr / correction1, math.sqrt(correction2)
    + step_size, sqrt_correction2 = self.lr, 1.0
Adam's eps is inside the root
    - p -= step_size * m / (np.sqrt(v) / sqrt_correction2 + eps)
    + p -= step_size * m / np.sqrt(v / sqrt_correction2**2 + eps)
Adam's second moment averages m², not g²
    - v += (1 - beta2) * (g * g)
    + v += (1 - beta2) * (m * m)
Adam's betas are exchanged
    - beta1, beta2 = betas
    + beta2, beta1 = betas
Adam's step counter stays at 1
    - self.steps += 1
    + self.steps[...] = 1

[gan: nn/gan.py]
Real and fake are exchanged
    - < len(real)
    + >= len(real)
The discriminator is shown fakes only
    - np.concatenate([real, fakes])
    + np.concatenate([fakes, fakes])
The generator's targets are 0 instead of 1
    - np.ones((len(noise), 1), noise.dtype)
    + np.zeros((len(noise), 1), noise.dtype)
The generator minimises the saturating loss log(1 - D)
    - batch = generator_batch(noise)  # (B,Z), (B,1)
    -         return train_step(self.combined, self.generator_adam, *batch)
    + noise, targets = generator_batch(noise)
    +         loss, dlogits = binary_cross_entropy(self.combined.forward(noise), 1 - targets)
    +         self.combined.backward(-dlogits)
    +         self.generator_adam.step()
    +         return -loss
The generator's optimiser updates the discriminator, too
    - Adam(generator, lr, betas,
    + Adam(self.combined, lr, betas,
The discriminator's step is taken by the generator's optimiser
    - train_step(self.discriminator, self.discriminator_adam,
    + train_step(self.discriminator, self.generator_adam,

[compiled gan: kernels/adam.py]
Compiled, Adam steps along the gradient, not its first moment
    - p[i] -= step_size * m[i] /
    + p[i] -= step_size * g[i] /
"""


class Bug(NamedTuple):
    """A mistake: in `file`, every pair (right, wrong) of texts is exchanged."""

    name: str
    model: str  # what has to be trained to see the mistake, by its name in `planting.build`
    file: str
    edits: tuple  # of (right, wrong)

    def plant(self, source):
        """Return the text of the file with the mistake in it.

        Raises:
            ValueError: a right text does not stand in it exactly once.
        """
        for right, wrong in self.edits:
            if source.count(right) != 1:
                raise ValueError(f"{self.name!r}: {self.file} should hold {right!r} exactly once")
            source = source.replace(right, wrong)
        return source


def parse(catalogue):
    """Yield the Bugs of a catalogue."""
    for section in catalogue.strip().split("\n\n"):
        heading, patches = section.split("\n", 1)
        model, file = heading.strip("[]").split(": ")
        for name, patch in re.findall(r"^(\S.*)\n((?: .*\n?)+)", patches, re.MULTILINE):
            hunks = re.findall(r"((?: +- .*\n)+)((?: +\+ .*\n?)+)", patch)
            edits = tuple((_code(right), _code(wrong)) for right, wrong in hunks)
            yield Bug(name, model, file, edits)


def _code(lines):
    """The text that follows the sign on each of the lines."""
    return "\n".join(line[len("    - ") :] for line in lines.splitlines())


BUGS = (*parse(CATALOGUE), *parse(kernel_bugs.CATALOGUE))
