"""The convolution's operations, compiled: fold (col2im) and max pooling as plain loops.

    NUMPY_OPS           scratchnet.nn.conv: im2col, a product by `matmul`, col2im, all in NumPy
    COMPILED_OPS        the same, but col2im and max pooling are the loops below
    IMPLICIT_GEMM_OPS   the same loops for pooling; convolutions without patches, implicit_gemm.py

NumPy passes over all windows once for each of their pixels, and each pass covers more images than
the caches hold. Here a number is loaded, used for everything it is needed for, and left. The images
of a batch lie innermost in memory, so that the compiler can vectorize the innermost loop.

In the comments: B images, C channels, H by W pixels, H' by W' windows of k by k pixels.
"""

from functools import partial

import numpy as np

from scratchnet.kernels import implicit_gemm
from scratchnet.kernels.jit import compiled
from scratchnet.kernels.operands import FLOAT32, FLOAT64
from scratchnet.nn import conv
from scratchnet.nn.conv import output_size


def fold(patches, shape, stride, padding):
    """As `scratchnet.nn.conv.fold`; ValueError for another dtype than float32 and float64."""
    patches = _innermost(patches)
    B, C, H, W = shape
    rows, columns = H + 2 * padding, W + 2 * padding
    size = patches.shape[1]
    windows = output_size(rows, size, stride), output_size(columns, size, stride)
    if min(rows, columns) < size or patches.shape != (C, size, size, *windows, B):
        raise ValueError(f"patches {patches.shape} do not come from images {shape}")
    padded = np.zeros((C, rows, columns, B), patches.dtype)  # (C,H+2p,W+2p,B)
    _fold(patches, padded, stride)
    inner = padded[:, padding : padding + H, padding : padding + W]  # (C,H,W,B)
    return inner.transpose(3, 0, 1, 2)  # (B,C,H,W)


def max_pool(x, size, stride):
    """As `scratchnet.nn.conv.max_pool`; ValueError for another dtype than float32 and float64."""
    x = _innermost(x.transpose(1, 2, 3, 0))  # (C,H,W,B)
    C, H, W, B = x.shape
    if min(H, W) < size:
        raise ValueError(f"no window of {size} by {size} pixels fits into {H} by {W}")
    shape = (C, output_size(H, size, stride), output_size(W, size, stride), B)
    y, argmax = np.empty(shape, x.dtype), np.zeros(shape, np.uint16)  # (C,H',W',B)
    _max_pool(x, y, argmax, size, stride)
    return y.transpose(3, 0, 1, 2), argmax.transpose(3, 0, 1, 2)  # (B,C,H',W')


def max_pool_backward(dy, argmax, x, size, stride):
    """As `scratchnet.nn.conv.max_pool_backward`; ValueError for arrays not of one pooling."""
    B, C, H, W = x.shape
    expected = (B, C, output_size(H, size, stride), output_size(W, size, stride))
    if dy.shape != expected or argmax.shape != expected or argmax.dtype != np.uint16:
        raise ValueError(f"{dy.shape} and {argmax.shape} do not come from images {x.shape}")
    dy = _innermost(dy.transpose(1, 2, 3, 0))  # (C,H',W',B)
    argmax = np.ascontiguousarray(argmax.transpose(1, 2, 3, 0))  # (C,H',W',B)
    dx = np.zeros((C, H, W, B), dy.dtype)  # (C,H,W,B)
    _max_pool_backward(dy, argmax, dx, size, stride)
    return dx.transpose(3, 0, 1, 2)  # (B,C,H,W)


def _innermost(array):
    """The array, writable and contiguous: to Numba another layout is another compilation."""
    if array.dtype not in (FLOAT32, FLOAT64):
        raise ValueError(f"float32 or float64 is needed, not {array.dtype} {array.shape}")
    return np.require(array, None, "CW")


@compiled
def _fold(patches, padded, stride):
    C, size, _, height, width, B = patches.shape
    for c in range(C):
        for i in range(size):
            for j in range(size):
                for h in range(height):
                    for w in range(width):
                        for b in range(B):
                            padded[c, i + stride * h, j + stride * w, b] += patches[
                                c, i, j, h, w, b
                            ]


@compiled
def _max_pool(x, y, argmax, size, stride):
    C, height, width, B = y.shape
    for c in range(C):
        for h in range(height):
            for w in range(width):
                for b in range(B):
                    y[c, h, w, b] = x[c, stride * h, stride * w, b]
                for n in range(size * size):
                    i, j = stride * h + n // size, stride * w + n % size
                    for b in range(B):
                        candidate, best = x[c, i, j, b], y[c, h, w, b]
                        larger = (candidate > best) | (candidate != candidate)
                        y[c, h, w, b] = candidate if larger else best
                        argmax[c, h, w, b] = n if larger else argmax[c, h, w, b]


@compiled
def _max_pool_backward(dy, argmax, dx, size, stride):
    C, height, width, B = dy.shape
    for c in range(C):
        for h in range(height):
            for w in range(width):
                for n in range(size * size):
                    i, j = stride * h + n // size, stride * w + n % size
                    for b in range(B):
                        dx[c, i, j, b] += dy[c, h, w, b] if argmax[c, h, w, b] == n else 0


COMPILED_OPS = conv.NUMPY_OPS._replace(
    name="COMPILED_OPS",
    conv2d_input=partial(conv.conv2d_input, fold=fold),
    max_pool=max_pool,
    max_pool_backward=max_pool_backward,
)
IMPLICIT_GEMM_OPS = COMPILED_OPS._replace(
    name="IMPLICIT_GEMM_OPS",
    conv2d=implicit_gemm.conv2d,
    conv2d_weight=implicit_gemm.conv2d_weight,
    conv2d_input=implicit_gemm.conv2d_input,
)
