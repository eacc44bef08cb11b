"""A convolutional neural network (CNN): features of small patches, of larger ones, then an MLP.

    x ──> conv ──> ReLU ──> pool ──> conv ──> ReLU ──> pool ──> flatten ──> an MLP ──> logits

The design is that of LeNet-5 (LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to
Document Recognition", 1998, section II.B), with ReLU and max pooling in place of tanh and averages.
"""

import numpy as np

from scratchnet.nn.conv import NUMPY_OPS, Conv2d, Flatten, MaxPool2d
from scratchnet.nn.layers import ReLU
from scratchnet.nn.network import MLP, Network


class CNN(Network):
    """Conv2d, ReLU, MaxPool2d for each number of channels, Flatten, and the layers of an MLP.

    Each convolution keeps height and width, each pooling halves them, rounding down.
    """

    def __init__(
        self,
        widths=(128, 10),
        *,
        image=(1, 28, 28),
        channels=(16, 32),
        size=5,
        rng,
        dtype=np.float32,
        matmul=np.matmul,
        ops=NUMPY_OPS,
    ):
        """Build the layers; the numbers of weights follow from those of pixels and channels.

        Args:
            widths: hidden widths of the MLP in order, and the number of classes.
            image: channels, height and width of the images.
            channels: how many each convolution puts out.
            size: height and width of the kernels, an odd number.
            rng, dtype, matmul: handed to every layer; they draw from `rng` in order.
            ops: the convolutions' and poolings' operations, a `scratchnet.nn.conv.Ops`.
        """
        if size % 2 == 0:
            raise ValueError(f"kernels have no middle pixel if their size is even: {size}")
        if not channels or min(image[1:]) >> len(channels) == 0:
            raise ValueError(f"images {image} do not last for convolutions to {channels} channels")
        layer_args = {"rng": rng, "dtype": dtype, "matmul": matmul}
        n_in, height, width = self.image = image
        layers = []
        for n_out in channels:
            conv = Conv2d(n_in, n_out, size, padding=size // 2, ops=ops, **layer_args)
            layers += [conv, ReLU(), MaxPool2d(2, ops=ops)]
            n_in, height, width = n_out, height // 2, width // 2
        mlp = MLP((n_in * height * width, *widths), **layer_args)
        super().__init__([*layers, Flatten(), *mlp.layers])
        pixels = "x".join(map(str, image))
        self.description = f"{pixels}-{''.join(f'{n}C{size}-MP2-' for n in channels)}{mlp}"

    def __str__(self):
        """Its layers in the notation of Ciresan et al. (2012): 1x28x28-16C5-MP2-32C5-MP2-..."""
        return self.description

    def feature_maps(self, x):
        """Return {"conv1": array (C, H, W), ...}: what the ReLU behind each convolution returns.

        Args:
            x: one image (1, pixels), as for `forward`.
        """
        x, maps = x.reshape(1, *self.image), {}  # (1,CHW) -> (1,C,H,W)
        for layer in self.layers:
            x = layer.forward(x)
            if isinstance(layer, ReLU) and x.ndim == 4:
                maps[f"conv{len(maps) + 1}"] = x[0]  # (C,H,W)
        return maps

    def forward(self, x):
        """Return the logits (B, classes) for the images x (B, pixels), pixels row by row."""
        x = np.asarray(x)
        return super().forward(x.reshape(len(x), *self.image))  # (B,CHW) -> (B,C,H,W)
