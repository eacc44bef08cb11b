"""The witness: the same network in PyTorch, and the proof that both compute the same.

model     the network as any PyTorch user writes it; weights carried over in both directions
data      MNIST through torchvision
train     the training loop of a PyTorch tutorial
trace     every tensor of one training step, on either side
rounding  how far two honest computations of the same tensor may differ
verdict   the criteria
lockstep  both networks side by side, tensor by tensor: `python -m torch_ref.lockstep`
gradcheck the second judge: slopes measured by finite differences
zoo       classic bugs, what they cost and how the proof catches them: `python -m torch_ref.zoo`

`torch_ref` imports `scratchnet`, never the other way.
"""
