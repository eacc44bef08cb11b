"""Convolution by implicit GEMM: the products read patches from the images, which im2col copies.

    padded images (C,H+2p,W+2p,B) ──view──> patches (C,k,k,H',W',B) ──> tile of W P

`unfold` (im2col) copies every pixel k² times, to memory far from the core, from where three
products fetch it. The same patches are there already, as a strided view of the images, which are
small enough for the second-level cache (after Chetlur et al., "cuDNN: Efficient Primitives for Deep
Learning", 2014, section 3). A row of windows side by side is one run of numbers, as the images lie
innermost; with a stride, the images of one window are. The register tiles are those of simd.py, so
a `matmul` passed to these functions is not used.

In the comments: B images, C channels in, O out, k by k kernels, H' by W' places.
"""

import math

import numpy as np
from numba import njit, prange, types
from numpy.lib.stride_tricks import as_strided

from scratchnet.kernels.jit import StrideGenericKernel, compiled
from scratchnet.kernels.memory import aligned, aligned_zeros
from scratchnet.kernels.operands import FLOAT32, FLOAT64
from scratchnet.kernels.register_tile import (
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    addresses,
    at,
    lanes,
    multiply_add,
    opaque,
    prefetch,
    store,
    zeros,
)
from scratchnet.kernels.simd import FEWER_ROWS, multiply_panel, pack, tall_rows
from scratchnet.kernels.threads import compute, share
from scratchnet.nn.conv import output_size

# For dW patches are copied after all: its sums run along the columns. At most so many rows, or
# those of one channel, and so many columns at once: 1 MB, within the second-level cache.
DEPTH, LENGTH = 512, 512


def conv2d(W, x, stride, padding, matmul=None):
    """As `scratchnet.nn.conv.conv2d`, but the patches are a view of the padded images."""
    B, C, *pixels = x.shape
    n_out, _, size, _ = W.shape
    padded = aligned_zeros((C, *(n + 2 * padding for n in pixels), B), x.dtype)  # (C,H+2p,W+2p,B)
    rows, columns = (slice(padding, padding + n) for n in pixels)
    padded[:, rows, columns] = x.transpose(1, 2, 3, 0)  # (C,H,W,B)
    patches = _windows(padded, size, stride)  # (C,k,k,H',W',B)
    y = _matmul(W.reshape(n_out, -1), patches)  # (O,H'W'B)
    return y.reshape(n_out, *patches.shape[3:]), patches


def conv2d_weight(patches, dy, matmul=None):
    """As `scratchnet.nn.conv.conv2d_weight`."""
    n_out, *where = dy.shape
    kernel = patches.shape[:3]  # (C,k,k)
    side_by_side = patches.size == 0 or patches.strides[5] == patches.itemsize
    if patches.dtype != dy.dtype or patches.shape[3:] != tuple(where) or not side_by_side:
        raise ValueError(f"{dy.dtype} {dy.shape} does not fit {patches.dtype} {patches.shape}")
    dW = np.zeros((math.prod(kernel), n_out), dy.dtype)  # (Ckk,O)
    compute(_sums_alone[_itemsize(dy)], _sums_together, dy.reshape(n_out, -1), patches, dW)
    return dW.T.reshape(n_out, *kernel)


def conv2d_input(W, dy, shape, stride, padding, matmul=None):
    """As `scratchnet.nn.conv.conv2d_input`: again a convolution, of dy with the kernels flipped.

        dx[c, h, w] = sum over o, i, j of W[o, c, k-1-i, k-1-j] around[o, h + i, w + j]

    where `around` is dy, padded by k-1-p zeros and dilated by the stride s (s-1 zeros between).
    """
    B, C, *pixels = shape
    n_out, n_in, size, _ = W.shape
    where = (output_size(n + 2 * padding, size, stride) for n in pixels)
    if n_in != C or dy.shape != (n_out, *where, B) or dy.dtype != W.dtype:
        raise ValueError(f"{dy.dtype} {dy.shape} is no gradient by {W.shape} for images {shape}")
    extra = max(0, padding - size + 1)  # windows that see nothing but padding
    sizes = (n + size - 1 + 2 * extra for n in pixels)
    around = aligned_zeros((n_out, *sizes, B), dy.dtype)  # (O,H+k-1,W+k-1,B), or more
    first = size - 1 - padding + extra
    rows, columns = (slice(first, first + stride * n, stride) for n in dy.shape[1:3])
    around[:, rows, columns] = dy  # (O,H',W',B)
    rows, columns = (slice(extra, extra + n) for n in pixels)
    patches = _windows(around, size, 1)[:, :, :, rows, columns]  # (O,k,k,H,W,B)
    flipped = W[:, :, ::-1, ::-1].swapaxes(0, 1).reshape(C, n_out * size**2)  # (C,Okk)
    dx = _matmul(flipped, patches)  # (C,Okk) @ (Okk,HWB)
    return dx.reshape(C, *pixels, B).transpose(3, 0, 1, 2)  # (B,C,H,W)


def _windows(images, size, stride):
    """The patches (C, k, k, H', W', B) of images (C, H, W, B) that are padded, as a view."""
    C, *pixels, B = images.shape
    height, width = (output_size(n, size, stride) for n in pixels)
    channel, row, column, image = images.strides
    strides = channel, row, column, stride * row, stride * column, image
    return as_strided(images, (C, size, size, height, width, B), strides, writeable=False)


def _itemsize(array):
    if array.dtype not in (FLOAT32, FLOAT64):
        raise ValueError(f"float32 or float64 is needed, not {array.dtype}")
    return array.itemsize


def _matmul(A, patches):
    """A (m, Ckk) @ the patches (C, k, k, H', W', B) as columns (Ckk, H'W'B): (m, H'W'B)."""
    rows, columns = math.prod(patches.shape[:3]), math.prod(patches.shape[3:])
    if A.dtype != patches.dtype or A.shape[1] != rows:
        raise ValueError(f"{A.dtype} {A.shape} does not fit {patches.dtype} {patches.shape}")
    C = np.empty((len(A), columns), A.dtype)
    compute(_matmul_alone[_itemsize(A)], _matmul_together, A, patches, C)
    return C


@njit
def _runs(patches, C):
    """(n, length): each row of places is n runs, and the numbers of a run lie side by side."""
    width, images = patches.shape[4:]
    if patches.strides[4] * lanes(C) == images * VECTOR_BYTES:
        return 1, width * images
    return width, images


@compiled
def _multiply(A, patches, C):
    """C[:] = A @ patches, panel by panel."""
    height, width, images = patches.shape[3:]
    columns = VECTORS * lanes(C)
    runs, run = _runs(patches, C)
    for h in range(height):
        for w in range(runs):
            for first in range(0, run, columns):
                n = min(columns, run - first)
                right = at(patches[0, 0, :, h, w, :], 0, first)[0]
                product = at(C, 0, (h * width + w) * images + first)
                _multiply_panel(C, A, patches, right, product, n)


@njit
def _multiply_panel(like, A, patches, right, product, width):
    """A panel of C, from columns of patches whose first numbers lie at `right`."""
    m = len(A)
    rest = A, patches, right, product, width
    if width == VECTORS * lanes(like):
        tall = tall_rows(m)
        for i in range(0, tall, ROWS):
            _multiply_tile(zeros(like, ROWS, VECTORS, 0), i, *rest)
        for i in range(tall, m, FEWER_ROWS):
            _multiply_tile(zeros(like, FEWER_ROWS, VECTORS, 0), i, *rest)
    else:
        for i in range(0, m, ROWS):
            _multiply_tile(zeros(like, ROWS, VECTORS, VECTORS), i, *rest)


@njit(forceinline=True)
def _multiply_tile(tile, i, A, patches, right, product, width):
    """The tile of the panel that begins at row i."""
    left = at(A, 0, 0)
    rows, place = addresses(tile, left, i, len(A)), addresses(tile, product, i, len(A))
    prefetch(tile, place)
    channels, size = patches.shape[:2]
    to_channel, to_row, to_column = patches.strides[:3]
    offset = 0
    for c in range(channels):
        for row in range(size):
            start = right + c * to_channel + row * to_row
            for _ in range(size):
                tile = multiply_add(tile, rows, offset, start, width)
                offset, start = opaque(offset + left[2]), start + to_column
    store(tile, place, width)


@njit
def _copy(patches, channels, h, w, first, length, target):
    """Copy columns of the patches of some channels to the rows of the target."""
    size = patches.shape[1]
    for c in range(channels.start, channels.stop):
        for i in range(size):
            place = at(patches[c, i, :, h, w, :], 0, first)
            row = ((c - channels.start) * size + i) * size
            pack(target, place, size, length, at(target, row, 0))


@compiled
def _add_sums(dy, patches, C):
    """C += patches @ dy.T, a piece of a run at a time."""
    n_channels, size, _, height, width, images = patches.shape
    columns, at_once = VECTORS * lanes(C), max(1, DEPTH // size**2)
    runs, run = _runs(patches, C)
    most = min(LENGTH, max(1, run))
    rows = aligned(C, min(n_channels, at_once) * size**2, most)
    panel = aligned(C, most + lanes(C), columns)  # `pack` writes whole squares
    for c in range(0, n_channels, at_once):
        channels = slice(c, min(n_channels, c + at_once))
        m = (channels.stop - c) * size**2
        for h in range(height):
            for w in range(runs):
                for first in range(0, run, most):
                    depth = min(most, run - first)
                    _copy(patches, channels, h, w, first, depth, rows)
                    for o in range(0, len(dy), columns):
                        n = min(columns, len(dy) - o)
                        source = at(dy.T, (h * width + w) * images + first, o)
                        pack(panel, source, depth, n, at(panel, 0, 0))
                        product = at(C, c * size**2, o)
                        rest = m, depth, n, True
                        multiply_panel(C, at(rows, 0, 0), at(panel, 0, 0), product, *rest)


@compiled(parallel=True)
def _multiply_shares(A, patches, C, threads):
    """`_multiply`, each thread a share of the rows of places."""
    height, width, images = patches.shape[3:]
    for t in prange(threads):
        rows = share(height, 1, t, threads)
        columns = slice(rows.start * width * images, rows.stop * width * images)
        _multiply(A, patches[:, :, :, rows], C[:, columns])


@compiled(parallel=True)
def _add_shares(dy, patches, C, threads):
    """`_add_sums`, each thread a share of the channels."""
    kernel = patches.shape[1] ** 2
    for t in prange(threads):
        channels = share(len(patches), 1, t, threads)
        rows = slice(channels.start * kernel, channels.stop * kernel)
        _add_sums(dy, patches[channels], C[rows])


_matmul_alone = StrideGenericKernel(_multiply, dimensions=6)
_matmul_together = StrideGenericKernel(_multiply_shares, types.intp, dimensions=6, parallel=True)
_sums_alone = StrideGenericKernel(_add_sums, dimensions=6)
_sums_together = StrideGenericKernel(_add_shares, types.intp, dimensions=6, parallel=True)
