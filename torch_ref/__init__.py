"""The same networks in PyTorch, and the check that both sides compute the same.

model     the networks as any PyTorch user writes them; weights carried over to them
data      MNIST through torchvision
train     the training loop of a PyTorch tutorial
gan       a GAN and its training loop, as any PyTorch user writes them
lockstep  both sides compared, tensor by tensor: `python -m torch_ref.lockstep`
            step, gan (one step of a network, of a GAN), trace (every tensor that PyTorch computes),
            optim (optimiser adapters), extended_precision (whose rounding is smaller), report
mutation  planted bugs, trained and detected: `python -m torch_ref.mutation`
            detection

The criteria and the error bounds need no PyTorch: they are in `scratchnet.checking`.
`torch_ref` imports `scratchnet`, never the other way.
"""

import importlib.util
import sys

from scratchnet import signals  # before torch, for Ctrl-C during its long import

if signals.in_command and importlib.util.find_spec("torch") is None:
    print('PyTorch is not installed: pip install -e ".[test]" brings it', file=sys.stderr)
    sys.exit(6)
