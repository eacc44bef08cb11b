"""The networks that the commands know by name, and the options that suit each."""

from scratchnet.nn.cnn import CNN
from scratchnet.nn.network import MLP


def mlp(hidden, **options):
    """Return an MLP from 784 pixels to 10 digits with these hidden widths."""
    return MLP((784, *hidden, 10), **options)


def cnn(hidden, **options):
    """Return a CNN from 28 x 28 pixels to 10 digits; `hidden` are the widths behind its images."""
    # Only here: Numba takes half a second.
    from scratchnet.kernels.conv_ops import COMPILED_OPS, IMPLICIT_GEMM_OPS
    from scratchnet.kernels.simd import simd

    ops = IMPLICIT_GEMM_OPS if options.get("matmul") is simd else COMPILED_OPS
    return CNN((*hidden, 10), ops=ops, **options)


MODELS = {"mlp": mlp, "cnn": cnn}
# What `scratchnet.train` takes where nothing else is asked for.
RECIPES = {
    "mlp": {"epochs": 10, "lr": 0.1, "momentum": 0.0, "hidden": [128, 64], "matmul": "numpy"},
    "cnn": {"epochs": 5, "lr": 0.01, "momentum": 0.9, "hidden": [128], "matmul": "simd"},
}
