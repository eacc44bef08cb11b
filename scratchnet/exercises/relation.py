"""The relation of a wrong tensor to the right one: 32 times it, its transpose, its mask off, ...

A relation is only named where it holds for every element up to rounding, and where it could have
failed to: one number is a multiple of any other, so a single number is only compared with factors
that mean something.
"""

from itertools import permutations

import numpy as np

ROUNDING = 4096  # eps of the largest element: far over any order of summation, far under a mistake


def alike(a, b):
    """Tell whether two arrays of one shape are equal up to rounding; NaN and ∞ in the same places."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fc" or b.dtype.kind not in "fc":
        return np.array_equal(a, b)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return False
    return excess(a, b) <= 1


def excess(a, b):
    """Return the largest difference of the finite elements, as a multiple of what rounding explains."""
    finite = np.isfinite(b)
    if not finite.any():
        return 0.0
    eps = max(float(np.finfo(t.dtype).eps) for t in (a, b))
    off = float(np.abs(a[finite].astype(np.float64) - b[finite]).max())
    top = float(np.abs(b[finite].astype(np.float64)).max())
    return 0.0 if off == 0 else off / (ROUNDING * eps * top) if top else np.inf


def relation(theirs, right, factors, before=None):
    """Return what a wrong tensor is to the right one, such as "32 x" or "transposed", or None.

    Args:
        theirs, right: the two arrays.
        factors: {what a factor is: its value}, such as {"the number of images": 32}.
        before: the right tensor of the step before, if there was one.
    """
    if not isinstance(theirs, np.ndarray) or theirs.dtype.kind != "f" or right.dtype.kind != "f":
        return None
    if theirs.shape != right.shape:
        return _of_another_shape(theirs, right)
    if not np.isfinite(theirs).all() or not np.isfinite(right).all():
        return "not finite" if np.isfinite(right).all() else None
    if not theirs.any():
        return "zero" if right.any() else None
    if not right.any():
        return None
    return (
        _multiple(theirs, right, factors)
        or _rearranged(theirs, right)
        or _masked(theirs, right)
        or _precision(theirs, right)
        or _of_the_step_before(theirs, right, before)
        or _shifted(theirs, right)
        or _signs(theirs, right)
    )


def _of_another_shape(theirs, right):
    if theirs.size == right.size:
        axes = permutations(range(theirs.ndim)) if theirs.ndim <= 4 else ()
        for order in axes:
            turned = theirs.transpose(order)
            if turned.shape == right.shape and alike(turned, right):
                return "transposed"
        if alike(theirs.ravel(), right.ravel()):
            return "reshaped"
        return None
    for axis in range(theirs.ndim):
        for word, reduced in (("summed", theirs.sum(axis=axis)), ("averaged", theirs.mean(axis=axis))):
            if reduced.shape == right.shape and alike(reduced, right):
                return f"not {word} over axis {axis}"
    for axis in range(right.ndim):
        for word, reduced in (("summed", right.sum(axis=axis)), ("averaged", right.mean(axis=axis))):
            if alike(theirs.squeeze(), reduced.squeeze()):
                return f"{word} over axis {axis}"
    return None


def _multiple(theirs, right, factors):
    """c times the right one, in every element."""
    flat, ours = right.ravel().astype(np.float64), theirs.ravel().astype(np.float64)
    c = float(ours @ flat / (flat @ flat))
    if not alike(theirs, (c * right).astype(right.dtype)):
        return None
    for value in (-1.0, *(sign * f for f in factors.values() for sign in (1, -1))):
        for power in (value, 1 / value):
            if np.isclose(c, power, rtol=1e-9 if right.dtype == np.float64 else 1e-5, atol=0):
                return _times(power)
    return _times(c) if np.count_nonzero(right) > 1 else None


def _times(c):
    if c == -1:
        return "the opposite sign"
    for n in range(2, 1000):
        for sign in (1, -1):
            if np.isclose(c, sign / n, rtol=1e-6, atol=0):
                return f"{'-' if sign < 0 else ''}1/{n} x"
    return f"{c:.6g} x"


def _rearranged(theirs, right):
    """The right numbers in other places."""
    if right.size < 3 or right.ndim == 0:
        return None
    for order in list(permutations(range(right.ndim)))[1:]:
        turned = right.transpose(order)
        if turned.shape == theirs.shape and not alike(turned, right) and alike(theirs, turned):
            return "transposed"
        if turned.shape != theirs.shape and alike(theirs, turned.reshape(theirs.shape)):
            return "transposed, then reshaped"
    for axis in range(right.ndim):
        if right.shape[axis] > 1 and alike(theirs, np.flip(right, axis)):
            return f"turned round along axis {axis}"
    if right.ndim > 1 and alike(theirs, np.flip(right, (-2, -1))):
        return "turned round along the last two axes"
    return None


def _masked(theirs, right):
    """A mask is on where it should be off, or off where it should be on."""
    same = np.isclose(theirs, right, rtol=_tolerance(right), atol=_tolerance(right) * np.abs(right).max())
    if not same.any() or same.mean() < 0.02 or not right[same].any():
        return None
    if not theirs[~same].any():
        return "0 in places where it should not be"
    if not right[~same].any():
        return "not 0 in places where it should be"
    return None


def _precision(theirs, right):
    if right.dtype == np.float64 and np.abs(theirs - right).max() <= 1e-5 * np.abs(right).max():
        single = np.abs(theirs - right).max() / np.abs(right).max()
        if alike(theirs, theirs.astype(np.float32).astype(np.float64)) and single < 2e-6:
            return "computed in single precision"
    return None


def _of_the_step_before(theirs, right, before):
    if before is None or before.shape != right.shape or not before.any():
        return None
    if alike(theirs, before):
        return "that of the batch before"
    if alike(theirs, right + before):
        return "that of the batch before added to it"
    return None


def _shifted(theirs, right):
    """One row or one column off."""
    for axis in range(right.ndim):
        n = right.shape[axis]
        if n < 3:
            continue
        inner = [slice(None)] * right.ndim
        ahead, behind = list(inner), list(inner)
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        for mine, other, word in ((ahead, behind, "later"), (behind, ahead, "earlier")):
            a, b = theirs[tuple(mine)], right[tuple(other)]
            if b.any() and np.ptp(b) and alike(a, b):
                return f"one place {word} along axis {axis}"
    return None


def _signs(theirs, right):
    if (right < 0).any() and alike(theirs, np.abs(right)):
        return "without its signs"
    return None


def _tolerance(right):
    return ROUNDING * float(np.finfo(right.dtype).eps)
