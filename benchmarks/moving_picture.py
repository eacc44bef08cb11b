"""GIF animations small enough for a README: few colours, no dithering, one palette for all frames.

In the comments: F frames of H by W pixels.
"""

import io

import numpy as np
from PIL import Image, ImageSequence

from scratchnet.files import write_atomically


def save(frames, milliseconds, path, colours):
    """Write RGB images as a GIF that repeats; OSError, and the old file whole, if not possible.

    Args:
        frames: [Image], F of them of one size.
        milliseconds: [int], how long each is shown.
        colours: the size of the palette, at most 256; without dithering, which LZW packs badly.
    """
    # All frames as one image, so that a colour is the same in all of them and nothing flickers.
    sheet = np.concatenate([np.asarray(frame.convert("RGB")) for frame in frames])  # (F*H,W,3)
    indexed = Image.fromarray(sheet).quantize(colours, dither=Image.Dither.NONE)
    height = frames[0].height
    strips = [
        indexed.crop((0, i * height, indexed.width, (i + 1) * height)) for i in range(len(frames))
    ]
    content = io.BytesIO()
    strips[0].save(
        content,
        "GIF",
        save_all=True,
        append_images=strips[1:],
        duration=milliseconds,
        loop=0,
        optimize=False,  # keeps the shared palette
    )
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, content.getvalue())


def reduce(source, path, *, every, colours):
    """Write a GIF again with every so manieth frame, the last always, and so many colours."""
    with Image.open(source) as animation:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(animation)]
        durations = [frame.info.get("duration", 250) for frame in ImageSequence.Iterator(animation)]
    kept = sorted({*range(0, len(frames), every), len(frames) - 1})
    save([frames[i] for i in kept], [durations[i] for i in kept], path, colours)
