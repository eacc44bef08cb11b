"""Read digits from image files: `python -m scratchnet.predict IMAGE... --model model.safetensors`.

    any PNG or JPEG ──grey──> ink on black ──crop, 20x20, centre──> uint8 (28,28) ──net──> digit

The network has only ever seen digits as MNIST prepared them, so that is what `prepare` makes of
any image: light ink on black, scaled to fit 20x20, its centre of mass in the middle of 28x28
(Y. LeCun, C. Cortes, C. Burges, "The MNIST database"). An image of MNIST comes out as it went in.

In the comments: H, W are the image's height and width; h, w those of the digit in it.
"""

import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from scratchnet import cli
from scratchnet.data import to_unit_interval
from scratchnet.errors import DataError, UsageError
from scratchnet.files import write_atomically
from scratchnet.nn.losses import softmax
from scratchnet.recogniser import load_network

LARGEST = 1000  # pixels on a side; a photograph has no more to say about one digit


def read_image(path):
    """Return the first picture of a PNG or JPEG file, upright; DataError if it holds none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                image.verify()  # the checksums of a PNG, which reading the pixels leaves out
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
                upright.format = image.format
                return upright
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except MemoryError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is too large to be an image of one digit") from error
    except Exception as error:  # Pillow's decoders raise a dozen kinds for a damaged file
        raise DataError(f"{path} is no readable PNG or JPEG") from error


def prepare(image):
    """Turn a PIL image of one digit, light or dark, into uint8 (28, 28) as MNIST has it.

    Raises:
        DataError: the image is all of one colour.
    """
    # MPO: a JPEG that holds more than one picture, as some telephones write it
    digit = _digit(_grey(image), rippled=image.format in ("JPEG", "MPO"))  # (h,w)
    h, w = (max(1, round(20 * n / max(digit.shape))) for n in digit.shape)
    digit = Image.fromarray(digit).resize((w, h), Image.Resampling.LANCZOS)
    digit = np.asarray(digit).clip(0, 255)  # (h,w), the longer one 20
    if digit.max() < 254:  # pale or thin strokes; every image of MNIST peaks at 254 or 255
        digit = digit * (255 / digit.max())

    centre = ndimage.center_of_mass(digit)
    top, left = (
        np.clip(round(14 - c), 0, 28 - n) for c, n in zip(centre, digit.shape, strict=True)
    )
    field = np.zeros((28, 28), np.uint8)
    field[top : top + h, left : left + w] = np.rint(digit)
    return field


def _grey(image):
    """Return the luminance float32 (H, W), 0 to 255; what is transparent contrasts with the ink."""
    if image.mode.startswith("I"):  # 16 bits a pixel, and no transparency
        image = Image.fromarray(np.asarray(image, np.float32) / 257)
        image.thumbnail((LARGEST, LARGEST))
        return np.asarray(image)
    image = image.convert("RGBA")
    image.thumbnail((LARGEST, LARGEST))
    luminance = np.asarray(image.convert("RGB").convert("L"), np.float32)  # (H,W)
    opacity = np.asarray(image.getchannel("A"), np.float32) / 255  # (H,W)
    mean = (luminance * opacity).sum() / max(opacity.sum(), 1)
    paper = 255 if mean < 128 else 0
    return luminance * opacity + paper * (1 - opacity)


def _digit(grey, rippled):
    """Return the ink (h, w) of the digit, cropped to it, in a picture (H, W).

    Ink that fills the border of its own bounding box is no digit but a card, a frame or the paper
    in one: the digit is what stands inside, if that is about as strong and no such block itself.
    """
    found = None
    while True:
        ink, noise = _ink(grey)  # (H,W)
        ink[ink <= (max(noise, 0.1 * ink.max()) if rippled else noise)] = 0
        if found is None and not ink.any():
            raise DataError("there is nothing to see: it is all of one colour")
        if found is not None and ink.max() < found.max() / 2:
            return found
        rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if (_border(ink[box]) > ink.max() / 2).mean() < 0.9:
            return ink[box]
        found, grey = ink[box] if found is None else found, grey[box]


def _border(pixels):
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _ink(grey):
    """Return how far each pixel is from the background, on the side of the digit, and the noise.

    Both come from the border, (H, W) and a number. Medians, as strokes may touch the border; of a
    normal noise hardly a pixel in 100,000 is more than 4.5 standard deviations off, 6.7 medians.
    """
    border = _border(grey)
    background = np.median(border)
    lighter, darker = (grey - background).clip(0), (background - grey).clip(0)  # (H,W)
    ink = lighter if lighter.sum() > darker.sum() else darker
    return ink, min(6.7 * np.median(np.abs(border - background)), 0.3 * ink.max())


def main(argv=None):
    """Run the command; DataError at the end if an image could not be read."""
    parser = cli.Parser(
        prog="python -m scratchnet.predict",
        description="Tell the digit in each image, and how sure the network is.",
        allow_abbrev=False,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a PNG or JPEG of one digit")
    parser.add_argument(
        "--model", required=True, type=cli.path, metavar="FILE", help="a model.safetensors"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with all probabilities")
    parser.add_argument(
        "--show", type=cli.path, metavar="FILE", help="save what the network saw, as a PNG"
    )
    options = parser.parse_args(argv)
    if options.show:
        show = Path(options.show).resolve()
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
    json.dump(
        [
            {"image": path, "digit": int(p.argmax()), "probabilities": [float(x) for x in p]}
            for path, p in zip(paths, probabilities, strict=True)
        ],
        sys.stdout,
        indent=2,
    )
    print()


def save_seen(images, path):
    """Save the images (N, 28, 28) side by side, each pixel as a square that can be seen."""
    strip = Image.fromarray(np.hstack(list(images)))  # (28, 28 N)
    png = io.BytesIO()
    strip.resize((8 * strip.width, 8 * strip.height), Image.Resampling.NEAREST).save(png, "PNG")
    write_atomically(path, png.getvalue())


if __name__ == "__main__":
    cli.run(main)
