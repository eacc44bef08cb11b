"""The commands: `python -m scratchnet` lists them."""

from scratchnet.cli import entry
from scratchnet.cli.options import Parser
from scratchnet.cli.summary import print_commands

COMMANDS = {
    "scratchnet.train": "train a classifier of digits, an MLP or a CNN",
    "scratchnet.predict": "predict the digits in image files",
    "scratchnet.robustness": "measure trained classifiers on corrupted images",
    "scratchnet.gan": "train a GAN, which generates digits",
    "scratchnet.tune": "search for better options, with Optuna",
    "scratchnet.exercises": "write the network yourself, and be told which mistake you made",
}


def main(argv=None):
    """Print the commands."""
    Parser("python -m scratchnet", description=main.__doc__).parse_args(argv)
    print_commands(COMMANDS)
    print("\nBeside PyTorch: python -m torch_ref; how fast: python -m benchmarks --help")


if __name__ == "__main__":
    entry.run(main)
