"""A neural network written by hand, in NumPy. Read the files in this order:

layers      what a layer computes, and how its gradient comes back
loss        softmax and cross-entropy
network     layers in a row: the forward and the backward pass
conv        layers for images: convolution and pooling
cnn         a convolutional network
optim       how gradients become weights
data        MNIST: from the bytes of the files to shuffled batches
metrics     accuracy and the confusion matrix
models      the networks that the commands know
train       the loop, and the command `python -m scratchnet.train`
predict     the command that reads a digit from an image file
checkpoint  a trained network as a file, whole or not at all
degrade     digits made hard to read
robustness  the command that measures trained networks on those
tune        the command that searches for better options of training
trials      how many processes share that search
plots       every figure
kernels     one function, np.matmul, made faster step by step
"""

from scratchnet import interrupts  # noqa: F401  first of all, for Ctrl-C during what follows
from scratchnet.cnn import CNN
from scratchnet.conv import Conv2d, Flatten, MaxPool2d
from scratchnet.layers import Linear, ReLU
from scratchnet.loss import softmax_cross_entropy
from scratchnet.network import MLP
from scratchnet.optim import SGD

__version__ = "0.1.0"
__all__ = [
    "CNN",
    "MLP",
    "SGD",
    "Conv2d",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "softmax_cross_entropy",
]
