"""Predict the digits in image files: `python -m scratchnet.predict IMAGE... --model RUN`.

any PNG or JPEG ──digit_image.prepare──> uint8 (28,28) ──network──> digit, confidence
"""

import json
from pathlib import Path

import numpy as np

from scratchnet.cli import entry
from scratchnet.cli.options import Parser, file_path
from scratchnet.data import to_unit_interval
from scratchnet.data.digit_image import prepare, read_image
from scratchnet.errors import DataError, UsageError
from scratchnet.evaluation import image_grid
from scratchnet.nn.losses import softmax
from scratchnet.training.classifier_run import load_network


def main(argv=None):
    """Run the command; DataError at the end if an image could not be read."""
    description = "Predict the digit in each image, with its probability."
    parser = Parser("python -m scratchnet.predict", description=description, allow_abbrev=False)
    file, model = file_path("FILE.png").arguments, file_path("RUN").arguments
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="PNG or JPEG of one digit, on paper or screen"
    )
    parser.add_argument(
        "--model", required=True, help="a trained run: its folder or model.safetensors", **model
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with all probabilities")
    parser.add_argument(
        "--show", help="save what the network saw, in 28 x 28 pixels, as a PNG", **file
    )
    options = parser.parse_args(argv)
    if options.show:
        if Path(options.show).suffix.lower() != ".png":
            raise UsageError(f"--show {options.show}: a PNG is written; let the name end in .png")
        show = Path(options.show).resolve()
        if not show.parent.is_dir():
            raise UsageError(f"--show {options.show}: there is no folder {show.parent}")
        for path in (*options.images, options.model):
            if Path(path).resolve() == show:
                raise UsageError(f"--show {options.show}: would replace the {path} to be read")

    network = load_network(options.model)
    paths, prepared, failures = [], [], []
    for path in options.images:
        try:
            prepared.append(prepare(read_image(path)))
            paths.append(path)
        except DataError as error:
            failures.append(f"{path}: {error}" if path not in str(error) else str(error))
    seen = np.array(prepared, np.uint8).reshape(-1, 28, 28)  # (N,28,28)
    p = network.forward(to_unit_interval(seen))  # (N,784) -> (N,10)
    p = softmax(p) if paths else p
    (print_json if options.json else print_lines)(paths, p)
    if options.show and paths:
        save_seen(seen, Path(options.show))
    if failures:
        raise DataError("; ".join(failures))


def print_lines(paths, probabilities):
    """Print `seven.png: 7 (99.8%)` for each image, and below it all ten probabilities."""
    for path, p in zip(paths, probabilities, strict=True):  # (10,)
        each = "  ".join(f"{digit}: {share:5.1%}" for digit, share in enumerate(p))
        print(f"{path}: {p.argmax()} ({p.max():.1%})\n    {each}")


def print_json(paths, probabilities):
    """Print a JSON list of objects with `image`, `digit` and the ten `probabilities`."""
    pairs = zip(paths, probabilities, strict=True)
    found = [{"image": n, "digit": int(p.argmax()), "probabilities": p.tolist()} for n, p in pairs]
    print(json.dumps(found, indent=2))


def save_seen(images, path):
    """Save the images (N, 28, 28) side by side, each pixel as a square that can be seen."""
    strip = np.hstack(list(images))  # (28, 28 N)
    image_grid.save(strip.repeat(8, axis=0).repeat(8, axis=1), path)


if __name__ == "__main__":
    entry.run(main)
