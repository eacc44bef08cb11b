"""A neural network written by hand, in NumPy. Read the folders in this order:

nn          the mathematics: layers, losses, networks, optimisers; README.md derives all of it
data        MNIST: from the bytes of the files to shuffled batches
training    the training loop, and what a run leaves behind
evaluation  accuracy, confusion matrix, figures
kernels     one function, np.matmul, made faster step by step
checking    are the gradients right?
exercises   write it yourself

The commands are `python -m scratchnet.train`, `predict`, `robustness`, `gan` and `tune`.
"""

from scratchnet import signals  # noqa: F401  first of all, for Ctrl-C during what follows
from scratchnet.evaluation.metrics import accuracy
from scratchnet.nn.activations import LeakyReLU, Sigmoid, Tanh
from scratchnet.nn.cnn import CNN
from scratchnet.nn.conv import Conv2d, Flatten, MaxPool2d
from scratchnet.nn.gan import GAN, Discriminator, Generator
from scratchnet.nn.layers import Linear, ReLU
from scratchnet.nn.losses import binary_cross_entropy, softmax, softmax_cross_entropy
from scratchnet.nn.network import MLP, Network
from scratchnet.nn.optim import SGD, Adam

__version__ = "0.1.0"
__all__ = [
    "CNN", "GAN", "MLP", "SGD", "Adam", "Conv2d", "Discriminator", "Flatten", "Generator",
    "LeakyReLU", "Linear", "MaxPool2d", "Network", "ReLU", "Sigmoid", "Tanh", "accuracy",
    "binary_cross_entropy", "softmax", "softmax_cross_entropy",
]  # fmt: skip
