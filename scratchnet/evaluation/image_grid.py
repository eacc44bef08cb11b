"""A grid of small images, and an animation of such grids: pixel for pixel, with Pillow.

In the comments: N images of h by w pixels.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scratchnet.files import write_atomically

GAP = 2  # white pixels around each image
CAPTION = 16  # height of the line below an animation
MILLISECONDS, LAST = 250, 2000  # that a frame is shown, and the last one


def make_grid(images, columns):
    """Return uint8 images (N, h, w), light on black, as one, dark on white, row by row."""
    n, h, w = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (h + GAP) + GAP, columns * (w + GAP) + GAP), 255, np.uint8)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        top, left = GAP + row * (h + GAP), GAP + column * (w + GAP)
        sheet[top : top + h, left : left + w] = 255 - image
    return sheet


def save(sheet, path):
    """Write a sheet, uint8 (H, W), as a PNG; OSError, and the old file whole, if not possible."""
    _write(Image.fromarray(sheet), path, "PNG")


def animate(paths, titles, path):
    """Write the images of some files as a GIF, each with its title below; OSError as above."""
    frames = []
    for title, source in zip(titles, paths, strict=True):
        with Image.open(source) as image:
            frame = Image.new("L", (image.width, image.height + CAPTION), 255)
            frame.paste(image)
        font = ImageFont.load_default(12)
        ImageDraw.Draw(frame).text((GAP, frame.height - CAPTION), title, fill=0, font=font)
        frames.append(frame)
    durations = [MILLISECONDS] * (len(frames) - 1) + [LAST]
    first, *others = frames
    _write(first, path, "GIF", save_all=True, append_images=others, duration=durations, loop=0)


def _write(image, path, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    write_atomically(path, content.getvalue())
