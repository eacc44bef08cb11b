"""Variants: mistakes of the catalogue, as those make them who write the rest differently.

A variant has the name of its mistake and other edits, as where `softmax_cross_entropy` calls
`softmax`, so that a mistake in one is in both. It is replayed, and reported under that name.
"""

from scratchnet.checking import bugs
from scratchnet.exercises.implementation import FILES

LOSS = "- loss = (np.log(total[:, 0]) - shifted[images, labels]).mean()"
LOG_OF_P = "+ loss = -np.log((exp / total)[images, labels]).mean()"
RIGHT = "+ loss = (np.logaddexp.reduce(logits, axis=1) - logits[images, labels]).mean()"
IN_SOFTMAX = "- np.exp(logits - logits.max(axis=1, keepdims=True))"
IN_LOSS = "- shifted = logits - logits.max(axis=1, keepdims=True)"


def _in_both(name, softmax, loss):
    """The patches of a mistake of the softmax: in one function or both, whatever the loss is."""
    places = [softmax, softmax + loss]
    for written in (LOG_OF_P, RIGHT):
        other = f"    {LOSS}\n    {written}\n"
        places += [loss + other, softmax + loss + other]
    return "".join(f"{name}\n{place}" for place in places)


def _shift(name, maximum):
    return _in_both(
        name,
        f"    {IN_SOFTMAX}\n    + np.exp(logits - {maximum})\n",
        f"    {IN_LOSS}\n    + shifted = logits - {maximum}\n",
    )


def _epsilon(eps):
    """The patches that keep a logarithm from 0 by such an epsilon: added, or as a bound."""
    name, names = "The logarithm is", "The logarithms of the binary loss are"
    p = "(exp / total)[images, labels]"
    softmax = (f"{p} + {eps}", f"np.maximum({p}, {eps})", f"np.clip({p}, {eps}, 1 - {eps})")
    added, clipped = (f"p + {eps}", f"1 - p + {eps}"), ("p", "1 - p")
    binary = (
        ("sigmoid(logits)", *added),
        (f"np.clip(sigmoid(logits), {eps}, 1 - {eps})", *clipped),
    )
    for kept in softmax:
        yield f"{name} kept from 0 by an epsilon\n    {LOSS}\n    + loss = -np.log({kept}).mean()\n"
    for probability, of_1, of_0 in binary:
        yield (
            f"{names} kept from 0 by an epsilon\n"
            "    - costs = np.maximum(logits, 0) - targets * logits"
            " + np.log1p(np.exp(-np.abs(logits)))\n"
            f"    + p = {probability}\n"
            f"    +     costs = -targets * np.log({of_1}) - (1 - targets) * np.log({of_0})\n"
        )


SUM = _in_both(
    "One sum for the whole batch",
    "    - exp / exp.sum(axis=1, keepdims=True)\n    + exp / exp.sum()\n",
    "    - total = exp.sum(axis=1, keepdims=True)\n    + total = exp.sum(keepdims=True)\n",
)
EPSILONS = ("1e-5", "1e-6", "1e-7", "1e-8", "1e-9", "1e-10", "1e-12", "1e-15")
CATALOGUE = f"""
[mlp: nn/layers.py]
Gradients add up from batch to batch
    - self.dW = self.matmul(self.x.T, dy)
    + self.dW = self.dW + self.matmul(self.x.T, dy)
Gradients add up from batch to batch
    - self.db = dy.sum(axis=0)  # (B,O) -> (O,)
    + self.db = self.db + dy.sum(axis=0)

[mlp: nn/losses.py]
{_shift("No maximum is subtracted", "0")}\
{_shift("One maximum for the whole batch", "logits.max()")}\
{_shift("The maximum is taken along the wrong axis", "logits.max(axis=0, keepdims=True)")}\
{SUM}\
Sum instead of mean
    {LOSS}
    + loss = (np.log(total[:, 0]) - shifted[images, labels]).sum()
Labels are off by one
    {LOSS}
    + loss = (np.log(total[:, 0]) - shifted[images, labels - 1]).mean()
    - dlogits[images, labels] -= 1
    + dlogits[images, labels - 1] -= 1
{"".join(patch for eps in EPSILONS for patch in _epsilon(eps))}
[mlp: data/batches.py]
The same order in every epoch
    - order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)
    -     for first in
    + order = np.random.default_rng(seed).permutation(len(x))
    +     for first in
The same order in every epoch
    - order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)
    -     for first in
    + order = np.random.RandomState(seed).permutation(len(x))
    +     for first in
The same order in every epoch
    - order = shuffled(len(x), seed=seed, epoch=epoch)  # (N,)
    -     for first in
    + order = shuffled(len(x), seed=seed, epoch=0)
    +     for first in
"""

VARIANTS = tuple(bugs.parse(CATALOGUE))
REPLAYED = (*(bug for bug in bugs.BUGS if bug.file in FILES.values()), *VARIANTS)
