"""The commands that need PyTorch: `python -m torch_ref` lists them, also without it."""

from scratchnet.cli import entry
from scratchnet.cli.options import Parser
from scratchnet.cli.summary import print_commands

COMMANDS = {
    "torch_ref.lockstep": "compare every tensor of every step with PyTorch's",
    "torch_ref.mutation": "plant every bug of the catalogue and see it detected",
    "torch_ref.train": "train the same MLP in PyTorch, as a tutorial does",
}


def main(argv=None):
    """Print the commands."""
    Parser("python -m torch_ref", description=main.__doc__).parse_args(argv)
    print_commands(COMMANDS)


if __name__ == "__main__":
    entry.run(main)
