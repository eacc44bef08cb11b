"""Right ways to write the same functions: no check may find fault with any of them.

A site is a text of ours and other texts that mean the same; those of one function are combined.
"""

import itertools
from typing import NamedTuple


class Site(NamedTuple):
    right: str  # stands in the file exactly once
    others: tuple


Y = "y = self.matmul(x, self.W)  # (B,I) @ (I,O) -> (B,O)\n        y += self.b"
LINEAR_FORWARD = Site(
    Y,
    (
        "y = x @ self.W + self.b",
        "y = x.dot(self.W) + self.b[None, :]",
        "y = np.dot(x, self.W) + np.tile(self.b, (len(x), 1))",
        "y = np.einsum('bi,io->bo', x, self.W) + self.b",
        "y = np.tensordot(x, self.W, axes=1) + self.b",
        "y = (self.W.T @ x.T).T + self.b",
        "y = (self.W.T @ x.T + self.b[:, None]).T",
        "y = np.array([row @ self.W + self.b for row in x])",
        "y = np.stack([x @ self.W[:, o] + self.b[o] for o in range(len(self.b))], axis=1)",
        "y = self.b + sum(x[:, i : i + 1] * self.W[i] for i in range(len(self.W)))",
        "y = self.b + sum(x[:, i : i + 1] * self.W[i] for i in reversed(range(len(self.W))))",
        "y = (x[:, :, None] * self.W).sum(axis=1) + self.b",
        "y = (x.astype(np.float64) @ self.W.astype(np.float64) + self.b).astype(x.dtype)",
        "y = np.c_[x, np.ones(len(x), x.dtype)] @ np.vstack([self.W, self.b])",
        "y = np.empty((len(x), len(self.b)), x.dtype)\n"
        "        np.matmul(x, self.W, out=y)\n"
        "        np.add(y, self.b, out=y)",
        "y = np.zeros((len(x), len(self.b)), x.dtype)\n"
        "        for n in range(len(x)):\n"
        "            for o in range(len(self.b)):\n"
        "                y[n, o] = np.dot(x[n], self.W[:, o]) + self.b[o]",
    ),
)
LINEAR_BACKWARD = (
    Site(
        "self.dW = self.matmul(self.x.T, dy)",
        (
            "self.dW = self.x.T @ dy",
            "self.dW[...] = self.x.T @ dy",
            "self.dW = (dy.T @ self.x).T",
            "self.dW = np.einsum('bi,bo->io', self.x, dy)",
            "self.dW = sum(np.outer(x, d) for x, d in zip(self.x, dy))",
            "self.dW = (self.x[:, :, None] * dy[:, None, :]).sum(axis=0)",
            "self.dW = np.tensordot(self.x, dy, axes=(0, 0))",
            "self.dW = np.zeros_like(self.W)\n"
            "        for n in reversed(range(len(dy))):\n"
            "            self.dW += self.x[n][:, None] * dy[n]",
        ),
    ),
    Site(
        "self.db = dy.sum(axis=0)",
        (
            "self.db = np.sum(dy, 0)",
            "self.db = np.ones(len(dy), dy.dtype) @ dy",
            "self.db = dy.T.sum(axis=-1)",
            "self.db = np.einsum('bo->o', dy)",
            "self.db = np.add.reduce(dy[::-1])",
            "self.db = dy.mean(axis=0) * dy.dtype.type(len(dy))",
            "self.db = dy.sum(axis=0, dtype=np.float64).astype(dy.dtype)",
            "self.db = dy.sum(axis=0, keepdims=True)[0]",
        ),
    ),
    Site(
        "self.matmul(dy, self.W.T) if need_dx else None",
        (
            "dy @ self.W.T",
            "(self.W @ dy.T).T",
            "np.einsum('bo,io->bi', dy, self.W)",
            "np.array([self.W @ d for d in dy])",
            "sum(dy[:, o : o + 1] * self.W[:, o] for o in range(len(self.b)))",
            "np.inner(dy, self.W)",
            "None if not need_dx else dy.dot(self.W.transpose())",
            "(dy[:, None, :] * self.W[None, :, :]).sum(axis=2)",
        ),
    ),
)
RELU = (
    Site(
        "self.mask = ~(x <= 0)",
        ("self.mask = x > 0", "self.mask = np.greater(x, 0)", "self.mask = np.sign(x) == 1"),
    ),
    Site(
        "return np.maximum(x, 0)",
        (
            "return x * self.mask",
            "return np.where(self.mask, x, 0).astype(x.dtype)",
            "return np.clip(x, 0, None)",
            "return (x + np.abs(x)) / 2",
            "y = x.copy()\n        y[x < 0] = 0\n        return y",
        ),
    ),
    Site(
        "return dy * self.mask  # (B,O)",
        (
            "return np.where(self.mask, dy, 0).astype(dy.dtype)",
            "return dy * self.mask.astype(dy.dtype)",
            "dx = dy.copy()\n        dx[~self.mask] = 0\n        return dx",
            "return np.multiply(dy, self.mask, dtype=dy.dtype)",
            "dx = np.zeros_like(dy)\n        dx[self.mask] = dy[self.mask]\n        return dx",
        ),
    ),
)
SOFTMAX = Site(
    "exp = np.exp(logits - logits.max(axis=1, keepdims=True))  # (B,C)\n"
    "    return exp / exp.sum(axis=1, keepdims=True)",
    (
        "e = np.exp(logits - np.max(logits, 1)[:, None])\n    return e / np.sum(e, 1)[:, None]",
        "s = logits - logits.max(1, keepdims=True)\n"
        "    return np.exp(s - np.log(np.exp(s).sum(1, keepdims=True)))",
        "return np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))",
        "p = np.empty_like(logits)\n"
        "    for i, row in enumerate(logits):\n"
        "        e = np.exp(row - max(row))\n"
        "        p[i] = e / sum(e)\n"
        "    return p",
        "e = np.exp((logits.T - logits.T.max(0)).T)\n    return (e.T / e.T.sum(0)).T",
        "return 1 / np.exp(logits[:, None, :] - logits[:, :, None]).sum(axis=2)",
        "s = logits.astype(np.float64) - logits.max(1, keepdims=True)\n"
        "    return (np.exp(s) / np.exp(s).sum(1, keepdims=True)).astype(logits.dtype)",
        "p = logits - logits.max(axis=1, keepdims=True)\n"
        "    np.exp(p, out=p)\n"
        "    p /= p.sum(axis=1, keepdims=True)\n"
        "    return p",
    ),
)
LOSS = (
    Site(
        "loss = (np.log(total[:, 0]) - shifted[images, labels]).mean()",
        (
            "loss = -(shifted - np.log(total))[images, labels].mean()",
            "loss = float(np.mean(np.log(total).ravel() - shifted[images, labels]))",
            "loss = (np.log(total).sum() - shifted[images, labels].sum()) / n_images",
            "loss = sum(np.log(total[i, 0]) - shifted[i, labels[i]] for i in images) / n_images",
            "loss = -np.sum((shifted - np.log(total)) * np.eye(n_classes)[labels]) / n_images",
            "loss = np.mean(np.logaddexp.reduce(logits, axis=1) - logits[images, labels])",
            "loss = np.mean(np.log(total) - np.take_along_axis(shifted, labels[:, None], 1))",
        ),
    ),
    Site(
        "dlogits[images, labels] -= 1  # p - onehot: (B,C)\n"
        "    dlogits /= n_images  # the loss is a mean, so its gradient is one too\n",
        (
            "dlogits = (dlogits - np.eye(n_classes)[labels]).astype(logits.dtype) / n_images\n",
            "np.add.at(dlogits, (images, labels), -1)\n    dlogits *= 1 / n_images\n",
            "onehot = np.zeros_like(dlogits)\n"
            "    onehot[images, labels] = 1\n"
            "    dlogits = (dlogits - onehot) / n_images\n",
            "for i, c in enumerate(labels):\n"
            "        dlogits[i, c] -= 1\n"
            "    dlogits = dlogits / n_images\n",
            "dlogits = dlogits / n_images\n    dlogits[images, labels] -= 1 / n_images\n",
            "dlogits -= labels[:, None] == np.arange(n_classes)\n    dlogits /= len(labels)\n",
        ),
    ),
)
NETWORK = (
    Site(
        "for layer in self.layers:\n            x = layer.forward(x)\n        return x",
        (
            "a = x\n        for k in range(len(self.layers)):\n"
            "            a = self.layers[k].forward(a)\n        return a",
            "import functools\n        return functools.reduce("
            "lambda a, layer: layer.forward(a), self.layers, x)",
        ),
    ),
    Site(
        "for layer in reversed(self.layers[1:]):\n            dy = layer.backward(dy)\n"
        "        self.layers[0].backward(dy, need_dx=False)",
        (
            "for layer in self.layers[::-1]:\n            dy = layer.backward(dy)",
            "for k in range(len(self.layers) - 1, -1, -1):\n"
            "            dy = self.layers[k].backward(dy)\n        return dy",
            "layers = list(self.layers)\n        while layers:\n"
            "            dy = layers.pop().backward(dy)",
        ),
    ),
    Site(
        "for n_in, n_out in pairwise(sizes):\n"
        "            layers += [Linear(n_in, n_out, rng=rng, dtype=dtype, matmul=matmul), ReLU()]\n"
        "        super().__init__(layers[:-1])",
        (
            "for k in range(len(sizes) - 1):\n"
            "            if k:\n                layers.append(ReLU())\n"
            "            layers.append(Linear(sizes[k], sizes[k + 1], rng=rng, dtype=dtype))\n"
            "        super().__init__(layers)",
        ),
    ),
)
SGD = Site(
    "if self.weight_decay:\n"
    "                g = g + self.weight_decay * p  # a new array: dW stays what backward found\n"
    "            if self.momentum:\n"
    "                v *= self.momentum\n"
    "                v += g\n"
    "                g = v\n"
    "            p -= self.lr * g",
    (
        "g = g + self.weight_decay * p\n            v[...] = self.momentum * v + g\n"
        "            p -= self.lr * v",
        "v *= self.momentum\n            v += g\n            v += self.weight_decay * p\n"
        "            np.subtract(p, self.lr * v, out=p)",
        "np.copyto(v, self.momentum * v + g + self.weight_decay * p)\n"
        "            p[...] = p - self.lr * v",
        "g = self.weight_decay * p + g\n            v += (self.momentum - 1) * v + g\n"
        "            p += -self.lr * v",
        "v[:] = -(-self.momentum * v - (g + p * self.weight_decay))\n"
        "            p[:] -= v * self.lr",
        "for k in np.ndindex(p.shape):\n"
        "                v[k] = self.momentum * v[k] + g[k] + self.weight_decay * p[k]\n"
        "                p[k] -= self.lr * v[k]",
        "decay, wide = self.weight_decay, np.float64\n"
        "            v[...] = self.momentum * v.astype(wide) + g.astype(wide) + decay * p\n"
        "            p -= (self.lr * v).astype(p.dtype)",
    ),
)
ADAM = (
    Site("m += (1 - beta1) * (g - m)", ("m[...] = beta1 * m + (1 - beta1) * g",
         "m *= beta1\n    m += (1 - beta1) * g", "m -= (1 - beta1) * (m - g)")),
    Site("v *= beta2\n    v += (1 - beta2) * (g * g)", ("v[...] = beta2 * v + (1 - beta2) * g**2",
         "v += (1 - beta2) * (np.square(g) - v)", "v[:] = v - (1 - beta2) * (v - g * g)")),
    Site(
        "p -= step_size * m / (np.sqrt(v) / sqrt_correction2 + eps)",
        (
            "p -= step_size * sqrt_correction2 * m / (np.sqrt(v) + eps * sqrt_correction2)",
            "p -= step_size * (m / (np.sqrt(v / sqrt_correction2**2) + eps))",
            "p[...] = p - m * step_size / (v**0.5 / sqrt_correction2 + eps)",
        ),
    ),
)  # fmt: skip
BATCHES = (
    Site(
        "for first in range(start * batch_size, len(x), batch_size):\n"
        "        chosen = order[first : first + batch_size]  # (B,)\n"
        "        yield x[chosen], labels[chosen]",
        (
            "for k in range(start, -(-len(x) // batch_size)):\n"
            "        chosen = order[k * batch_size : (k + 1) * batch_size]\n"
            "        yield x[chosen], labels[chosen]",
            "x, labels = x[order], labels[order]\n"
            "    for k in range(start * batch_size, len(x), batch_size):\n"
            "        yield x[k : k + batch_size], labels[k : k + batch_size]",
            "cuts = range(batch_size, len(x), batch_size)\n"
            "    for chosen in np.split(order, cuts)[start:]:\n"
            "        yield np.take(x, chosen, axis=0), np.take(labels, chosen)",
        ),
    ),
    Site(
        "x = x.astype(np.float32)  # (N,784)\n"
        "    x /= 255  # in place: a second copy of the training set would cost 188 MB\n"
        "    return x.astype(dtype, copy=False)",
        (
            "return (x.astype(np.float32) / 255).astype(dtype)",
            "return (x / np.float32(255)).astype(dtype)",
            "return np.divide(x, 255, dtype=np.float32).astype(dtype)",
            "return (x / 255).astype(np.float32).astype(dtype)",
        ),
    ),
)
UNFOLD = Site(
    "patches = np.empty((C, size, size, height, width, B), x.dtype)  # (C,k,k,H',W',B)\n"
    "    for i, j in np.ndindex(size, size):\n"
    "        patches[:, i, j] = padded[:, *window(i, j, stride, height, width)]  # (C,H',W',B)\n"
    "    return patches",
    (
        "from numpy.lib.stride_tricks import sliding_window_view\n"
        "    windows = sliding_window_view(padded, (size, size), axis=(1, 2))\n"
        "    return windows[:, ::stride, ::stride].transpose(0, 4, 5, 1, 2, 3)",
        "c, h, w, b = padded.strides\n"
        "    return np.lib.stride_tricks.as_strided(\n"
        "        padded, (C, size, size, height, width, B),\n"
        "        (c, h, w, stride * h, stride * w, b)).copy()",
        "patches = np.zeros((C, size, size, height, width, B), x.dtype)\n"
        "    for h in range(height):\n        for w in range(width):\n"
        "            rows, columns = stride * h + np.arange(size), stride * w + np.arange(size)\n"
        "            patches[:, :, :, h, w] = padded[:, rows[:, None], columns]\n"
        "    return patches",
        "rows = np.arange(size)[:, None] + stride * np.arange(height)\n"
        "    columns = np.arange(size)[:, None] + stride * np.arange(width)\n"
        "    return padded[:, rows[:, None, :, None], columns[None, :, None, :]]",
    ),
)
FOLD = (
    Site(
        "padded[:, padding : padding + H, padding : padding + W] = x.transpose(1, 2, 3, 0)",
        ("padded = np.pad(x.transpose(1, 2, 3, 0), ((0, 0), (padding,) * 2, (padding,) * 2, "
         "(0, 0)))",),
    ),
    UNFOLD,
    Site(
        "for i, j in np.ndindex(size, size):\n"
        "        padded[:, *window(i, j, stride, height, width)] += patches[:, i, j]",
        (
            "for h, w in np.ndindex(height, width):\n"
            "        top, left = stride * h, stride * w\n"
            "        padded[:, top : top + size, left : left + size] += patches[:, :, :, h, w]",
            "rows = np.arange(size)[:, None] + stride * np.arange(height)\n"
            "    columns = np.arange(size)[:, None] + stride * np.arange(width)\n"
            "    np.add.at(padded, (slice(None), rows[:, None, :, None], "
            "columns[None, :, None, :]), patches)",
        ),
    ),
    Site(
        "dW = matmul(columns, dy.reshape(n_out, -1).T)  # (Ckk,H'W'B) @ (H'W'B,O) -> (Ckk,O)\n"
        "    return dW.T.reshape(n_out, *kernel)",
        (
            "return (dy.reshape(n_out, -1) @ columns.T).reshape(n_out, *kernel)",
            "return np.einsum('ohwb,cijhwb->ocij', dy, patches)",
            "return np.tensordot(dy, patches, axes=((1, 2, 3), (3, 4, 5)))",
        ),
    ),
    Site(
        "self.db = dy.reshape(len(dy), -1).sum(axis=1)",
        ("self.db = dy.sum(axis=(1, 2, 3))", "self.db = np.einsum('ohwb->o', dy)"),
    ),
)  # fmt: skip
POOL = (
    Site(
        "for n, (i, j) in enumerate(np.ndindex(size, size)):\n"
        "        candidate = x[:, :, *window(i, j, stride, height, width)]  # (B,C,H',W')\n"
        "        argmax[(candidate > y) | np.isnan(candidate)] = n\n"
        "        np.maximum(y, candidate, out=y)\n"
        "    return y, argmax",
        (
            "all_ = np.stack([x[:, :, *window(i, j, stride, height, width)]\n"
            "                     for i, j in np.ndindex(size, size)])\n"
            "    return all_.max(axis=0), all_.argmax(axis=0).astype(np.uint16)",
            "for h, w in np.ndindex(height, width):\n"
            "        at = x[:, :, stride * h : stride * h + size, stride * w : stride * w + size]\n"
            "        at = at.reshape(*x.shape[:2], -1)\n"
            "        y[:, :, h, w], argmax[:, :, h, w] = at.max(-1), at.argmax(-1)\n"
            "    return y, argmax",
        ),
    ),
    Site(
        "dx[:, :, *pixels] += np.where(argmax == n, dy, dy.dtype.type(0))",
        (
            "dx[:, :, *pixels] += (argmax == n) * dy",
            "dx[:, :, *pixels] = dx[:, :, *pixels] + np.where(argmax == n, dy, 0)",
        ),
    ),
    Site(
        "images_innermost = np.ascontiguousarray(dy.T).T  "
        "# (B,CHW), as the layer before wants it\n"
        "        return images_innermost.reshape(self.shape)",
        ("return dy.reshape(self.shape)", "return np.reshape(dy.copy(), self.shape)"),
    ),
)
GAN_PARTS = (
    Site(
        "return np.maximum(x, x.dtype.type(self.slope) * x)",
        (
            "return np.where(x > 0, x, x.dtype.type(self.slope) * x)",
            "y = x.copy()\n        y[x <= 0] *= self.slope\n        return y",
        ),
    ),
    Site(
        "return dy * np.maximum(self.mask, dy.dtype.type(self.slope))",
        (
            "return np.where(self.mask, dy, dy.dtype.type(self.slope) * dy)",
            "dx = dy.copy()\n        dx[~self.mask] *= self.slope\n        return dx",
        ),
    ),
    Site(
        "return dy * (1 - self.y * self.y)",
        ("return dy - dy * self.y**2", "return dy * (1 + self.y) * (1 - self.y)"),
    ),
    Site(
        "self.y = np.tanh(x)",
        ("e = np.exp(-2 * np.abs(x))\n        self.y = np.sign(x) * (1 - e) / (1 + e)",),
    ),
)
BINARY = (
    Site(
        "costs = np.maximum(logits, 0) - targets * logits + np.log1p(np.exp(-np.abs(logits)))",
        (
            "costs = np.logaddexp(0, logits) - targets * logits",
            "costs = targets * np.logaddexp(0, -logits) + (1 - targets) * np.logaddexp(0, logits)",
        ),
    ),
    Site(
        "dlogits = (sigmoid(logits) - targets) / logits.size",
        (
            "dlogits = sigmoid(logits) / len(logits) - targets / len(logits)",
            "dlogits = (targets * (sigmoid(logits) - 1) + (1 - targets) * sigmoid(logits)) "
            "/ logits.size",
            "dlogits = ((1 + np.tanh(logits / 2)) / 2 - targets) / logits.size",
        ),
    ),
)
# chapter -> file -> sites whose alternatives are combined, and how many of the combinations
GROUPS = (
    ("linear_forward", "layers", (LINEAR_FORWARD,), 16),
    ("linear_backward", "layers", LINEAR_BACKWARD, 48),
    ("relu", "layers", RELU, 40),
    ("softmax_cross_entropy", "losses", (SOFTMAX,), 8),
    ("loss_gradient", "losses", LOSS, 30),
    ("chain", "network", NETWORK, 12),
    ("sgd", "optim", (SGD,), 7),
    ("batches", "batches", BATCHES, 12),
    ("convolution", "conv", FOLD, 20),
    ("pooling", "conv", POOL, 8),
    ("adam", "optim", ADAM, 12),
    ("gan_parts", "activations", GAN_PARTS, 8),
    ("gan_parts", "losses", BINARY, 6),
)


def combinations(sites, count):
    """Yield up to so many different choices of texts, spread over all; each text comes up."""
    every = list(itertools.product(*((site.right, *site.others) for site in sites)))[1:]
    step = max(1, len(every) // count)
    chosen = every[::step][:count]
    longest = max(len(site.others) for site in sites)
    for k in range(longest):  # whatever the steps above jump over
        chosen.append(tuple(site.others[k % len(site.others)] for site in sites))
    return list(dict.fromkeys(chosen))


def rewrites():
    """Yield (chapter, file, [(right, rewritten), ...])."""
    for chapter, file, sites, count in GROUPS:
        for texts in combinations(sites, count):
            pairs = [(s.right, text) for s, text in zip(sites, texts, strict=True)]
            yield chapter, file, [(right, text) for right, text in pairs if right != text]
