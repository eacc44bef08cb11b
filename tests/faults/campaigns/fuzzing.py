"""Bytes that were good until something happened to them: loaded the same, or refused clearly.

Good IDX files, checkpoints and images are mutated by a seeded generator: bits flipped, bytes
replaced, pieces cut out, doubled, moved or swapped for numbers that programs stumble over. What is
then loaded is held against an oracle of its own:

    checkpoint  the tensors and the state are those that were saved
    PNG         it shows what it showed before, as every piece of it has a checksum
    JPEG        what it shows is prepared as MNIST was
    IDX         encoded again, the array gives back the mutated bytes

The last two hold no checksum: what they say now may be something else, and is loaded as such. (That
a data set is MNIST is checked by its SHA-256.)
"""

import io
import json
import resource
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.fault_report import MEMORY
from scratchnet import MLP, data
from scratchnet.data import digit_image, idx
from scratchnet.errors import CheckpointError, DataError
from scratchnet.training import checkpoint

OUTCOMES = SAME, OTHER, REFUSED, WRONG, CRASHED = (
    "loaded the same",
    "loaded as what it says now",
    "refused clearly",
    "silently wrong",
    "crashed",
)
# Lengths and signs at the edges of what a header can say, in both byte orders.
AWKWARD = [
    n.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for n in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
    for order in ("little", "big")
]


def mutated(content, rng):
    """Return the bytes after one to four accidents."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        # Half of the accidents happen to the first bytes, where the headers are.
        end = len(content) if rng.random() < 0.5 else min(len(content), 64)
        at, length = int(rng.integers(0, end + 1)), int(rng.integers(1, 9))
        piece = slice(at, at + length)
        match rng.integers(0, 7):
            case 0 if at < len(content):
                content[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                content[piece] = rng.bytes(length)
            case 2:
                del content[piece]
            case 3:
                content[at:at] = content[piece]
            case 4:
                awkward = AWKWARD[rng.integers(0, len(AWKWARD))]
                content[at : at + len(awkward)] = awkward
            case 5:
                del content[at:]
            case 6:
                content[at:at] = rng.bytes(length)
    return bytes(content)


def idx_files(rng):
    """Return [(bytes, oracle)] of good files of every type; oracle(bytes) tells what happens."""

    def oracle(content, original):
        if idx.encode_idx(idx.decode_idx(content)) != content:
            return WRONG
        return SAME if content == original else OTHER

    shapes = ((), (3,), (2, 28, 28), (2, 2, 2, 2))
    arrays = [
        rng.integers(0, 100, shape).astype(dtype)
        for dtype in idx.IDX_DTYPES.values()
        for shape in shapes
    ]
    contents = [idx.encode_idx(array) for array in arrays]
    return [(content, partial(oracle, original=content)) for content in contents]


def checkpoints(rng, folder):
    """The same for a checkpoint of a small network."""
    tensors = dict(MLP((4, 3, 2), rng=rng).parameters())
    state = {"config": {"hidden": [3]}, "epoch": 2, "under_way": {"batch": 0}}
    path = Path(folder, "model.safetensors")
    checkpoint.save(path, tensors, state)

    def oracle(content):
        path.write_bytes(content)
        found, found_state = checkpoint.load(path)
        same = found.keys() == tensors.keys() and found_state == state
        return SAME if same and all((found[n] == tensors[n]).all() for n in tensors) else WRONG

    return [(path.read_bytes(), oracle)]


def images(rng, folder):
    """The same for pictures of digits, in several modes and both formats."""
    digit = Image.fromarray(data.load("sample").test.images[350])
    path = Path(folder, "image")

    def oracle(content, expected, otherwise):
        path.write_bytes(content)
        prepared = digit_image.prepare(digit_image.read_image(path))
        if (prepared.dtype, prepared.shape) != (np.uint8, (28, 28)) or prepared.max() < 254:
            return WRONG
        return SAME if (prepared == expected).all() else otherwise

    good = []
    for mode, format in (("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("1", "PNG"), ("L", "JPEG")):
        file = io.BytesIO()
        image = digit.convert(mode)
        image.save(file, format)
        expected = digit_image.prepare(Image.open(io.BytesIO(file.getvalue())))
        otherwise = WRONG if format == "PNG" else OTHER
        good.append((file.getvalue(), partial(oracle, expected=expected, otherwise=otherwise)))
    return good


def outcome(oracle, content):
    """Return what happens to the content, and the error if it is none that a user should see."""
    try:
        return oracle(content), None
    except (DataError, CheckpointError):
        return REFUSED, None
    except Exception as error:
        return CRASHED, repr(error)


def flips(folder, rng):
    """Load a checkpoint with every single bit of it flipped in turn; return the counts."""
    ((good, oracle),) = checkpoints(rng, folder)
    counts = Counter(dict.fromkeys(OUTCOMES, 0))
    for i in tqdm(range(8 * len(good)), desc="bits", disable=not sys.stderr.isatty()):
        flipped = bytearray(good)
        flipped[i // 8] ^= 1 << i % 8
        counts[outcome(oracle, bytes(flipped))[0]] += 1
    return dict(counts)


def main(cases, seed=0):
    """Mutate that many files of each kind; return the counts of each, and of the flipped bits."""
    rng = np.random.default_rng(seed)
    found = {}
    with TemporaryDirectory() as folder:
        kinds = {
            "IDX files": idx_files(rng),
            "checkpoints": checkpoints(rng, folder),
            "images": images(rng, folder),
        }
        for kind, good in kinds.items():
            for content, oracle in good:
                assert outcome(oracle, content) == (SAME, None), kind
            counts = Counter(dict.fromkeys(OUTCOMES, 0))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in tqdm(range(cases), desc=kind, disable=not sys.stderr.isatty()):
                content, oracle = good[rng.integers(0, len(good))]
                content = mutated(content, rng)
                what, error = outcome(oracle, content)
                counts[what] += 1
                if what in (WRONG, CRASHED):
                    print(json.dumps([kind, what, error, content.hex()]), file=sys.stderr)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            found[kind] = dict(counts) | {MEMORY: round(grown / 1024)}
        found["every bit of a checkpoint"] = flips(folder, rng)
    return found
