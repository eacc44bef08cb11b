"""The former name of `python -m torch_ref.mutation`."""

from scratchnet.cli import entry
from torch_ref.mutation.__main__ import main

if __name__ == "__main__":
    entry.run(main)
