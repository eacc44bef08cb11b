"""Rounding error bounds: two correct computations of one number differ, and by how much they may.

This is a running error analysis: every operation is compared on the inputs it got. With u = eps/2,
a sum of k products computed in any order, fused or not, is off by at most γ_k Σ|a||b|, where
γ_k = ku / (1 - ku) (N. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., 2002,
section 3.1). Since A₁B₁ - A₂B₂ is exactly (A₁ - A₂) B₁ + A₂ (B₁ - B₂), two such products differ by
at most

    |A₁ - A₂| |B₁| + |A₂| |B₁ - B₂|  +  γ_k (|A₁| |B₁| + |A₂| |B₂|)
    the errors of the inputs, passed on  the rounding errors of this operation

The first part is measured, not bounded, since the inputs of both sides are known. So bounds do not
grow from layer to layer, and they are tight enough to convict. Relative errors alone cannot decide:
at p = 1 - 1e-7 the gradient p - 1 has lost seven digits to cancellation, on both sides.

In the comments: B images, C classes, I inputs and O outputs of a layer.
"""

import numpy as np

# No exp or log in use is off by more units in the last place (of 1 ulp, at most eps relative).
ULPS = 4


def gamma(k, eps):
    """Return γ_k, the relative error of a sum of k products; ValueError if k u reaches 1."""
    ku = k * eps / 2
    if ku >= 1:
        raise ValueError(f"no bound holds for sums of {k} products at eps = {eps}")
    return ku / (1 - ku)


def product_bound(a, b, *, extra=0.0, terms=0):
    """Return the bound (M, N) for A @ B (+ a vector), for A (M, K) and B (K, N) of both sides.

    Args:
        a, b: pairs (ours, theirs) of matrices of one dtype.
        extra: magnitude of what is added to each sum, such as |bias|.
        terms: how many summands `extra` stands for.
    """
    return bilinear_bound(a, b, np.matmul, a[0].shape[1] + terms, extra=extra)


def bilinear_bound(a, b, product, terms, *, extra=0.0):
    """Return the bound for product(A, B) (+ extra), for A and B of both sides.

    The bound above holds for whatever sums up products of elements of A and B: a matrix product, a
    convolution, or the gradient of one.

    Args:
        a, b: pairs (ours, theirs) of arrays of one dtype.
        product: computes these sums from two arrays in float64.
        terms: how many summands each of them has, at most, `extra` among them.
        extra: magnitude of what is added to each sum, such as |bias|.
    """
    eps, tiny = _format(a[0])
    (a1, a2), (b1, b2) = _float64(a), _float64(b)
    passed_on = product(np.abs(a1 - a2), np.abs(b1)) + product(np.abs(a2), np.abs(b1 - b2))
    summed = product(np.abs(a1), np.abs(b1)) + product(np.abs(a2), np.abs(b2)) + 2 * extra
    passed_on *= 1 + terms * np.finfo(np.float64).eps  # this sum is rounded, too
    # terms * tiny: products too small for the format are lost, whole or in part
    return passed_on + gamma(terms, eps) * summed + 2 * terms * tiny


def sum_bound(dy):
    """Return the bound (O,) for the sum over the batch of dy (B, O), a pair (ours, theirs)."""
    ones = np.ones((1, len(dy[0])), dy[0].dtype)  # (1,B)
    return product_bound((ones, ones), dy)[0]  # (1,B) @ (B,O) -> (1,O) -> (O,)


def loss_bound(logits, labels):
    """Return the bound for the mean cross-entropy of logits (B, C), a pair (ours, theirs).

    Per image: logits that differ by at most g move the loss by at most 2g. The shift by the maximum
    is rounded (u |s|), exp and log are (ULPS eps each), and the sum of C terms is (γ_C): together,
    for both sides, at most eps (C + 3 ULPS + 10 loss), absolutely. The loss of a confident image is
    a sum of 1 and next to nothing under a logarithm, so near 0 no relative error can be promised.
    """
    eps, _ = _format(logits[0])
    gap, logp = apart(logits).max(axis=1), _log_softmax(logits[1])  # (B,), (B,C)
    loss = -logp[np.arange(len(labels)), labels]  # (B,)
    n_classes = logp.shape[1]
    each = 2 * gap + eps * (n_classes + 3 * ULPS + 10 * loss)  # (B,)
    return each.mean() + 2 * gamma(len(labels), eps) * loss.mean()


def dlogits_bound(logits, dlogits):
    """Return the bound (B, C) for (softmax(logits) - onehot) / B, both arguments pairs.

    Logits that differ by at most g move log p by at most 2g; rounding moves it by at most
    eps (C + 5 ULPS + 7 |log p|) more, counted for both sides as in `loss_bound`. What this does to
    p it does, absolutely, to p - 1, however small that is; a subtraction and a division follow.
    """
    eps, tiny = _format(logits[0])
    logp = _log_softmax(logits[1])  # (B,C)
    n_images, n_classes = logp.shape
    gap = apart(logits).max(axis=1, keepdims=True)  # (B,1)
    moved = 2 * gap + eps * (n_classes + 5 * ULPS - 7 * logp)  # (B,C)
    rounded = 4 * eps * np.abs(dlogits[1].astype(np.float64))  # (B,C)
    return np.exp(logp) * np.expm1(moved) / n_images + rounded + 2 * tiny


def binary_loss_bound(logits, targets):
    """Return the bound for the mean binary cross-entropy of logits, a pair (ours, theirs).

    A cost max(x, 0) - t x + log(1 + e) with e = exp(-|x|) moves by no more than x does. However it
    is put together, from x, t x and a logarithm of at most e, that takes four roundings at most of
    2|x| + e, and exp and log are off by ULPS eps e each; counted for both sides. Of |x|, not of the
    cost: PyTorch subtracts two numbers near x, and so keeps few digits where the cost is next to 0.
    """
    eps, tiny = _format(logits[0])
    x, t = _float64((logits[1], targets))
    size, e = np.abs(x), np.exp(-np.abs(x))
    costs = np.maximum(x, 0) - t * x + np.log1p(e)
    each = apart(logits) + 2 * gamma(4, eps) * (2 * size + e) + 4 * ULPS * eps * e
    return each.mean() + 2 * gamma(x.size, eps) * costs.mean() + 2 * tiny


def binary_dlogits_bound(logits, dlogits):
    """Return the bound for (sigmoid(logits) - targets) / N, both arguments pairs.

    Logits that differ by g move log p by at most g. An exponential, a sum and a division make p, so
    that rounding moves it by at most eps (2 ULPS + 1) of itself, counted for both sides. What this
    does to p it does, absolutely, to p - 1; a subtraction and a division follow.
    """
    (eps, tiny), x = _format(logits[0]), logits[1].astype(np.float64)
    logp = np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))
    moved = apart(logits) + 2 * eps * (2 * ULPS + 1)
    rounded = 4 * eps * np.abs(dlogits[1].astype(np.float64))
    return np.exp(logp) * np.expm1(moved) / x.size + rounded + 2 * tiny


def scaled_bound(x, slope):
    """Return the bound for slope x, for a pair x: each side rounds the slope and the product."""
    eps, tiny = _format(x[0])
    rounded = slope * sum(map(np.abs, _float64(x)))
    return slope * apart(x) + gamma(2, eps) * rounded + 2 * tiny


def tanh_bound(x):
    """Return the bound for tanh(x), for a pair x.

    Where the slope is s, it is at most s + g at a distance g, as no second derivative is over 1;
    and no tanh in use is off by more than ULPS eps.
    """
    eps, tiny = _format(x[0])
    gap, theirs = apart(x), x[1].astype(np.float64)
    e = np.exp(-2 * np.abs(theirs))
    slope = 4 * e / (1 + e) ** 2  # 1 - tanh² without the subtraction
    rounded = 2 * ULPS * eps * np.abs(np.tanh(theirs))
    return gap * (slope + gap) + rounded + 2 * tiny


def slope_bound(dy, y, linear):
    """Return the bound for dy (1 - y²) of tanh or dy (y - y²) of sigmoid, dy and y being pairs.

    A sum of two products with at most three roundings each, so that where y is near 1, and the sum
    near 0, the error is not.

    Args:
        linear: whether the first term is dy y, as for sigmoid, or dy, as for tanh.
    """
    eps, tiny = _format(y[0])
    (dy1, dy2), (y1, y2) = _float64(dy), _float64(y)
    first1, first2 = (y1, y2) if linear else (1, 1)
    slope_gap = (y1 - y2) * (linear - y1 - y2)
    passed_on = np.abs(dy1 - dy2) * (first1 - y1 * y1) + np.abs(dy2 * slope_gap)
    summed = np.abs(dy1) * (first1 + y1 * y1) + np.abs(dy2) * (first2 + y2 * y2)
    return passed_on + gamma(4, eps) * summed + 4 * tiny


def sigmoid_bound(x):
    """Return the bound for 1 / (1 + exp(-x)), for a pair x.

    As for tanh; a sum and a quotient follow the exponential.
    """
    eps, tiny = _format(x[0])
    gap, theirs = apart(x), x[1].astype(np.float64)
    e = np.exp(-np.abs(theirs))
    slope, y = e / (1 + e) ** 2, np.where(theirs < 0, e, 1) / (1 + e)
    return gap * (slope + gap) + 2 * (ULPS + 1) * eps * y + 2 * tiny


def velocity_bound(g, p, v, momentum, weight_decay):
    """Return the bound for v' = momentum v + g + weight_decay p, for a pair g of gradients.

    The old velocity v and the parameter p are the same on both sides. On the way into the sum each
    term is rounded four times at most, the rates among them, and fewer where a multiplication is
    fused with an addition.
    """
    eps, tiny = _format(p)
    magnitude = _step(g, p, v, momentum, weight_decay)
    return apart(g) + 2 * gamma(4, eps) * magnitude + 8 * tiny


def parameter_bound(g, p, v, momentum, weight_decay, lr):
    """Return the bound for p' = p - lr v', with the arguments of `velocity_bound`.

    As p is the same on both sides, this bounds what their changes p' - p differ by. The subtraction
    rounds p once, and lr v' three times at most, lr and the product among them: for both sides

        |Δ₁ - Δ₂| <= lr |v'₁ - v'₂| + 2 γ₁ |p| + 2 γ₃ lr |v'|

    So a change that should not be there is seen in one step where it exceeds eps |p|: a weight
    decay from lr · weight_decay = eps on, 1.2e-7 in float32.
    """
    eps, tiny = _format(p)
    passed_on = lr * velocity_bound(g, p, v, momentum, weight_decay)
    rounded = gamma(1, eps) * np.abs(p.astype(np.float64))
    rounded += gamma(3, eps) * lr * _step(g, p, v, momentum, weight_decay)
    return passed_on + 2 * rounded + 8 * tiny


def mean_bound(g, m, beta):
    """Return the bound for Adam's m' = m + (1 - β) (g - m), for a pair g of gradients.

    The old mean m is the same on both sides. Each side rounds at most five times, and computes with
    nothing larger than |g| + |m|.
    """
    eps, tiny = _format(m)
    summed = np.abs(m.astype(np.float64)) + _larger(g)
    return (1 - beta) * apart(g) + 2 * gamma(5, eps) * summed + 8 * tiny


def square_bound(g, v, beta):
    """Return the bound for Adam's v' = β v + (1 - β) g², with the arguments of `mean_bound`.

    The terms are positive, so that four roundings of each stay relative; but g² may underflow.
    """
    (eps, tiny), larger = _format(v), _larger(g)
    passed_on = (1 - beta) * apart(g) * 2 * larger
    summed = beta * v.astype(np.float64) + (1 - beta) * larger**2
    return passed_on + 2 * gamma(5, eps) * summed + 8 * tiny


def adam_bound(m, v, p, t, lr, betas, eps):
    """Return the bound for Adam's p' = p - lr m̂ / (√v̂ + eps), in step t, for pairs m and v.

    A gradient that has cancelled is rounding alone, and the division by √v̂ makes a step of full
    length of it. A bound on the gradients would be of no use here; but m and v, after their update,
    are known. The step U that follows from each side's own is computed in float64: what the
    two differ by is passed on. Each side rounds U at most eight times, the constants in it among
    them, and here it is rounded as often; a subtraction follows.
    """
    unit, tiny = _format(p)  # eps is Adam's
    first, second = (1 - beta**t for beta in betas)
    moments = zip(_float64(m), _float64(v), strict=True)
    steps = [lr / first * m_ / (np.sqrt(v_ / second) + eps) for m_, v_ in moments]
    size, passed_on = sum(map(np.abs, steps)), np.abs(steps[0] - steps[1])
    rounded = gamma(16, unit) * size
    return passed_on + rounded + unit * (np.abs(p) + size) + 8 * tiny


def apart(pair):
    """How far two arrays are apart, element by element."""
    return np.abs(pair[0].astype(np.float64) - pair[1])


def _format(array):
    """Return (eps, the smallest normal number) of an array's dtype."""
    info = np.finfo(array.dtype)
    return float(info.eps), float(info.tiny)


def _float64(arrays):
    return [array.astype(np.float64) for array in arrays]


def _step(g, p, v, momentum, weight_decay):
    """The summands of the new velocity, all of them positive."""
    p, v = map(np.abs, _float64((p, v)))
    return _larger(g) + weight_decay * p + momentum * v


def _log_softmax(logits):
    logits = logits.astype(np.float64)  # (B,C)
    shifted = logits - logits.max(axis=1, keepdims=True)  # (B,C)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (B,C)


def _larger(pair):
    """The larger magnitude of two arrays, element by element."""
    return np.maximum(*map(np.abs, _float64(pair)))
