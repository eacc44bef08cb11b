"""Two honest computations of one number differ; this file says by how much they may.

Every operation is judged on the inputs it got. With u = eps/2, a sum of k products computed in any
order, fused or not, is off by at most γ_k Σ|a||b| with γ_k = ku / (1 - ku) (N. Higham, *Accuracy
and Stability of Numerical Algorithms*, 2nd ed., 2002, section 3.1). Since A₁B₁ - A₂B₂ is exactly
(A₁ - A₂) B₁ + A₂ (B₁ - B₂), two such products differ by at most

    |A₁ - A₂| |B₁| + |A₂| |B₁ - B₂|  +  γ_k (|A₁| |B₁| + |A₂| |B₂|)
    what came in different, passed on   what is rounded here

The first part is measured, not bounded: the inputs lie on the table. So bands do not swell from
layer to layer, and a band is tight enough to convict. Why relative errors alone cannot judge: at
p = 1 - 1e-7 the gradient p - 1 has lost seven digits on both sides, through no one's fault.

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


def product_band(a, b, *, extra=0.0, terms=0):
    """Return the band (M, N) around A @ B (+ a vector), for A (M, K) and B (K, N) of both sides.

    Args:
        a, b: pairs (ours, theirs) of matrices of one dtype.
        extra: magnitude of what is added to each sum, such as |bias|.
        terms: how many summands `extra` stands for.
    """
    return bilinear_band(a, b, np.matmul, a[0].shape[1] + terms, extra=extra)


def bilinear_band(a, b, product, terms, *, extra=0.0):
    """Return the band around product(A, B) (+ extra), for A and B of both sides.

    The law above holds for whatever is a sum of products of elements of A and B: a matrix product,
    a convolution, or the gradient of one.

    Args:
        a, b: pairs (ours, theirs) of arrays of one dtype.
        product: computes these sums from two arrays in float64.
        terms: how many summands each of them has, at most, `extra` among them.
        extra: magnitude of what is added to each sum, such as |bias|.
    """
    info = np.finfo(a[0].dtype)
    (a1, a2), (b1, b2) = (tuple(m.astype(np.float64) for m in pair) for pair in (a, b))
    passed_on = product(np.abs(a1 - a2), np.abs(b1)) + product(np.abs(a2), np.abs(b1 - b2))
    summed = product(np.abs(a1), np.abs(b1)) + product(np.abs(a2), np.abs(b2)) + 2 * extra
    passed_on *= 1 + terms * np.finfo(np.float64).eps  # this sum is rounded, too
    # terms * tiny: products too small for the format are lost, whole or in part
    return passed_on + gamma(terms, float(info.eps)) * summed + 2 * terms * float(info.tiny)


def sum_band(dy):
    """Return the band (O,) around the sum over the batch of dy (B, O), a pair (ours, theirs)."""
    ones = np.ones((1, len(dy[0])), dy[0].dtype)  # (1,B)
    return product_band((ones, ones), dy)[0]  # (1,B) @ (B,O) -> (1,O) -> (O,)


def loss_band(logits, labels):
    """Return the band around the mean cross-entropy of logits (B, C), a pair (ours, theirs).

    Per image: logits that differ by at most g move the loss by at most 2g. The shift by the maximum
    is rounded (u |s|), exp and log are (ULPS eps each), and the sum of C terms is (γ_C): together,
    for both sides, at most eps (C + 3 ULPS + 10 loss), absolutely. The loss of a confident image is
    a sum of 1 and next to nothing under a logarithm, so near 0 no relative error can be promised.
    """
    eps = float(np.finfo(logits[0].dtype).eps)
    gap, logp = _gap(logits), _log_softmax(logits[1])  # (B,1), (B,C)
    loss = -logp[np.arange(len(labels)), labels]  # (B,)
    n_classes = logp.shape[1]
    each = 2 * gap[:, 0] + eps * (n_classes + 3 * ULPS + 10 * loss)  # (B,)
    return each.mean() + 2 * gamma(len(labels), eps) * loss.mean()


def dlogits_band(logits, dlogits):
    """Return the band (B, C) around (softmax(logits) - onehot) / B, both arguments pairs.

    Logits that differ by at most g move log p by at most 2g; rounding moves it by at most
    eps (C + 5 ULPS + 7 |log p|) more, counted for both sides as in `loss_band`. What this does to p
    it does, absolutely, to p - 1, however small that is; a subtraction and a division follow.
    """
    info = np.finfo(logits[0].dtype)
    eps = float(info.eps)
    logp = _log_softmax(logits[1])  # (B,C)
    n_images, n_classes = logp.shape
    moved = 2 * _gap(logits) + eps * (n_classes + 5 * ULPS - 7 * logp)  # (B,C)
    rounded = 4 * eps * np.abs(dlogits[1].astype(np.float64))  # (B,C)
    return np.exp(logp) * np.expm1(moved) / n_images + rounded + 2 * float(info.tiny)


def velocity_band(g, p, v, momentum, weight_decay):
    """Return the band around v' = momentum v + g + weight_decay p, for a pair g of gradients.

    The old velocity v and the parameter p are the same on both sides; each side rounds at most five
    times, whether it fuses multiplications with additions or not.
    """
    info = np.finfo(p.dtype)
    magnitude = _step(g, p, v, momentum, weight_decay)
    passed_on = np.abs(g[0].astype(np.float64) - g[1])
    return passed_on + 5 * float(info.eps) * magnitude + 8 * float(info.tiny)


def parameter_band(g, p, v, lr, momentum, weight_decay):
    """Return the band around p' = p - lr v', with the arguments of `velocity_band`."""
    info = np.finfo(p.dtype)
    magnitude = np.abs(p) + lr * _step(g, p, v, momentum, weight_decay)
    passed_on = lr * velocity_band(g, p, v, momentum, weight_decay)
    return passed_on + 3 * float(info.eps) * magnitude + 8 * float(info.tiny)


def _step(g, p, v, momentum, weight_decay):
    """The summands of the new velocity, all of them positive."""
    g, p, v = (np.abs(t.astype(np.float64)) for t in (g[1], p, v))
    return g + weight_decay * p + momentum * v


def _gap(logits):
    """How far the logits of each image are apart, at most: (B,1)."""
    ours, theirs = (side.astype(np.float64) for side in logits)
    return np.abs(ours - theirs).max(axis=1, keepdims=True)  # (B,1)


def _log_softmax(logits):
    logits = logits.astype(np.float64)  # (B,C)
    shifted = logits - logits.max(axis=1, keepdims=True)  # (B,C)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (B,C)
