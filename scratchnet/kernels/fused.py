"""The fused epoch: network, batches and update of the layers in one compiled function.

    marks[i]  a bit mask of the pixels that are not 0          x[i, p]  images[i, p] / 255

    z1[i] = b1 + sum of x[i, p] W1[p] over set bits p    ──>  ReLU, products, softmax  ──> loss
    W1[p] -= lr * sum of x[i, p] dz1[i] over set bits i  <──  ReLU, products, p - onehot  <──'

What that saves, for 784-128-64-10 on MNIST in batches of 32, float32:

    multiply-adds     227,000 -> 65,000 an image    150 of 784 pixels are not 0; a bit for each,
                                                    set once, leads from one to the next, both ways
    bytes of weights  2.4 MB -> 0.5 MB a batch      no dW1 is written: a row of W1 is loaded, the
                                                    terms of -lr dW1 added in registers, and stored;
                                                    rows that meet only zeros are left alone
    bytes of images   3,136 -> 784 an image         pixels stay bytes; 256 quotients are a table
    calls             some forty a batch -> none    several hundred batches are one call

In the comments: N images, B images in a batch, I inputs and O outputs of a layer.
"""

import numpy as np
from numba import njit

from scratchnet.kernels.jit import compiled
from scratchnet.kernels.memory import aligned_zeros
from scratchnet.kernels.register_tile import (
    VECTOR_BYTES,
    addresses,
    at,
    load,
    lowest_bit,
    multiply_add,
    store,
    zeros,
)
from scratchnet.kernels.simd import accumulate
from scratchnet.nn.losses import check_labels

WORD = 64  # bits, for as many pixels or images
VECTORS = 8
# Multiply-adds between two looks at the clock and at Ctrl-C: some hundredths of a second.
AT_ONCE = 1_000_000_000


class FusedEngine:
    """Trains an MLP on images uint8 (N, ...) as `scratchnet.training.epoch.train_epoch` does.

    The network and the optimiser stay what they are; their arrays move into one piece of memory, so
    that the compiled function is the same for every number of layers.
    """

    def __init__(self, network, optimiser, images, labels, batch_size):
        """Compile, or load the code; ValueError for anything that it could not handle."""
        weights = [layer.W for layer in network.parametric_layers]
        self.sizes = np.array([len(weights[0]), *(W.shape[1] for W in weights)])
        self.dtype = weights[0].dtype
        n_images, n_inputs = len(images), images[:1].size
        if images.dtype != np.uint8 or labels.shape != (n_images,) or n_images == 0:
            raise ValueError(
                f"images uint8 (N, ...) and labels (N,) with N of at least 1 are needed, "
                f"not {images.dtype} {images.shape} and {labels.shape}"
            )
        if n_inputs != self.sizes[0]:
            raise ValueError(f"images of {n_inputs} pixels, a network for {self.sizes[0]}")
        check_labels(labels, self.sizes[-1])
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"the network must be of float32 or float64, not {self.dtype}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")

        self.optimiser = optimiser
        self.batch_size = min(batch_size, n_images)
        self.labels = labels.astype(np.int64)  # (N,)
        self.show(images)
        # Computed in float32 whatever the dtype, as data.to_unit_interval does.
        self.unit = (np.arange(256, dtype=np.float32) / 255).astype(self.dtype)[None]  # (1,256)
        self.parameters, self.velocities = move_together(network, optimiser)
        # For a batch: its images and marks, the outputs of the layers, and their gradients.
        self.batch = self.images[: self.batch_size].copy(), self.marks[: self.batch_size].copy()
        self.outputs, self.gradients = (
            aligned_zeros((self.batch_size * self.sizes[1:].sum(),), self.dtype) for _ in range(2)
        )
        self.train(np.arange(0))  # no batch: compiles

    def show(self, images):
        """Train on these images from now on, uint8 (N, ...) of the labels it has; or ValueError."""
        if images.dtype != np.uint8:
            raise ValueError(f"images must be uint8, not {images.dtype}")
        # Writable, since to Numba read-only arrays are another type, with another compilation.
        shape = len(self.labels), self.sizes[0]
        self.images = np.require(images.reshape(shape), None, "CW")  # (N,I)
        self.marks = mark(self.images)

    def chunks(self, order):
        """Cut the order of an epoch into pieces, each a number of whole batches, for `train`."""
        multiply_adds = 3 * self.batch_size * len(self.parameters)
        length = self.batch_size * max(1, AT_ONCE // multiply_adds)
        return [order[first : first + length] for first in range(0, len(order), length)]

    def train(self, order):
        """Take a step for every batch of the images numbered `order`; return [(loss, B), ...]."""
        if len(order) and not 0 <= order.min() <= order.max() < len(self.images):
            raise ValueError(f"order names images beyond 0 to {len(self.images) - 1}")
        sgd = self.optimiser
        losses = np.empty(-(-len(order) // self.batch_size))
        train_batches(
            order.astype(np.int64),
            (self.images, self.marks, self.labels, self.unit),
            self.sizes,
            self.batch_size,
            self.parameters,
            self.velocities,
            (*self.batch, self.outputs, self.gradients),
            np.array([sgd.lr, sgd.momentum, sgd.weight_decay], self.dtype),
            losses,
        )
        starts = range(0, len(order), self.batch_size)
        return [
            (loss, min(self.batch_size, len(order) - start))
            for loss, start in zip(losses.tolist(), starts, strict=True)
        ]


def mark(images):
    """Return uint64 (N, I/64): bit p % 64 of word p // 64 is set where pixel p is not 0."""
    octets = np.packbits(images != 0, axis=1, bitorder="little")  # (N,I) -> (N,I/8)
    words = np.pad(octets, ((0, 0), (0, -octets.shape[1] % (WORD // 8))))
    return words.view("<u8").astype(np.uint64, copy=False)  # (N,I/64)


def move_together(network, optimiser):
    """Give all parameters one piece of memory, W1 b1 W2 b2 ..., and all velocities another."""
    parameters, views = gathered(network.parameters())
    for layer, W, b in zip(network.parametric_layers, views[::2], views[1::2], strict=True):
        layer.W, layer.b = W, b
    velocities, views = gathered(optimiser.velocities)
    names = [name for name, _ in optimiser.velocities]
    optimiser.velocities = list(zip(names, views, strict=True))
    return parameters, velocities


def gathered(named):
    """Return the arrays of [(name, array), ...] as one, and views of it in their shapes."""
    together = aligned_zeros((sum(array.size for _, array in named),), named[0][1].dtype)
    views, first = [], 0
    for _, array in named:
        views.append(together[first : first + array.size].reshape(array.shape))
        views[-1][:] = array
        first += array.size
    return together, views


@compiled
def train_batches(order, data, sizes, batch_size, parameters, velocities, scratch, rates, losses):
    """Take a step for every batch of `order` and leave its mean loss in `losses`."""
    all_images, all_marks, labels, unit = data
    images, marks, outputs, gradients = scratch
    lr, momentum, weight_decay = rates
    last = len(sizes) - 2
    for step in range(len(losses)):
        chosen = order[step * batch_size : (step + 1) * batch_size]  # (B,)
        B = len(chosen)
        # All at once: many fetches from memory under way, instead of a wait for each image.
        for i in range(B):
            copy(all_images[chosen[i]], images[i])
            copy(all_marks[chosen[i]], marks[i])

        for k in range(last + 1):
            W, b = weights(parameters, sizes, k)  # (I,O), (1,O)
            z = rows(outputs, batch_size, sizes, k, B)  # (B,O)
            if k == 0:
                pixels_times(W, b, z, images, marks, unit)
            else:
                product(rows(outputs, batch_size, sizes, k - 1, B), W, z, False)
                add_bias(b, z)
            if k < last:
                relu(z)

        logits, dlogits = z, rows(gradients, batch_size, sizes, last, B)  # (B,C)
        losses[step] = softmax_cross_entropy(logits, labels, chosen, dlogits)

        first = len(parameters)
        for k in range(last, -1, -1):
            W, _ = weights(parameters, sizes, k)
            dz = rows(gradients, batch_size, sizes, k, B)  # (B,O)
            if k > 0:
                a = rows(outputs, batch_size, sizes, k - 1, B)  # (B,I)
                da = rows(gradients, batch_size, sizes, k - 1, B)
                product(dz, W.T, da, False)  # with the old W: it changes below
                relu_backward(da, a)

            # What dW is added to: the weights themselves, times -lr, or the velocities.
            end, first = first, first - (sizes[k] + 1) * sizes[k + 1]
            p, v = parameters[first:end], velocities[first:end]  # W and b, one after the other
            if momentum:
                target = velocities
                for n in range(len(p)):
                    v[n] = momentum * v[n] + weight_decay * p[n]
            else:
                target = parameters
                scale(dz.ravel(), -lr)
                if weight_decay:
                    scale(p, 1 - lr * weight_decay)
            W, b = weights(target, sizes, k)
            if k == 0:
                add_pixels_times(dz, W, images, marks, unit)
            else:
                product(a.T, dz, W, True)
            add_rows(dz, b)
            if momentum:
                for n in range(len(p)):
                    p[n] -= lr * v[n]


@njit
def copy(source, target):
    for n in range(len(source)):
        target[n] = source[n]


@njit
def weights(flat, sizes, k):
    """W (I, O) and b (1, O) of layer k, where they lie in `flat`."""
    first = 0
    for n in range(k):
        first += (sizes[n] + 1) * sizes[n + 1]
    n_in, n_out = sizes[k], sizes[k + 1]
    middle, end = first + n_in * n_out, first + (n_in + 1) * n_out
    return flat[first:middle].reshape(n_in, n_out), flat[middle:end].reshape(1, n_out)


@njit
def rows(scratch, batch_size, sizes, k, B):
    """The (B, O) numbers of layer k for a batch, where they lie in `scratch`."""
    first, n_out = batch_size * sizes[1 : k + 1].sum(), sizes[k + 1]
    return scratch[first : first + B * n_out].reshape(B, n_out)


@njit
def product(A, B, C, add):
    """C = A @ B, or C += A @ B: one compilation for all three, by types that promise no order."""
    accumulate(any_order(A), any_order(B), any_order(C), add)


@njit
def any_order(X):
    """X itself, of the type that promises least: a slice with a step, for all that Numba knows."""
    return X[::1, ::1]


@njit
def add_bias(b, z):
    """z += b, row by row."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] += b[0, j]


@njit
def add_rows(dz, b):
    """b += the sum of the rows of dz."""
    for i in range(dz.shape[0]):
        for j in range(dz.shape[1]):
            b[0, j] += dz[i, j]


@njit
def scale(x, factor):
    """x *= factor."""
    for n in range(len(x)):
        x[n] *= factor


@njit
def relu(z):
    """ReLU in place: z = max(z, 0), where a NaN stays one."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = 0 if z[i, j] <= 0 else z[i, j]


@njit
def relu_backward(da, a):
    """da = 0 where the ReLU's output a was 0."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            da[i, j] = 0 if a[i, j] <= 0 else da[i, j]


@njit
def softmax_cross_entropy(logits, labels, chosen, dlogits):
    """The mean loss; dlogits (B, C) = (p - onehot) / B is written."""
    B, n_classes = logits.shape
    loss = 0.0
    for i in range(B):
        top = logits[i, 0]
        for j in range(n_classes):
            top = max(top, logits[i, j])
        total = top - top
        for j in range(n_classes):
            dlogits[i, j] = np.exp(logits[i, j] - top)
            total += dlogits[i, j]
        label = labels[chosen[i]]
        loss += np.log(total) - (logits[i, label] - top)
        for j in range(n_classes):
            p = dlogits[i, j] / total
            dlogits[i, j] = (p - (j == label)) / B
    return loss / B


@njit
def pixels_times(W, b, z, images, marks, unit):
    """z = b + x W, 64 pixels at a time for all images: their rows of W fit the first cache."""
    columns = VECTORS * VECTOR_BYTES // z.itemsize
    for j in range(0, z.shape[1], columns):
        width = min(columns, z.shape[1] - j)
        rest = W, b, z, images, marks, unit, j, width
        if width == columns:
            _pixels_times_panel(zeros(z, 1, VECTORS, 0), *rest)
        else:
            _pixels_times_panel(zeros(z, 1, VECTORS, VECTORS), *rest)


@njit
def _pixels_times_panel(tile, W, b, z, images, marks, unit, j, width):
    table = addresses(tile, at(unit, 0, 0), 0, 1)
    for w in range(marks.shape[1]):
        right, right_step, _ = at(W, w * WORD, j)
        for i in range(z.shape[0]):
            place = addresses(tile, at(z, i, j), 0, 1)
            tile = load(tile, place if w else addresses(tile, at(b, 0, j), 0, 1), width)
            word = marks[i, w]
            while word:
                k = lowest_bit(word)
                word &= word - np.uint64(1)  # clears the lowest bit
                pixel = images[i, w * WORD + k]
                tile = multiply_add(tile, table, pixel * z.itemsize, right + k * right_step, width)
            store(tile, place, width)


@njit
def add_pixels_times(dz, W, images, marks, unit):
    """W += xᵀ dz, 64 images and 64 pixels at a time."""
    columns = VECTORS * VECTOR_BYTES // dz.itemsize
    bits = np.empty(WORD, np.uint64)
    for first in range(0, dz.shape[0], WORD):
        last = min(dz.shape[0], first + WORD)
        for w in range(marks.shape[1]):
            for i in range(WORD):
                bits[i] = marks[first + i, w] if first + i < last else np.uint64(0)
            transpose_bits(bits)
            for j in range(0, dz.shape[1], columns):
                width = min(columns, dz.shape[1] - j)
                rest = dz[first:], W, images[first:], w, bits, unit, j, width
                if width == columns:
                    _add_pixels_times_panel(zeros(dz, 1, VECTORS, 0), *rest)
                else:
                    _add_pixels_times_panel(zeros(dz, 1, VECTORS, VECTORS), *rest)


@njit
def _add_pixels_times_panel(tile, dz, W, images, w, bits, unit, j, width):
    table = addresses(tile, at(unit, 0, 0), 0, 1)
    right, right_step, _ = at(dz, 0, j)
    for k in range(min(WORD, W.shape[0] - w * WORD)):
        word = bits[k]
        if word:
            p = w * WORD + k
            place = addresses(tile, at(W, p, j), 0, 1)
            tile = load(tile, place, width)
            while word:
                i = lowest_bit(word)
                word &= word - np.uint64(1)
                pixel = images[i, p]
                tile = multiply_add(tile, table, pixel * dz.itemsize, right + i * right_step, width)
            store(tile, place, width)


@njit
def transpose_bits(bits):
    """Transpose a 64 x 64 bit matrix in place.

    Exchange the blocks of 32 x 32 bits off the diagonal, then those of 16 x 16, and so on
    (H. Warren, *Hacker's Delight*, 2nd ed., 2013, section 7-3.)
    """
    half, mask = 32, np.uint64(0x00000000FFFFFFFF)
    while half:
        shift = np.uint64(half)
        for start in range(0, WORD, 2 * half):
            for k in range(start, start + half):
                swap = (bits[k] >> shift ^ bits[k + half]) & mask
                bits[k] ^= swap << shift
                bits[k + half] ^= swap
        half //= 2
        mask ^= mask << np.uint64(half)
