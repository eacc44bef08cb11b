"""MNIST through torchvision, as a PyTorch tutorial reads it.

torchvision wants the four files unpacked in MNIST/raw/. Ours may be gzipped, may lie elsewhere and
in a folder that nobody may write to, so torchvision is shown a temporary folder of its own. It
decodes the bytes itself: what it makes of them is independent of `scratchnet.data`.

In the comments: N images, B images in a batch.
"""

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import scratchnet.data
from scratchnet.data import idx, mnist

try:
    import torchvision
except RuntimeError as error:
    # The wheels of torchvision bring operators compiled for CUDA. Beside a CPU build of torch they
    # do not load, and the import ends with "operator torchvision::nms does not exist". Data sets
    # and transforms are pure Python and need neither of the two; declared, they need not exist.
    if "operator torchvision::" not in str(error):
        raise
    _operators = torch.library.Library("torchvision", "DEF")
    _operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401

from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms


def load(dataset="auto", data_dir=None):
    """Return (training set, test set, `scratchnet.data.Dataset`) of the same images.

    Args and errors are those of `scratchnet.data.load`, which finds and verifies the files.
    """
    found = scratchnet.data.load(dataset, data_dir)
    with torchvision_folder(found) as root:
        train = datasets.MNIST(root, train=True, transform=transforms.ToTensor())
        test = datasets.MNIST(root, train=False, transform=transforms.ToTensor())
    return train, test, found


@contextmanager
def torchvision_folder(found):
    """Lay the files of a Dataset out as torchvision expects them, while the body runs."""
    with TemporaryDirectory(prefix="scratchnet-") as root:
        raw = Path(root, "MNIST", "raw")
        raw.mkdir(parents=True)
        for name in mnist.MNIST_SHA256:
            (raw / name).write_bytes(_idx_bytes(found, name))
        yield root


def pictures(images, labels):
    """Return the data set of images uint8 (N, 28, 28) and labels (N,), read by torchvision."""
    images = np.require(images, requirements="W")  # PyTorch warns of read-only arrays
    read = [transforms.functional.to_tensor(image) for image in images]  # (1,28,28) each
    return TensorDataset(torch.stack(read), torch.from_numpy(labels))


def batches(dataset, batch_size, *, seed, epoch, dtype=torch.float32):
    """Yield (images (B, 784), labels (B,)) in the order that `scratchnet.data.batches` promises.

    A DataLoader that is given the order instead of shuffling by itself.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(dataset))  # (N,)
    for images, labels in DataLoader(dataset, batch_size=batch_size, sampler=order.tolist()):
        yield images.view(-1, 784).to(dtype), labels  # (B,1,28,28) -> (B,784)


def _idx_bytes(found, name):
    """Return the unpacked bytes of one of the four files; the sample has none and gets them."""
    if found.name != "sample":
        return idx.read_file(mnist.find_file(Path(found.origin), name))
    split = found.train if name.startswith("train") else found.test
    array = split.images if "images" in name else split.labels.astype(np.uint8)
    return idx.encode_idx(array)
