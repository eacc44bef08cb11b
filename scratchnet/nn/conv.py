"""Convolution and max pooling: layers that know that neighbouring pixels belong together.

    x ---Conv2d---> z ---ReLU---> a ---MaxPool2d---> p ---Flatten---> rows for a Linear

A convolution applies the same few weights to every patch of an image. Lay each patch out as a
column, and all of it is one matrix product (Chellapilla, Puri, Simard, "High Performance
Convolutional Neural Networks for Document Processing", 2006, section 4.2):

    unfold (im2col)   images ──> patches, a column each   every pixel is copied to all its patches
    fold (col2im)     patches ──> images                  and gets back the sum of its copies

Each is the transpose of the other, so each is the other's backward pass.

The shapes are PyTorch's, (B,C,H,W). In memory the images of a batch lie innermost, as (C,H,W,B):
then a slice of rows and columns is a few long runs of numbers, which NumPy copies fast.

In the comments: B images in a batch, C channels in, O channels out, k by k kernels or windows on
H by W pixels, in H' by W' places.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchnet.nn.layers import check_shape


def output_size(length, size, stride):
    """Return how many windows of a size fit into a length, every `stride` pixels, as in PyTorch.

    What is left at the end and fills no window is ignored.
    """
    return (length - size) // stride + 1


def window(i, j, stride, height, width):
    """Return the slices that pick pixel (i, j) of each of the height x width windows."""
    return slice(i, i + stride * height, stride), slice(j, j + stride * width, stride)


def unfold(x, size, stride, padding):
    """Return the patches (C, k, k, H', W', B) of the images x (B, C, H, W), with zeros around."""
    B, C, H, W = x.shape
    padded = np.zeros((C, H + 2 * padding, W + 2 * padding, B), x.dtype)  # (C,H+2p,W+2p,B)
    padded[:, padding : padding + H, padding : padding + W] = x.transpose(1, 2, 3, 0)  # (C,H,W,B)
    height, width = (output_size(n, size, stride) for n in padded.shape[1:3])
    patches = np.empty((C, size, size, height, width, B), x.dtype)  # (C,k,k,H',W',B)
    for i, j in np.ndindex(size, size):
        patches[:, i, j] = padded[:, *window(i, j, stride, height, width)]  # (C,H',W',B)
    return patches


def fold(patches, shape, stride, padding):
    """Return images of the shape (B, C, H, W), each pixel the sum of its copies in the patches."""
    B, C, H, W = shape
    _, size, _, height, width, _ = patches.shape
    padded = np.zeros((C, H + 2 * padding, W + 2 * padding, B), patches.dtype)  # (C,H+2p,W+2p,B)
    for i, j in np.ndindex(size, size):
        padded[:, *window(i, j, stride, height, width)] += patches[:, i, j]  # (C,H',W',B)
    inner = padded[:, padding : padding + H, padding : padding + W]  # (C,H,W,B)
    return inner.transpose(3, 0, 1, 2)  # (B,C,H,W)


def conv2d(W, x, stride, padding, matmul):
    """Return W P (O, H', W', B), without the bias, and P (C, k, k, H', W', B) for the way back."""
    n_out, n_in, size, _ = W.shape
    patches = unfold(x, size, stride, padding)  # (C,k,k,H',W',B)
    where = patches.shape[3:]  # (H',W',B)
    columns = patches.reshape(n_in * size**2, math.prod(where))  # (Ckk,H'W'B)
    y = matmul(W.reshape(n_out, -1), columns)  # (O,Ckk) @ (Ckk,H'W'B)
    return y.reshape(n_out, *where), patches


def conv2d_weight(patches, dy, matmul):
    """Return dW = dy Pᵀ (O, C, k, k) for the patches P (C, k, k, H', W', B), dy (O, H', W', B)."""
    n_out, *where = dy.shape
    kernel = patches.shape[:3]  # (C,k,k)
    columns = patches.reshape(math.prod(kernel), math.prod(where))  # (Ckk,H'W'B)
    dW = matmul(columns, dy.reshape(n_out, -1).T)  # (Ckk,H'W'B) @ (H'W'B,O) -> (Ckk,O)
    return dW.T.reshape(n_out, *kernel)


def conv2d_input(W, dy, shape, stride, padding, matmul, fold=fold):
    """Return dx = fold(Wᵀ dy) for images x of the shape (B, C, H, W) and dy (O, H', W', B)."""
    n_out, n_in, size, _ = W.shape
    dy, where = dy.reshape(n_out, -1), dy.shape[1:]  # (O,H'W'B)
    dpatches = matmul(W.reshape(n_out, -1).T, dy)  # (Ckk,O) @ (O,H'W'B)
    dpatches = dpatches.reshape(n_in, size, size, *where)  # (C,k,k,H',W',B)
    return fold(dpatches, shape, stride, padding)  # (B,C,H,W)


def max_pool(x, size, stride):
    """Return the maximum of every window of x (B, C, H, W), and which of its k·k pixels it is.

    Both are (B, C, H', W'). Of equal pixels the first counts, row by row, and of NaNs the last.
    """
    height, width = (output_size(n, size, stride) for n in x.shape[2:])
    y = np.copy(x[:, :, *window(0, 0, stride, height, width)])  # in the memory order of x
    argmax = np.zeros_like(y, np.uint16)  # (B,C,H',W')
    for n, (i, j) in enumerate(np.ndindex(size, size)):
        candidate = x[:, :, *window(i, j, stride, height, width)]  # (B,C,H',W')
        argmax[(candidate > y) | np.isnan(candidate)] = n
        np.maximum(y, candidate, out=y)
    return y, argmax


def max_pool_backward(dy, argmax, x, size, stride):
    """Return dx, like x (B, C, H, W): each number of dy goes to the pixel that `argmax` names."""
    dx = np.zeros_like(x, dy.dtype)  # (B,C,H,W)
    for n, (i, j) in enumerate(np.ndindex(size, size)):
        pixels = window(i, j, stride, *dy.shape[2:])
        dx[:, :, *pixels] += np.where(argmax == n, dy, dy.dtype.type(0))  # (B,C,H',W')
    return dx


class Ops(NamedTuple):
    """The operations of `Conv2d` and `MaxPool2d`, with the meaning of the functions above.

    scratchnet.kernels.conv_ops has two more sets than `NUMPY_OPS`, both compiled.
    """

    name: str
    conv2d: Callable
    conv2d_weight: Callable
    conv2d_input: Callable
    max_pool: Callable
    max_pool_backward: Callable

    def __repr__(self):
        return self.name


NUMPY_OPS = Ops("NUMPY_OPS", conv2d, conv2d_weight, conv2d_input, max_pool, max_pool_backward)


class Conv2d:
    """2-D convolution: the same affine map of every patch, as `torch.nn.Conv2d` defines it:

        y[o, h, w] = b[o] + sum over c, i, j of W[o, c, i, j] x[c, s h + i - p, s w + j - p]

    for stride s and padding p; x is 0 outside the image. (In mathematics this is the
    cross-correlation: a convolution would turn the kernel upside down.)

    With the patches P of x as columns, it is a product, and its gradients are those of a `Linear`:

        y = W P + b        dW = dy Pᵀ        db = sum of dy over images and places
        dP = Wᵀ dy         dx = fold(dP)

    Attributes:
        W: kernels (O, C, k, k); b: biases (O,). The optimiser changes them in place.
        dW, db: their gradients, left here by `backward`; zeros before the first.
    """

    name = "conv"

    def __init__(
        self,
        n_in,
        n_out,
        size,
        *,
        stride=1,
        padding=0,
        rng,
        dtype=np.float32,
        matmul=np.matmul,
        ops=NUMPY_OPS,
    ):
        """Draw W and b from U(-1/√(C k²), 1/√(C k²)), as `torch.nn.Conv2d` does.

        Args:
            n_in, n_out: the numbers of channels C and O, at least 1.
            size: the kernels' height and width k, at least 1.
            stride: pixels from one patch to the next, at least 1.
            padding: rows and columns of zeros around each image, at least 0.
            rng, dtype, matmul: as in `Linear`.
            ops: the set of operations, an `Ops`.
        """
        if min(n_in, n_out, size, stride) < 1 or padding < 0:
            raise ValueError(
                f"Conv2d({n_in}, {n_out}, {size}, stride={stride}, padding={padding}): "
                "all must be at least 1, and the padding at least 0"
            )
        bound = 1 / np.sqrt(n_in * size**2)
        self.W = rng.uniform(-bound, bound, (n_out, n_in, size, size)).astype(dtype)  # (O,C,k,k)
        self.b = rng.uniform(-bound, bound, n_out).astype(dtype)  # (O,)
        self.dW = np.zeros_like(self.W)  # (O,C,k,k)
        self.db = np.zeros_like(self.b)  # (O,)
        self.stride, self.padding = stride, padding
        self.matmul, self.ops = matmul, ops
        self.shape, self.patches = (0, n_in, size, size), None  # no batch seen yet
        self.output_shape = (0, n_out, 1, 1)

    def forward(self, x):
        """Return y (B, O, H', W') for x (B, C, H, W), H' = (H + 2 padding - k) // stride + 1.

        ValueError if x has another number of channels or dtype, or is smaller than a kernel.
        """
        _, n_in, size, _ = self.W.shape
        too_small = x.ndim == 4 and min(x.shape[2:]) + 2 * self.padding < size
        if x.ndim != 4 or x.shape[1] != n_in or x.dtype != self.W.dtype or too_small:
            raise ValueError(
                f"Conv2d with kernels {self.W.shape} and padding {self.padding} takes x of shape "
                f"(B, {n_in}, H, W), H and W at least {max(1, size - 2 * self.padding)}, and dtype "
                f"{self.W.dtype}, not {x.shape} and {x.dtype}"
            )
        self.patches = None  # the new ones may lie in the memory of the old
        self.shape = x.shape
        y, self.patches = self.ops.conv2d(self.W, x, self.stride, self.padding, self.matmul)
        y += self.b[:, None, None, None]  # (O,H',W',B) + (O,1,1,1)
        y = y.transpose(3, 0, 1, 2)  # (B,O,H',W')
        self.output_shape = y.shape
        return y

    def backward(self, dy, *, need_dx=True):
        """Leave dW and db; return dx (B, C, H, W) for dy (B, O, H', W'), or None unless `need_dx`.

        ValueError if dy has not the shape and dtype of the last output.
        """
        if dy.shape != self.output_shape or dy.dtype != self.W.dtype:
            raise ValueError(
                f"Conv2d with kernels {self.W.shape} takes dy of shape {self.output_shape} and "
                f"dtype {self.W.dtype}, as its last output, not {dy.shape} and {dy.dtype}"
            )
        dy = np.ascontiguousarray(dy.transpose(1, 2, 3, 0))  # (O,H',W',B)
        self.dW = self.ops.conv2d_weight(self.patches, dy, self.matmul)  # (O,C,k,k)
        self.db = dy.reshape(len(dy), -1).sum(axis=1)  # (O,H'W'B) -> (O,)
        if not need_dx:
            return None
        sizes = self.shape, self.stride, self.padding
        return self.ops.conv2d_input(self.W, dy, *sizes, self.matmul)  # (B,C,H,W)


class MaxPool2d:
    """Max pooling: the largest pixel of every window, as `torch.nn.MaxPool2d` picks it.

    Only that pixel reaches the output, so the gradient goes to it alone: of equal ones to the
    first. A NaN counts as the largest, so that a fault stays visible.
    """

    def __init__(self, size, stride=None, *, ops=NUMPY_OPS):
        """Args: height and width of a window; pixels to the next, by default its size; an `Ops`."""
        self.size, self.stride = size, size if stride is None else stride
        if min(self.size, self.stride) < 1 or self.size > 256:
            raise ValueError(
                f"MaxPool2d({size}, {stride}): both must be at least 1, the size at most 256"
            )
        self.ops = ops
        self.x, self.argmax = None, np.empty((0, 1, 1, 1))  # no batch seen yet

    def forward(self, x):
        """Return y (B, C, H', W') for x (B, C, H, W), H' = (H - k) // stride + 1.

        ValueError if x is smaller than a window.
        """
        if x.ndim != 4 or min(x.shape[2:]) < self.size:
            raise ValueError(
                f"MaxPool2d({self.size}) takes x of shape (B, C, H, W), H and W at least "
                f"{self.size}, not {x.shape}"
            )
        self.x = x
        y, self.argmax = self.ops.max_pool(x, self.size, self.stride)
        return y

    def backward(self, dy):
        """Return dx (B, C, H, W) for dy (B, C, H', W'); ValueError for another shape of dy."""
        check_shape(self, dy, self.argmax.shape)
        return self.ops.max_pool_backward(dy, self.argmax, self.x, self.size, self.stride)


class Flatten:
    """The pixels of all channels as one row an image, in the order channel, row, column."""

    def __init__(self):
        self.shape = (0,)  # no batch seen yet

    def forward(self, x):
        """Return y (B, C·H·W) for x (B, C, H, W), or any other shape (B, ...)."""
        self.shape = x.shape
        return x.reshape(len(x), math.prod(x.shape[1:]))  # (B,CHW)

    def backward(self, dy):
        """Return dx, of the shape of the last x; ValueError if dy does not fit it."""
        check_shape(self, dy, (self.shape[0], math.prod(self.shape[1:])))
        images_innermost = np.ascontiguousarray(dy.T).T  # (B,CHW), as the layer before wants it
        return images_innermost.reshape(self.shape)  # (B,C,H,W)
