"""All that a user might pick to train this network, each written as its own users would.

A contender is a module with one function:

    prepare(images, labels, parameters, *, batch_size, lr) -> train_epoch
        images      uint8 (N, 28, 28), 0 for the background
        labels      int64 (N,)
        parameters  [W1, b1, W2, b2, ...] to begin with, W (I, O), b (O,), float32; not changed

    train_epoch(order) -> parameters
        order       int64, the images to train on, cut into batches as they come

Pixels are scaled to [0, 1]; the training is plain SGD on the mean cross-entropy of each batch, and
its value is computed, too. A new contender is one file and one line of CONTENDERS.
"""

import importlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple


class Contender(NamedTuple):
    """A name for the tables, a module of this package, and what its `prepare` takes besides."""

    title: str
    module: str
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed

    def prepare(self):
        """Import the module, and with it all that it needs; return its `prepare`."""
        module = importlib.import_module(f"{__name__}.{self.module}")
        return partial(module.prepare, **self.options)

    def source(self):
        """The path of the module, which need not be importable."""
        return Path(__file__).with_name(f"{self.module}.py")


CONTENDERS = {
    "fused": Contender("scratchnet, fused", "fused"),
    "sparse": Contender("scratchnet, layers, `sparse`", "layered", {"matmul": "sparse"}),
    "simd": Contender("scratchnet, layers, `simd`", "layered", {"matmul": "simd"}),
    "numpy": Contender("scratchnet, layers, NumPy", "layered", {"matmul": "numpy"}),
    "bare": Contender("bare NumPy", "bare_numpy"),
    "article": Contender("PyTorch, Dataset and DataLoader", "torch_article"),
    "torch": Contender("PyTorch, tensors in memory", "torch_memory"),
    "compile": Contender("PyTorch, torch.compile", "torch_compile"),
    "by-hand": Contender("PyTorch, gradients by hand", "torch_by_hand"),
    "sklearn": Contender("scikit-learn, MLPClassifier", "sklearn_mlp"),
    "jax-step": Contender("JAX, one jitted step", "jax_step"),
    "jax-epoch": Contender("JAX, a whole jitted epoch", "jax_epoch"),
}
