"""Convolution without patches in memory: a product takes its columns from the images themselves.

    padded images (C,H+2p,W+2p,B) ──view──> patches (C,k,k,H',W',B) ──> panel ──> a panel of W P

`unfold` copies every pixel k² times, to memory far from the core, from where three products fetch
it. The same patches are there already, as a view with strides of its own. Of that view a panel is
copied, as wide as a tile and small enough to be still in the second-level cache when all rows of W
have been multiplied by it (Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014,
section 3.1). A row of windows side by side is one run of numbers, as the images lie innermost.

In the comments: B images, C channels in, O out, k by k kernels, H' by W' places.
"""

import numpy as np
from numba import njit, prange, types

from scratchnet.conv import pad
from scratchnet.kernels.compiling import ForAnyStrides, compiled
from scratchnet.kernels.operands import FLOAT32, FLOAT64
from scratchnet.kernels.registers import VECTOR_BYTES, VECTORS, at, lanes, shifted
from scratchnet.kernels.simd import aligned, multiply_panel, pack
from scratchnet.kernels.threads import compute, share

# At most so many rows of patches are copied at once, or those of one channel: a panel of W P needs
# them once for every six rows of W, and the 128 KB should stay in the second-level cache.
DEPTH = 512
# So many columns of patches at once for dW: 1 MB, and long enough to pay for adding to dW.
LENGTH = 512


def convolve(W, x, stride, padding):
    """As `scratchnet.conv.convolve`, but the patches are a view of the padded images."""
    n_out, _, size, _ = W.shape
    patches = _windows(pad(x, padding), size, stride)  # (C,k,k,H',W',B)
    y = _product(W.reshape(n_out, -1), patches)  # (O,H'W'B)
    return y.reshape(n_out, *patches.shape[3:]), patches


def kernel_gradient(patches, dy):
    """As `scratchnet.conv.kernel_gradient`."""
    n_out, *where = dy.shape
    kernel = patches.shape[:3]  # (C,k,k)
    if patches.dtype != dy.dtype or patches.shape[3:] != tuple(where):
        raise ValueError(f"{dy.dtype} {dy.shape} does not fit {patches.dtype} {patches.shape}")
    dW = np.zeros((np.prod(kernel), n_out), dy.dtype)  # (Ckk,O)
    compute(_sums_alone[_itemsize(dy)], _sums_together, dy.reshape(n_out, -1), patches, dW)
    return dW.T.reshape(n_out, *kernel)


def image_gradient(W, dy, shape, stride, padding):
    """As `scratchnet.conv.image_gradient`: again a convolution, of dy with the kernels turned.

        dx[c, h, w] = sum over o, i, j of W[o, c, k-1-i, k-1-j] around[o, p + h + i, p + w + j]

    where `around` is dy with k-1 zeros on each side and, for a stride, zeros between.
    """
    _, C, H, width = shape
    n_out, _, size, _ = W.shape
    rows, columns = (n + 2 * padding + size - 1 for n in (H, width))
    around = np.zeros((n_out, rows, columns, dy.shape[3]), dy.dtype)  # (O,H+2p+k-1,W+2p+k-1,B)
    first, (up, left) = size - 1, (size - 1 + stride * n for n in dy.shape[1:3])
    around[:, first:up:stride, first:left:stride] = dy  # (O,H',W',B)
    inner = around[:, padding : rows - padding, padding : columns - padding]  # (O,H+k-1,W+k-1,B)
    turned = W[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(C, n_out * size**2)  # (C,Okk)
    dx = _product(turned, _windows(inner, size, 1))  # (C,HWB)
    return dx.reshape(C, H, width, -1).transpose(3, 0, 1, 2)  # (B,C,H,W)


def _windows(images, size, stride):
    """The patches (C, k, k, H', W', B) of images (C, H, W, B) that are padded, as a view."""
    patches = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    return patches[:, ::stride, ::stride].transpose(0, 4, 5, 1, 2, 3)


def _itemsize(array):
    if array.dtype not in (FLOAT32, FLOAT64):
        raise ValueError(f"float32 or float64 is needed, not {array.dtype}")
    return array.itemsize


def _product(A, patches):
    """A (m, Ckk) times the patches (C, k, k, H', W', B) as columns: (m, H'W'B)."""
    rows, columns = np.prod(patches.shape[:3]), np.prod(patches.shape[3:])
    if A.dtype != patches.dtype or A.shape[1] != rows:
        raise ValueError(f"{A.dtype} {A.shape} does not fit {patches.dtype} {patches.shape}")
    C = np.empty((len(A), columns), A.dtype)
    compute(_product_alone[_itemsize(A)], _product_together, A, patches, C)
    return C


@njit
def _runs(patches, C):
    """(n, length): each row of places is n runs, and the numbers of a run lie side by side."""
    width, images = patches.shape[4:]
    if patches.strides[4] * lanes(C) == images * VECTOR_BYTES:
        return 1, width * images
    return width, images


@njit
def _copy(patches, C, channels, h, w, first, length, target):
    """Copy columns of the patches of some channels to the rows at `target`."""
    size = patches.shape[1]
    for c in range(channels.start, channels.stop):
        for i in range(size):
            place = at(patches[c, i, :, h, w, :], 0, first)
            row = ((c - channels.start) * size + i) * size
            pack(C, place, size, length, shifted(target, row, 0))


@compiled
def _multiply(A, patches, C):
    """C[:] = A @ patches, panel by panel."""
    n_channels, size, _, height, width, images = patches.shape
    columns, at_once = VECTORS * lanes(C), max(1, DEPTH // size**2)
    # `pack` writes whole squares: room for some rows more.
    panel = at(aligned(C, min(n_channels, at_once) * size**2 + lanes(C), columns), 0, 0)
    runs, run = _runs(patches, C)
    for h in range(height):
        for w in range(runs):
            for first in range(0, run, columns):
                length = min(columns, run - first)
                product = at(C, 0, (h * width + w) * images + first)
                for c in range(0, n_channels, at_once):
                    channels = slice(c, min(n_channels, c + at_once))
                    _copy(patches, C, channels, h, w, first, length, panel)
                    left, depth = at(A, 0, c * size**2), (channels.stop - c) * size**2
                    multiply_panel(C, left, panel, product, len(A), depth, length, c > 0)


@compiled
def _add_sums(dy, patches, C):
    """C += patches @ dy.T, a piece of a run at a time."""
    n_channels, size, _, height, width, images = patches.shape
    columns, at_once = VECTORS * lanes(C), max(1, DEPTH // size**2)
    runs, run = _runs(patches, C)
    pieces = (run + LENGTH - 1) // LENGTH
    vectors = (run + pieces * lanes(C) - 1) // max(1, pieces * lanes(C))
    most = vectors * lanes(C)
    rows = at(aligned(C, min(n_channels, at_once) * size**2 + lanes(C), most), 0, 0)
    panel = at(aligned(C, most + lanes(C), columns), 0, 0)
    for c in range(0, n_channels, at_once):
        channels = slice(c, min(n_channels, c + at_once))
        m = (channels.stop - c) * size**2
        for h in range(height):
            for w in range(runs):
                for first in range(0, run, most):
                    length = min(most, run - first)
                    _copy(patches, C, channels, h, w, first, length, rows)
                    k = (h * width + w) * images + first
                    for o in range(0, len(dy), columns):
                        n = min(columns, len(dy) - o)
                        pack(C, at(dy.T, k, o), length, n, panel)
                        multiply_panel(C, rows, panel, at(C, c * size**2, o), m, length, n, True)


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


_product_alone = ForAnyStrides(_multiply, dimensions=6)
_product_together = ForAnyStrides(_multiply_shares, types.intp, dimensions=6, parallel=True)
_sums_alone = ForAnyStrides(_add_sums, dimensions=6)
_sums_together = ForAnyStrides(_add_shares, types.intp, dimensions=6, parallel=True)
