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
from numpy.lib.stride_tricks import as_strided

from scratchnet.conv import pad, places
from scratchnet.kernels.compiling import ForAnyStrides, compiled
from scratchnet.kernels.operands import FLOAT32, FLOAT64
from scratchnet.kernels.registers import VECTOR_BYTES, VECTORS, at, lanes
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
    side_by_side = patches.size == 0 or patches.strides[5] == patches.itemsize
    if patches.dtype != dy.dtype or patches.shape[3:] != tuple(where) or not side_by_side:
        raise ValueError(f"{dy.dtype} {dy.shape} does not fit {patches.dtype} {patches.shape}")
    dW = np.zeros((np.prod(kernel), n_out), dy.dtype)  # (Ckk,O)
    compute(_sums_alone[_itemsize(dy)], _sums_together, dy.reshape(n_out, -1), patches, dW)
    return dW.T.reshape(n_out, *kernel)


def image_gradient(W, dy, shape, stride, padding):
    """As `scratchnet.conv.image_gradient`: again a convolution, of dy with the kernels turned.

        dx[c, h, w] = sum over o, i, j of W[o, c, k-1-i, k-1-j] around[o, h + i, w + j]

    where `around` is dy with k-1-p zeros on each side and s-1 between.
    """
    B, C, *pixels = shape
    n_out, _, size, _ = W.shape
    extra = max(0, padding - size + 1)  # windows that see nothing but padding
    sizes = (n + size - 1 + 2 * extra for n in pixels)
    around = np.zeros((n_out, *sizes, B), dy.dtype)  # (O,H+k-1,W+k-1,B), or more
    first = size - 1 - padding + extra
    rows, columns = (slice(first, first + stride * n, stride) for n in dy.shape[1:3])
    around[:, rows, columns] = dy  # (O,H',W',B)
    rows, columns = (slice(extra, extra + n) for n in pixels)
    patches = _windows(around, size, 1)[:, :, :, rows, columns]  # (O,k,k,H,W,B)
    turned = W[:, :, ::-1, ::-1].swapaxes(0, 1).reshape(C, n_out * size**2)  # (C,Okk)
    dx = _product(turned, patches)  # (C,Okk) @ (Okk,HWB)
    return dx.reshape(C, *pixels, B).transpose(3, 0, 1, 2)  # (B,C,H,W)


def _windows(images, size, stride):
    """The patches (C, k, k, H', W', B) of images (C, H, W, B) that are padded, as a view."""
    C, *pixels, B = images.shape
    height, width = (places(n, size, stride) for n in pixels)
    channel, row, column, image = images.strides
    strides = channel, row, column, stride * row, stride * column, image
    return as_strided(images, (C, size, size, height, width, B), strides, writeable=False)


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
def _copy(patches, channels, h, w, first, length, target):
    """Copy columns of the patches of some channels to the rows of the target."""
    size = patches.shape[1]
    for c in range(channels.start, channels.stop):
        for i in range(size):
            place = at(patches[c, i, :, h, w, :], 0, first)
            row = ((c - channels.start) * size + i) * size
            pack(target, place, size, length, at(target, row, 0))


@compiled
def _multiply(A, patches, C):
    """C[:] = A @ patches, panel by panel."""
    n_channels, size, _, height, width, images = patches.shape
    columns, at_once = VECTORS * lanes(C), max(1, DEPTH // size**2)
    panel = aligned(C, min(n_channels, at_once) * size**2, columns)
    runs, run = _runs(patches, C)
    for h in range(height):
        for w in range(runs):
            for first in range(0, run, columns):
                n = min(columns, run - first)
                product = at(C, 0, (h * width + w) * images + first)
                for c in range(0, n_channels, at_once):
                    channels = slice(c, min(n_channels, c + at_once))
                    _copy(patches, channels, h, w, first, n, panel)
                    left, right = at(A, 0, c * size**2), at(panel, 0, 0)
                    depth = (channels.stop - c) * size**2
                    multiply_panel(C, left, right, product, len(A), depth, n, c > 0)


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
                        left, right, product = at(rows, 0, 0), at(panel, 0, 0), at(C, c * size**2, o)
                        multiply_panel(C, left, right, product, m, depth, n, True)


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
