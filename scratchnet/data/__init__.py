"""From the bytes of MNIST's files to shuffled batches.

IDX bytes ──idx──> uint8 (N,28,28) ──batches──> x float32 (B,784) in [0, 1], labels (B,)
"""

from scratchnet.data.batches import Split, batches, hold_out, shuffled, to_unit_interval
from scratchnet.data.mnist import Dataset, load

__all__ = ["Dataset", "Split", "batches", "hold_out", "load", "shuffled", "to_unit_interval"]
