"""The relation of a wrong tensor to the right one: 32 times it, its transpose, its mask off, ...

A relation is only named where it holds for every element up to rounding, and where it could have
failed to: one number is a multiple of any other, so a single number is only compared with factors
that mean something.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np

ROUNDING = 4096  # eps of the largest element: far over any order of summation, far under a mistake


def alike(a, b, rounding=None):
    """Tell whether two arrays are equal up to rounding, with NaN and ∞ in the same places."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fc" or b.dtype.kind not in "fc":
        return np.array_equal(a, b)
    finite = np.isfinite(b)
    if (
        not np.array_equal(a[~finite], b[~finite], equal_nan=True)
        or not np.isfinite(a[finite]).all()
    ):
        return False
    return excess(a, b, rounding) <= 1


def excess(a, b, rounding=None):
    """Return the largest difference of finite elements, as a multiple of what rounding explains.

    Args:
        rounding: what it explains, relative to the largest element; by default ROUNDING eps.
    """
    finite = np.isfinite(b)
    if not finite.any():
        return 0.0
    if rounding is None:
        rounding = ROUNDING * max(float(np.finfo(t.dtype).eps) for t in (a, b))
    off = float(np.abs(a[finite].astype(np.float64) - b[finite]).max())
    top = float(np.abs(b[finite].astype(np.float64)).max())
    return 0.0 if off == 0 else off / (rounding * top) if top else np.inf


def relation(theirs, right, factors, before=None, rounding=None):
    """Return what a wrong tensor is to the right one, such as "32 x" or "transposed", or None.

    Args:
        theirs, right: the two arrays.
        factors: the numbers that one could be multiplied or divided by in place of another.
        before: the right tensor of the step before, if there was one.
        rounding: as in `excess`.
    """
    if theirs.dtype.kind != "f" or right.dtype.kind != "f":
        return None
    pair = _Pair(
        theirs, right, ROUNDING * float(np.finfo(right.dtype).eps) if rounding is None else rounding
    )
    if theirs.shape != right.shape:
        return pair.of_another_shape()
    if not np.isfinite(theirs).all() or not np.isfinite(right).all():
        return "not finite" if np.isfinite(right).all() else None
    if not theirs.any():
        return "zero" if right.any() else None
    if not right.any():
        return None
    return (
        pair.multiple(factors)
        or pair.rearranged()
        or pair.masked()
        or pair.precision()
        or pair.of_the_batch_before(before)
        or pair.shifted()
        or pair.signs()
    )


@dataclass(frozen=True)
class _Pair:
    theirs: np.ndarray
    right: np.ndarray
    rounding: float

    def alike(self, a, b):
        return alike(a, b, self.rounding)

    def of_another_shape(self):
        theirs, right = self.theirs, self.right
        if theirs.size == right.size:
            axes = permutations(range(theirs.ndim)) if theirs.ndim <= 4 else ()
            for order in axes:
                turned = theirs.transpose(order)
                if turned.shape == right.shape and self.alike(turned, right):
                    return "transposed"
            if self.alike(theirs.ravel(), right.ravel()):
                return "reshaped"
            return None
        for axis in range(theirs.ndim):
            for word, reduced in (
                ("summed", theirs.sum(axis=axis)),
                ("averaged", theirs.mean(axis=axis)),
            ):
                if reduced.shape == right.shape and self.alike(reduced, right):
                    return f"not {word} over axis {axis}"
        for axis in range(right.ndim):
            for word, reduced in (
                ("summed", right.sum(axis=axis)),
                ("averaged", right.mean(axis=axis)),
            ):
                if self.alike(theirs.squeeze(), reduced.squeeze()):
                    return f"{word} over axis {axis}"
        return None

    def multiple(self, factors):
        """c times the right one, in every element."""
        theirs, right = self.theirs, self.right
        flat, ours = right.ravel().astype(np.float64), theirs.ravel().astype(np.float64)
        c = float(ours @ flat / (flat @ flat))
        if not self.alike(theirs, (c * right).astype(right.dtype)):
            return None
        for value in (-1.0, *(sign * f for f in factors for sign in (1, -1))):
            for power in (value, 1 / value):
                if np.isclose(c, power, rtol=self.rounding, atol=0):
                    return _times(power)
        return _times(c) if np.count_nonzero(right) > 1 else None

    def rearranged(self):
        """The right numbers in other places."""
        theirs, right = self.theirs, self.right
        if right.size < 3 or right.ndim == 0:
            return None
        for order in list(permutations(range(right.ndim)))[1:]:
            turned = right.transpose(order)
            if (
                turned.shape == theirs.shape
                and not self.alike(turned, right)
                and self.alike(theirs, turned)
            ):
                return "transposed"
            if turned.shape != theirs.shape and self.alike(theirs, turned.reshape(theirs.shape)):
                return "transposed, then reshaped"
        for axis in range(right.ndim):
            if right.shape[axis] > 1 and self.alike(theirs, np.flip(right, axis)):
                return f"turned round along axis {axis}"
        if right.ndim > 1 and self.alike(theirs, np.flip(right, (-2, -1))):
            return "turned round along the last two axes"
        return None

    def masked(self):
        """A mask is on where it should be off, or off where it should be on."""
        theirs, right = self.theirs, self.right
        same = np.isclose(
            theirs, right, rtol=self.rounding, atol=self.rounding * np.abs(right).max()
        )
        if not same.any() or same.mean() < 0.02 or not right[same].any():
            return None
        if not theirs[~same].any():
            return "0 in places where it should not be"
        if not right[~same].any():
            return "not 0 in places where it should be"
        return None

    def precision(self):
        theirs, right = self.theirs, self.right
        if right.dtype == np.float64 and np.abs(theirs - right).max() <= 1e-5 * np.abs(right).max():
            single = np.abs(theirs - right).max() / np.abs(right).max()
            if self.alike(theirs, theirs.astype(np.float32).astype(np.float64)) and single < 2e-6:
                return "computed in single precision"
        return None

    def of_the_batch_before(self, before):
        theirs, right = self.theirs, self.right
        if before is None or before.shape != right.shape or not before.any():
            return None
        if self.alike(theirs, before):
            return "that of the batch before"
        if self.alike(theirs, right + before):
            return "that of the batch before added to it"
        return None

    def shifted(self):
        """One row or one column off."""
        theirs, right = self.theirs, self.right
        for axis in range(right.ndim):
            n = right.shape[axis]
            if n < 3:
                continue
            inner = [slice(None)] * right.ndim
            ahead, behind = list(inner), list(inner)
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            for mine, other, word in ((ahead, behind, "later"), (behind, ahead, "earlier")):
                a, b = theirs[tuple(mine)], right[tuple(other)]
                if b.any() and np.ptp(b) and self.alike(a, b):
                    return f"one place {word} along axis {axis}"
        return None

    def signs(self):
        theirs, right = self.theirs, self.right
        if (right < 0).any() and self.alike(theirs, np.abs(right)):
            return "without its signs"
        return None


def _times(c):
    if c == -1:
        return "the opposite sign"
    for n in range(2, 1000):
        for sign in (1, -1):
            if np.isclose(c, sign / n, rtol=1e-6, atol=0):
                return f"{'-' if sign < 0 else ''}1/{n} x"
    return f"{c:.6g} x"
