"""A neural network written by hand, in NumPy. Read the files in this order:

layers      what a layer computes, and how its gradient comes back
loss        softmax and cross-entropy
network     layers in a row: the forward and the backward pass
conv        layers for images: convolution and pooling
cnn         a convolutional network
optim       how gradients become weights
activations other bends than ReLU's
binary      the loss of a yes or no
adam        another way from gradients to weights
adversaries two networks that learn from each other: a GAN
data        MNIST: from the bytes of the files to shuffled batches
metrics     accuracy and the confusion matrix
models      the networks that the commands know
train       the loop, and the command `python -m scratchnet.train`
introduction what a training command says first
run         what a run leaves behind, and how it goes on
recogniser  the run of a digit recogniser
predict     the command that reads a digit from an image file
checkpoint  a trained network as a file, whole or not at all
degrade     digits made hard to read
robustness  the command that measures trained networks on those
tune        the command that searches for better options of training
trials      how many processes share that search
gan         the command that trains a GAN
gan_run     its run
judge       how good its digits are
mosaic      how they are shown
plots       every figure
kernels     one function, np.matmul, made faster step by step
"""

from scratchnet import signals  # noqa: F401  first of all, for Ctrl-C during what follows
from scratchnet.nn.activations import LeakyReLU, Sigmoid, Tanh
from scratchnet.nn.cnn import CNN
from scratchnet.nn.conv import Conv2d, Flatten, MaxPool2d
from scratchnet.nn.gan import GAN, Discriminator, Generator
from scratchnet.nn.layers import Linear, ReLU
from scratchnet.nn.losses import binary_cross_entropy, softmax_cross_entropy
from scratchnet.nn.network import MLP
from scratchnet.nn.optim import SGD, Adam

__version__ = "0.1.0"
__all__ = [
    "CNN",
    "GAN",
    "MLP",
    "SGD",
    "Adam",
    "Conv2d",
    "Discriminator",
    "Flatten",
    "Generator",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sigmoid",
    "Tanh",
    "binary_cross_entropy",
    "softmax_cross_entropy",
]
