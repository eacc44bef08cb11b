"""Files that are no image of a digit: 3, in one line, after the good ones have been read."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.conftest import run_module
from tests.faults.catalogue import assert_one_line, contents, refused


def png_of(width, height):
    """A PNG that claims to be so large, in a hundred bytes."""

    def chunk(name, content):
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# The content of the file, and what the refusal says beside its name.
BYTES = {
    "no file": (None, "does not exist"),
    "empty": (b"", "no readable PNG or JPEG"),
    "a text": (b"seven", "no readable PNG or JPEG"),
    "a web page": (b"<html><img src=7.png></html>", "no readable PNG or JPEG"),
    "cut off": (png_of(28, 28)[:50], "no readable PNG or JPEG"),
    "without pixels": (png_of(28, 28), "no readable PNG or JPEG"),
    "a decompression bomb": (png_of(60_000, 60_000), "too large to be an image of one digit"),
    "twice as large as warned of": (png_of(10_000, 10_000), "too large to be"),
    "no pixel wide": (png_of(0, 28), "no readable PNG or JPEG"),
}


def saved(image, path, **options):
    image.save(path, "PNG", **options)
    return path


def test_files_that_are_no_image_are_3_and_each_is_named(trained, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, (content, _) in BYTES.items():
        if content is not None:
            (folder / name).write_bytes(content)
    words = [f"{folder / name} " for name in BYTES] + [words for _, words in BYTES.values()]
    paths = [folder / name for name in BYTES]
    model = ("--model", trained / "model.safetensors")
    refused(3, words, "scratchnet.predict", *paths, *model, keeping=tmp_path)


@pytest.mark.parametrize("damage", ["no file", "a decompression bomb"])
def test_the_good_images_beside_a_bad_one_are_read(trained, sample, tmp_path, damage):
    content, words = BYTES[damage]
    bad, good = tmp_path / "bad.png", tmp_path / "good.png"
    if content is not None:
        bad.write_bytes(content)
    saved(Image.fromarray(sample.test.images[350]), good)
    model = ("--model", trained / "model.safetensors", "--show", tmp_path / "seen.png")
    shown = refused(3, words, "scratchnet.predict", bad, good, *model, keeping=trained)
    assert shown.stdout.startswith(f"{good}: ")
    assert (tmp_path / "seen.png").exists()


def test_what_shows_nothing_is_3_and_says_so(trained, tmp_path):
    one_colour = {
        "1x1": Image.new("L", (1, 1), 200),
        "white": Image.new("RGB", (40, 30), "white"),
        "16 bits": Image.fromarray(np.full((28, 28), 40_000, np.uint16)),
        "transparent": Image.new("RGBA", (28, 28), (7, 7, 7, 0)),
        "palette": Image.new("P", (28, 28), 3),
    }
    paths = [saved(image, tmp_path / name) for name, image in one_colour.items()]
    words = [f"{path}: there is nothing to see: it is all of one colour" for path in paths]
    model = ("--model", trained / "model.safetensors")
    refused(3, words, "scratchnet.predict", *paths, *model, keeping=tmp_path)


def test_every_kind_of_png_of_a_digit_is_read_as_the_same_digit(trained, sample, tmp_path):
    digit = Image.fromarray(sample.test.images[350])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    other = Image.fromarray(sample.test.images[850])
    kinds = {
        "plain": (digit, {}),
        "black on white": (ImageOps.invert(digit), {}),
        "16 bits": (Image.fromarray(np.asarray(digit, np.uint16) * 257), {}),
        "palette": (digit.convert("RGB").quantize(256), {}),
        "animated": (digit, {"save_all": True, "append_images": [other]}),
        "transparent": (Image.merge("LA", (Image.new("L", digit.size, 255), digit)), {}),
        "turned": (digit.transpose(Image.Transpose.ROTATE_90), {"exif": exif}),
    }
    paths = [saved(image, tmp_path / name, **how) for name, (image, how) in kinds.items()]
    model = ("--model", trained / "model.safetensors")
    shown = run_module("scratchnet.predict", *paths, *model)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert len({line.rpartition(":")[2] for line in lines[::2]}) == 1
    assert len(set(lines[1::2])) == 1


def test_without_a_model_it_is_2_and_with_one_that_is_none_4(trained, tmp_path):
    image = saved(Image.new("L", (9, 9)), tmp_path / "image.png")
    refused(2, "--model", "scratchnet.predict", image, keeping=tmp_path)
    for model in (image, tmp_path, tmp_path / "missing"):
        words = ("scratchnet.predict", image, "--model", model)
        refused(4, str(model), *words, keeping=tmp_path)


def test_what_is_read_is_never_replaced_by_what_was_seen(trained, sample, tmp_path):
    image = saved(Image.fromarray(sample.test.images[350]), tmp_path / "image.png")
    model = trained / "model.safetensors"
    (tmp_path / "link.png").symlink_to(image)
    before = contents(tmp_path)
    for show in (image, model, tmp_path / "link.png", tmp_path / "trained" / ".." / "image.png"):
        options = (image, "--model", model, "--show", show)
        refused(2, f"--show {show}", "scratchnet.predict", *options, keeping=tmp_path)
    shown = run_module("scratchnet.predict", image, "--model", model, "--show", "/proc/none.png")
    assert_one_line(shown, 6, "/proc/none.png")
    assert contents(tmp_path) == before
