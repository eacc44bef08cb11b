"""Steps in lockstep, and what is wrong in them: shared by the tests of all networks."""

import torch

import scratchnet
from torch_ref.lockstep.step import Lockstep

FLOATS = ["float32", "float64"]


def one_step(mlp, x, labels, loss_function=scratchnet.softmax_cross_entropy, lr=0.1):
    """Take one step on arrays x (B, I) and labels (B,); return the Step."""
    pair = Lockstep(mlp, scratchnet.SGD(mlp, lr), loss_function)
    return pair.step((x, labels), (torch.from_numpy(x), torch.from_numpy(labels)))


def failures(step):
    return [f"{c.name} {c.excess:.3g}" for c in step.comparisons if not c.ok] + [
        flip for flip in step.flips if not flip.excused
    ]


def backwards_sum(a, b):
    """A product as honest as any other, that adds its terms up in the opposite order."""
    return a[:, ::-1] @ b[::-1]


def assert_excused(step):
    """Units have flipped, each within rounding of 0, and nothing else is wrong."""
    assert step.flips
    assert not failures(step)
    for flip in step.flips:
        assert flip.name == "z1"
        assert (flip.ours > 0) != (flip.theirs > 0)
        assert 0 < max(abs(flip.ours), abs(flip.theirs)) <= flip.bound < 1e-3
