"""Evidence in a bug hunt: what can be found out about a network, and what it costs.

A tensor is cheap, and says little; but which one to ask for next is what debugging is about. With
thirty tensors in a step, the first wrong one is five questions away. What tells more costs more.
"""

from dataclasses import dataclass

import numpy as np

from scratchnet.checking.gradcheck import check_network
from scratchnet.checking.trace import short
from scratchnet.errors import UsageError
from scratchnet.exercises import diagnosis, implementation, sample_training, walk
from scratchnet.exercises.diagnosis import NoArray
from scratchnet.exercises.hunt import measure
from scratchnet.exercises.probes import digits

PROBES = 30  # finite differences a parameter


@dataclass(frozen=True)
class Kind:
    """A kind of evidence."""

    price: int
    says: str
    of_tensor: bool = False  # whether it has to be told which


KINDS = {
    "tensor": Kind(1, "right or wrong, in each of eight training steps", of_tensor=True),
    "curves": Kind(2, "the same training without the mistake, beside what the owner saw"),
    "gradcheck": Kind(3, "every gradient, compared with finite differences"),
    "numbers": Kind(4, "some of its numbers beside the right ones, where it is wrong first", True),
    "name": Kind(10, "the mistake, by its name in the catalogue"),
}


def buy(hunt, kind, tensor=None):
    """Return the answer to a question about the files of a hunt as they are now; note its price.

    Raises:
        UsageError: no such evidence, or no such tensor.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no evidence {kind!r}: choose one of {', '.join(KINDS)}")
    names = tensors(hunt.bug.model)
    if not KINDS[kind].of_tensor and tensor is not None:
        raise UsageError(f"`{kind}` is asked for alone, without {tensor}")
    if KINDS[kind].of_tensor and tensor not in names:
        raise UsageError(f"`{kind}` needs a tensor, not {tensor}: {', '.join(names)}")
    answer = {
        "tensor": _tensor, "curves": _curves, "gradcheck": _gradcheck, "numbers": _numbers,
        "name": _name,
    }[kind](hunt, tensor)  # fmt: skip
    title = f"{kind} {tensor}" if tensor else kind
    hunt.bought.append({"evidence": title, "price": KINDS[kind].price, "answer": answer})
    hunt.save()
    return answer


def tensors(model):
    """Return the names of the tensors of a training step, in the order of computation."""
    return walk.tensors(diagnosis.right(walk.walk, walk.CASES[model]))


def _measured(hunt, function):
    """Return function(implementation, model) of the hunt's files; UsageError if they do not run."""
    found, stopped = measure(hunt, function, hunt.bug.model)
    if stopped:
        raise UsageError(f"nothing can be measured: {stopped}")
    return found


def _walk(nn, model):
    return diagnosis.trace(nn, walk.walk, walk.CASES[model]())


def _places(hunt, tensor):
    """Yield (case, name in it, right array, theirs or None) wherever a step has the tensor."""
    traces = _measured(hunt, _walk)
    for case, its in diagnosis.right(walk.walk, walk.CASES[hunt.bug.model]).items():
        for name, right in its.items():
            if name.split(" in ")[0] == tensor:
                yield traces[case], name, right, traces[case].get(name)


def _tensor(hunt, tensor):
    lines = []
    for its, name, right, theirs in _places(hunt, tensor):
        where = name.split(" in ", 1)[1]
        if theirs is None:
            found = f"not computed: {its[''].text}" if "" in its else "not computed"
        else:
            found = "right" if diagnosis.same(theirs, right) else "wrong"
        lines.append(f"{where:35} {found}")
    return "\n".join(lines)


def _numbers(hunt, tensor):
    for _, name, right, theirs in _places(hunt, tensor):
        if theirs is None:
            return f"{name} was not computed"
        if isinstance(theirs, NoArray):
            return f"{name} is a {theirs.kind}, not an array"
        if theirs.shape != right.shape:
            return f"{name} has the shape {theirs.shape}; {right.shape} is right"
        if not diagnosis.same(theirs, right):
            corner = _corner(theirs, right)
            with np.printoptions(precision=6, linewidth=90):
                return (
                    f"{name}, of the shape {right.shape}; at {_shown(corner)} it is\n"
                    f"{theirs[corner]}\nand should be\n{right[corner]}"
                )
    return f"{tensor} is right in every step"


def _corner(theirs, right):
    """Return slices of some rows and columns around the largest difference."""
    with np.errstate(invalid="ignore"):
        off = np.nan_to_num(np.abs(theirs - right), nan=np.inf)
    worst = np.unravel_index(np.argmax(off), right.shape)
    last = len(worst) - 1
    spans = [5 if axis == last else 3 if axis == last - 1 else 1 for axis in range(len(worst))]
    firsts = [
        max(0, min(at - span // 2, n - span))
        for at, n, span in zip(worst, right.shape, spans, strict=True)
    ]
    return tuple(slice(f, f + span) for f, span in zip(firsts, spans, strict=True))


def _shown(corner):
    return "[" + ", ".join(f"{part.start}:{part.stop}" for part in corner) + "]"


def _curves(hunt, _):
    model = hunt.bug.model
    theirs, right = (
        sample_training.train(nn, model).history
        for nn in (implementation.with_bugs(hunt.bug), implementation.ours())
    )
    columns = sample_training.COLUMNS[model][1:]
    lines = ["epoch  " + "  ".join(f"{c.replace('_', ' '):>20} (right)" for c in columns)]
    for number, row in enumerate(right):
        its = theirs[number] if number < len(theirs) else {}
        cells = (f"{its.get(c, np.nan):20.4f} ({row[c]:.4f})" for c in columns)
        lines.append(f"{row['epoch']:5}  " + "  ".join(cells))
    return "\n".join(lines)


def _gradcheck(hunt, _):
    return "\n".join(
        f"{name:6} {'right' if check.ok else 'wrong'}: off by {check.worst:.2g} times what is "
        f"allowed, in {check.kept} places"
        for name, check in _measured(hunt, _checks).items()
    )


def _checks(nn, model):
    """Return {"dW1": Check, ...} of a small network on 6 digits."""
    images, labels = digits()
    settings = {"rng": np.random.default_rng(0), "probes": PROBES}
    pixels = images[:6].reshape(6, -1) / 255  # (B,784)
    noise = np.random.default_rng(1).standard_normal((6, walk.SMALL["gan"][0]))  # (B,Z)
    targets = np.array([[1.0], [0], [1], [0], [1], [1]])  # (B,1)
    if model == "gan":
        loss, batches = (
            nn.losses.binary_cross_entropy,
            [(2 * pixels - 1, targets), (noise, targets)],
        )
    else:
        loss, batches = nn.losses.softmax_cross_entropy, [(pixels, labels[:6])]
    found = {}
    for player, title, batch in zip(walk.build(nn, model), ("D.", "G."), batches, strict=False):
        checks = check_network(player[0], loss, *batch, **settings)
        title = title if len(batches) > 1 else ""
        found |= {title + name: check for name, check in short(checks.items(), "d").items()}
    return found


def _name(hunt, _):
    return f"{hunt.bug.name} (in {hunt.bug.file.split('/')[-1]})"
