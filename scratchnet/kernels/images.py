"""Folding and pooling as plain loops: what `scratchnet.conv` has in NumPy, compiled.

Of convolution only the folding is here; with the kernel `simd` all of it is left to direct.py.

NumPy walks through all windows once for each of their pixels, and each walk through more images
than the caches hold. Here a number is loaded, used for all it is good for, and left. The images of
a batch lie innermost in memory, so that the innermost loop is one of vector instructions.

In the comments: B images, C channels, H by W pixels, H' by W' windows of k by k pixels.
"""

import numpy as np

from scratchnet import conv
from scratchnet.conv import places
from scratchnet.kernels import direct
from scratchnet.kernels.compiling import compiled
from scratchnet.kernels.operands import FLOAT32, FLOAT64
from scratchnet.kernels.simd import simd


def convolve(W, x, stride, padding, matmul):
    """As `scratchnet.conv.convolve`; with `simd` the patches are a view of the padded images."""
    if matmul is simd:
        return direct.convolve(W, x, stride, padding)
    return conv.convolve(W, x, stride, padding, matmul)


def kernel_gradient(patches, dy, matmul):
    """As `scratchnet.conv.kernel_gradient`, for patches by `convolve` with the same `matmul`."""
    if matmul is simd:
        return direct.kernel_gradient(patches, dy)
    return conv.kernel_gradient(patches, dy, matmul)


def image_gradient(W, dy, shape, stride, padding, matmul):
    """As `scratchnet.conv.image_gradient`."""
    if matmul is simd:
        return direct.image_gradient(W, dy, shape, stride, padding)
    return conv.image_gradient(W, dy, shape, stride, padding, matmul, fold)


def fold(patches, shape, stride, padding):
    """As `scratchnet.conv.fold`; ValueError for another dtype than float32 and float64."""
    patches = _innermost(patches)
    B, C, H, W = shape
    rows, columns = H + 2 * padding, W + 2 * padding
    size = patches.shape[1]
    windows = places(rows, size, stride), places(columns, size, stride)
    if min(rows, columns) < size or patches.shape != (C, size, size, *windows, B):
        raise ValueError(f"patches {patches.shape} do not come from images {shape}")
    padded = np.zeros((C, rows, columns, B), patches.dtype)  # (C,H+2p,W+2p,B)
    _fold(patches, padded, stride)
    inner = padded[:, padding : padding + H, padding : padding + W]  # (C,H,W,B)
    return inner.transpose(3, 0, 1, 2)  # (B,C,H,W)


def largest(x, size, stride):
    """As `scratchnet.conv.largest`; ValueError for another dtype than float32 and float64."""
    x = _innermost(x.transpose(1, 2, 3, 0))  # (C,H,W,B)
    C, H, W, B = x.shape
    if min(H, W) < size:
        raise ValueError(f"no window of {size} by {size} pixels fits into {H} by {W}")
    shape = (C, places(H, size, stride), places(W, size, stride), B)
    y, choice = np.empty(shape, x.dtype), np.zeros(shape, np.uint16)  # (C,H',W',B)
    _largest(x, y, choice, size, stride)
    return y.transpose(3, 0, 1, 2), choice.transpose(3, 0, 1, 2)  # (B,C,H',W')


def spread(dy, choice, x, size, stride):
    """As `scratchnet.conv.spread`; ValueError for arrays that are not of one pooling."""
    B, C, H, W = x.shape
    expected = (B, C, places(H, size, stride), places(W, size, stride))
    if dy.shape != expected or choice.shape != expected or choice.dtype != np.uint16:
        raise ValueError(f"{dy.shape} and {choice.shape} do not come from images {x.shape}")
    dy = _innermost(dy.transpose(1, 2, 3, 0))  # (C,H',W',B)
    choice = np.ascontiguousarray(choice.transpose(1, 2, 3, 0))  # (C,H',W',B)
    dx = np.zeros((C, H, W, B), dy.dtype)  # (C,H,W,B)
    _spread(dy, choice, dx, size, stride)
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
def _largest(x, y, choice, size, stride):
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
                        choice[c, h, w, b] = n if larger else choice[c, h, w, b]


@compiled
def _spread(dy, choice, dx, size, stride):
    C, height, width, B = dy.shape
    for c in range(C):
        for h in range(height):
            for w in range(width):
                for n in range(size * size):
                    i, j = stride * h + n // size, stride * w + n % size
                    for b in range(B):
                        dx[c, i, j, b] += dy[c, h, w, b] if choice[c, h, w, b] == n else 0
