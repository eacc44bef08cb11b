"""What the chapters on convolutions and on the GAN compute: more of `probes`.

In the comments: B images in a batch, C channels, H by W pixels, N numbers of each image.
"""

import numpy as np

from scratchnet.exercises.probes import SMALL, Case, as_array, digits, normal, pixels

# 10 and 11: convolution, pooling


def conv_cases():
    """x (B, C, H, W), and a convolution from C to O channels, k by k."""
    small = np.arange(1.0, 10).reshape(1, 1, 3, 3) * np.array([1, -1, 2] * 3).reshape(3, 3)
    images = digits()[0][:6, None] / 255  # (6,1,28,28)
    same, odd = {"shape": (1, 4, 5), "stride": 1, "padding": 2}, {"shape": (2, 3, 3), "padding": 1}
    return {
        SMALL: Case(x=small, shape=(1, 1, 2), stride=1, padding=0),
        "6 digits": Case(x=images, **same),
        "a batch of 1": Case(x=images[:1], **same),
        "7 by 5 pixels": Case(x=normal(3, 2, 7, 5), stride=1, **odd),
        "stride 2": Case(x=normal(3, 2, 7, 5), stride=2, **odd),
        "a second batch": Case(
            x=normal(3, 2, 7, 5),
            stride=1,
            **odd,
            before=Case(x=normal(3, 2, 7, 5, seed=2), stride=1, **odd),
        ),
        "float32": Case(x=images.astype(np.float32), **same),
    }


def conv(nn, case):
    options = {"stride": case.stride, "padding": case.padding, "dtype": case.x.dtype}
    layer = nn.conv.Conv2d(*case.shape, rng=np.random.default_rng(0), **options)
    if hasattr(case, "before"):
        layer.backward(normal(*layer.forward(case.before.x.copy()).shape, seed=2))
    x = case.x.copy()
    y = layer.forward(x)
    yield "y", y
    dy = normal(*y.shape, dtype=case.x.dtype)
    dx = layer.backward(dy)
    yield "dW", layer.dW
    yield "db", layer.db
    yield "dx", dx
    yield "x afterwards", x
    yield "W afterwards", layer.W


def conv_gradients(nn):
    """A layer and its input (B, C, H, W), for finite differences."""
    options = {"stride": 2, "padding": 1, "dtype": np.float64}
    return nn.conv.Conv2d(2, 3, 3, rng=np.random.default_rng(0), **options), normal(2, 2, 5, 6)


def pool_cases():
    small = np.array([[1.0, 2, 0, 0], [2, 1, 0, 0], [5, 3, -1, -2], [4, 6, -3, -1]]).reshape(
        1, 1, 4, 4
    )
    images = digits()[0][:6, None] / 255  # (6,1,28,28): windows full of zeros, all equal
    return {
        SMALL: Case(x=small, size=2, stride=None),
        "6 digits": Case(x=images, size=2, stride=None),
        "a batch of 1": Case(x=images[:1], size=2, stride=None),
        "5 by 7 pixels, not a multiple of 2": Case(x=normal(3, 2, 5, 7), size=2, stride=None),
        "windows that overlap": Case(x=normal(3, 2, 7, 7), size=3, stride=2),
        "float32": Case(x=images.astype(np.float32), size=2, stride=None),
    }


def pool(nn, case):
    layer, x = nn.conv.MaxPool2d(case.size, case.stride), case.x.copy()
    y = layer.forward(x)
    yield "y", y
    yield "dx", layer.backward(normal(*y.shape, dtype=x.dtype))
    yield "x afterwards", x
    flatten = nn.conv.Flatten()
    flat = flatten.forward(x)
    yield "flat", flat
    yield "dflat", flatten.backward(normal(*x.shape, dtype=x.dtype).reshape(len(x), -1))


def pooling_cases():
    """Those of `pool`, and networks on some digits."""
    networks = {"a CNN on 6 digits": Case(count=6), "a CNN on one": Case(count=1)}
    return pool_cases() | networks


def pooling(nn, case):
    yield from (cnn if hasattr(case, "count") else pool)(nn, case)


def cnn(nn, case):
    small = {"channels": (2, 3), "rng": np.random.default_rng(0), "dtype": np.float64}
    net = nn.cnn.CNN((8, 10), **small)
    logits = net.forward(pixels(case.count))
    yield "logits", logits
    net.backward(normal(*logits.shape))
    for number, layer in reversed(list(enumerate(net.parametric_layers, start=1))):
        yield f"dW{number}", layer.dW
        yield f"db{number}", layer.db


# 14 and 15: what a GAN needs, and its two steps


def binary_cases():
    """Activations of x (B, N), with a slope for LeakyReLU; logits (B, 1) and their targets."""
    small = np.array([[1.0, -2, 0], [-0.5, 3, 0.25]])
    targets = np.array([[1.0], [0], [1], [0], [1], [1]])
    many = {"x": normal(32, 64), "logits": normal(32, 1) * 3}
    large = {"x": normal(6, 4), "logits": 1000 * normal(6, 1, seed=3)}
    cases = {
        SMALL: Case(x=small, slope=0.2, logits=normal(6, 1), targets=targets),
        "32 digits": Case(**many, slope=0.01, targets=(normal(32, 1, seed=2) > 0) + 0.0),
        "a batch of 1": Case(x=normal(1, 64), slope=0.5, logits=normal(1, 1), targets=targets[:1]),
        "logits in the thousands": Case(**large, slope=0.2, targets=targets),
        "targets of 0.9": Case(**many, slope=0.2, targets=np.full((32, 1), 0.9)),
    }
    single = {name: array.astype(np.float32) for name, array in many.items()}
    cases["float32"] = Case(**single, slope=0.2, targets=np.float32(cases["32 digits"].targets))
    return cases


def binary(nn, case):
    layers = {"leaky": nn.activations.LeakyReLU(case.slope), "tanh": nn.activations.Tanh()}
    for title, layer in layers.items():
        x, dy = case.x.copy(), normal(*case.x.shape, seed=7, dtype=case.x.dtype)
        yield f"y of {title}", layer.forward(x)
        yield f"dx of {title}", layer.backward(dy)
        yield f"x afterwards, of {title}", x
    logits = case.logits.copy()
    loss, dlogits = nn.losses.binary_cross_entropy(logits, case.targets.copy())
    yield "loss", as_array(loss, logits.dtype)
    yield "dlogits", dlogits
    yield "logits afterwards", logits


def gan_cases():
    return {"32 digits": Case(count=32), "a last batch of 6": Case(count=6)}


def gan(nn, case):
    layer_args = {"rng": np.random.default_rng(0), "dtype": np.float64}
    networks = nn.gan.Generator(8, (16,), **layer_args), nn.gan.Discriminator((16,), **layer_args)
    both = nn.gan.GAN(*networks, 2e-3, 1e-3)
    real = 2 * pixels(case.count) - 1  # (B,784)
    for step in (1, 2):
        noise = normal(2, case.count, 8, seed=step)  # (2,B,Z)
        if step == 1:
            x, targets = nn.gan.discriminator_batch(real, networks[0].forward(noise[0]))
            yield "the discriminator's images", x
            yield "the discriminator's targets", targets
        loss = both.discriminator_step(real, noise[0])
        yield f"the discriminator's loss in step {step}", as_array(loss, np.float64)
        yield from _parameters(f"discriminator's step {step}", *networks)
        loss = both.generator_step(noise[1])
        yield f"the generator's loss in step {step}", as_array(loss, np.float64)
        yield from _parameters(f"generator's step {step}", *networks)


def _parameters(when, generator, discriminator):
    for title, network in (("discriminator", discriminator), ("generator", generator)):
        for name, array in network.parameters():
            number = name.split(".")[0][-1]
            yield f"{title} {name[-1]}{number} after the {when}", array
