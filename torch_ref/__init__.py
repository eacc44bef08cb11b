"""The witness: the same network in PyTorch, and the proof that both compute the same.

model     the network as any PyTorch user writes it; weights carried over in both directions
data      MNIST through torchvision
train     the training loop of a PyTorch tutorial
gan       two adversaries and their loop, as any PyTorch user writes them
trace     every tensor of one training step, on either side
rounding  how far two honest computations of the same tensor may differ
laws      by what law each layer and each loss computes
optim     what an optimiser remembers, and by what law it goes on
verdict   the criteria
step      one step of two networks in lockstep
duel      the two steps of a GAN
lockstep  both networks side by side, tensor by tensor: `python -m torch_ref.lockstep`
report    what the walk in lockstep has found, for the eye
gradcheck the second judge: slopes measured by finite differences
exact     the third judge: the same step with more bits, to say whose rounding is smaller
bugs      the classic mistakes, each as a line of code
zoo       what they cost and how the proof catches them: `python -m torch_ref.zoo`

`torch_ref` imports `scratchnet`, never the other way.
"""

import scratchnet  # noqa: F401  before torch, for Ctrl-C during its long import
