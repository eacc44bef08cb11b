"""Dense layer and ReLU. A layer maps x to y going forward, and dL/dy to dL/dx coming back.

    x ---Linear---> z ---ReLU---> a ---Linear---> logits ---> L
    dx <----------- dz <--------- da <----------- dlogits <---'

Every layer is a pair of methods. `forward` computes the output and keeps what the backward pass
needs; `backward` applies the chain rule: it receives dL/dy, the gradient of the loss L with respect
to the layer's output, and returns dL/dx, that with respect to its input. A gradient is named after
its value: `dW` is dL/dW and has the shape of `W`. Layers never change their parameters: that is the
optimiser's work, after all gradients are known. README.md beside this file derives every formula.

In the comments: B images in a batch, I inputs, O outputs.
"""

import numpy as np


class Linear:
    """Dense (fully connected) layer: the affine map y = x W + b.

    By the chain rule, with dy = dL/dy (Goodfellow et al., *Deep Learning*, 2016, section 6.5.6):

        dW = xᵀ dy        db = sum of dy over the batch        dx = dy Wᵀ

    Attributes:
        W: weights (I, O); b: biases (O,). The optimiser changes them in place.
        dW, db: their gradients, left here by `backward`; zeros before the first.
    """

    name = "linear"  # of its weights in a checkpoint: linear1.W

    def __init__(self, n_in, n_out, *, rng, dtype=np.float32, matmul=np.matmul):
        """Initialise W and b from U(-1/√I, 1/√I), as `torch.nn.Linear` does.

        The biases are not zero on purpose: a wrong bias gradient has nothing to hide behind.
        ValueError for sizes under 1, TypeError for an rng that is no `numpy.random.Generator`.

        Args:
            n_in, n_out: the numbers of inputs I and outputs O, at least 1.
            rng: the `numpy.random.Generator` to draw from.
            dtype: float32 for training, float64 for gradient checking.
            matmul: any function with the meaning of `np.matmul` on two matrices.
        """
        if n_in < 1 or n_out < 1:
            raise ValueError(f"Linear({n_in}, {n_out}): both sizes must be at least 1")
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"rng must be a numpy.random.Generator, as np.random.default_rng(0), not {rng!r}"
            )
        bound = 1 / np.sqrt(n_in)
        self.W = rng.uniform(-bound, bound, (n_in, n_out)).astype(dtype)  # (I,O)
        self.b = rng.uniform(-bound, bound, n_out).astype(dtype)  # (O,)
        self.dW = np.zeros_like(self.W)  # (I,O)
        self.db = np.zeros_like(self.b)  # (O,)
        self.matmul = matmul
        self.x = np.empty((0, n_in), dtype)  # no batch seen yet

    def forward(self, x):
        """Return y (B, O) for x (B, I); ValueError if x has another shape or dtype."""
        n_in, n_out = self.W.shape
        if x.ndim != 2 or x.shape[1] != n_in or x.dtype != self.W.dtype:
            raise ValueError(
                f"Linear({n_in}, {n_out}) takes x of shape (B, {n_in}) and dtype {self.W.dtype}, "
                f"not {x.shape} and {x.dtype}"
            )
        self.x = x
        y = self.matmul(x, self.W)  # (B,I) @ (I,O) -> (B,O)
        y += self.b  # (B,O) + (O,) -> (B,O)
        return y

    def backward(self, dy, *, need_dx=True):
        """Leave dW and db; return dx (B, I) for dy (B, O), or None unless `need_dx`.

        No weight depends on the gradient with respect to the images, so the first layer of a
        network skips that product. ValueError if dy has not the shape and dtype of the last output.
        """
        expected = (len(self.x), self.W.shape[1])
        if dy.shape != expected or dy.dtype != self.W.dtype:
            raise ValueError(
                f"Linear{self.W.shape} takes dy of shape {expected} and dtype {self.W.dtype}, "
                f"as its last output, not {dy.shape} and {dy.dtype}"
            )
        self.dW = self.matmul(self.x.T, dy)  # (I,B) @ (B,O) -> (I,O)
        self.db = dy.sum(axis=0)  # (B,O) -> (O,)
        return self.matmul(dy, self.W.T) if need_dx else None  # (B,O) @ (O,I) -> (B,I)

    def __repr__(self):
        n_in, n_out = self.W.shape
        return f"Linear({n_in}, {n_out})"


class ReLU:
    """Rectified linear unit, or rectifier: y = max(x, 0), element by element.

    Its derivative is 1 where x > 0 and 0 where x < 0. At x = 0 it has none; like PyTorch we take 0.
    A NaN passes both ways, and so does a gradient that is not finite (as 0 times it: NaN, where
    PyTorch has 0), so that a fault stays visible instead of turning into a zero.
    """

    def __init__(self):
        self.mask = np.empty(0, bool)  # no batch seen yet

    def forward(self, x):
        """Return y = max(x, 0), of the shape and dtype of x."""
        self.mask = ~(x <= 0)  # (B,O), and True for NaN
        return np.maximum(x, 0)  # (B,O)

    def backward(self, dy):
        """Return dx: dy where x > 0, else 0; ValueError if dy has not the shape of the last x."""
        check_shape(self, dy, self.mask.shape)
        return dy * self.mask  # (B,O)

    def __repr__(self):
        return "ReLU()"


def check_shape(layer, dy, shape):
    """ValueError if the gradient dy has not the shape of the layer's last output."""
    if dy.shape != shape:
        name = type(layer).__name__
        raise ValueError(f"{name} takes dy of shape {shape}, as its last output, not {dy.shape}")
