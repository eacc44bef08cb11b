"""A picture becomes a digit as MNIST has it.

    any PNG or JPEG ──grey──> ink on black ──crop, 20x20, centre──> uint8 (28,28)

A network has only ever seen digits as MNIST prepared them, so that is what `prepare` makes of any
picture: light ink on black, scaled to fit 20x20, its centre of mass in the middle of 28x28
(Y. LeCun, C. Cortes, C. Burges, "The MNIST database"). An image of MNIST comes out as it went in.

In the comments: H, W are the picture's height and width; h, w those of the digit in it.
"""

import warnings

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from scratchnet.errors import DataError

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

    DataError if it is all of one colour.
    """
    # MPO: a JPEG that holds more than one picture, as some telephones write it
    digit = _digit(_grey(image), rippled=image.format in ("JPEG", "MPO"))  # (h,w)
    h, w = (max(1, round(20 * n / max(digit.shape))) for n in digit.shape)
    digit = Image.fromarray(digit).resize((w, h), Image.Resampling.LANCZOS)
    digit = np.asarray(digit).clip(0, 255)  # (h,w), the longer one 20
    if digit.max() < 254:  # pale or thin strokes; every image of MNIST peaks at 254 or 255
        digit = digit * (255 / digit.max())

    y, x = ndimage.center_of_mass(digit)
    top, left = np.clip(round(14 - y), 0, 28 - h), np.clip(round(14 - x), 0, 28 - w)
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
