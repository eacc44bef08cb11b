"""Digits from image files: however they look, the network sees what it was trained on."""

import io
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from scratchnet.data import digit_image, to_unit_interval
from scratchnet.errors import DataError
from scratchnet.nn.losses import softmax
from scratchnet.training.classifier_run import load_network
from tests.conftest import run_module


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network trained on the sample."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = ("--dataset", "sample", "--epochs", 20, "--out", folder, "--no-plots")
    shown = run_module("scratchnet.train", *options)
    assert shown.returncode == 0, shown.stderr
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def network(model):
    return load_network(model)


def predict(network, images):
    return network.forward(to_unit_interval(np.stack(images))).argmax(axis=1)


def saved(image, format, **options):
    """The image as it comes back from a file of that format."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return Image.open(file)


def enlarged(image, size=(200, 200)):
    return image.resize(size, Image.Resampling.BICUBIC)


def on_a_larger_canvas(image):
    canvas = Image.new("L", (300, 180), 0)
    canvas.paste(enlarged(image, (112, 112)), (20, 30))
    return canvas


def as_a_pale_photograph(image):
    pixels = 180 - 0.5 * np.asarray(enlarged(image), float)
    noise = np.random.default_rng(0).normal(0, 6, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def ink_on_nothing(image, grey):
    """Only the opacity carries the digit, as drawing programs export it."""
    opacity = enlarged(image)
    return Image.merge("LA", (Image.new("L", opacity.size, grey), opacity))


def in_16_bits(image):
    return Image.fromarray(np.asarray(image, np.uint16) * 257)


def bordered(image, *borders):
    """The digit dark on white, in borders of (pixels, colour)."""
    image = ImageOps.invert(enlarged(image))
    for width, colour in borders:
        image = ImageOps.expand(image, width, colour)
    return image


def on_a_card_with_a_transparent_margin(image, invert):
    card = bordered(image) if invert else enlarged(image)
    opaque = Image.new("L", card.size, 255)
    return Image.merge("LA", tuple(ImageOps.expand(band, 30, 0) for band in (card, opaque)))


LOSSLESS = {
    "black on white": ImageOps.invert,
    "16 bits": in_16_bits,
    "with a palette": lambda image: image.convert("RGB").quantize(256),
}
RESAMPLED = {
    "cropped tight": lambda image: image.crop(image.getbbox()),
    "cropped tight, large, black on white": lambda image: ImageOps.scale(
        ImageOps.invert(image.crop(image.getbbox())), 9, Image.Resampling.BICUBIC
    ),
    "three times as large": lambda image: enlarged(image, (84, 84)),
    "large, black on white": lambda image: enlarged(ImageOps.invert(image)),
    "very large": lambda image: enlarged(image, (1200, 1200)),
    "in colour": lambda image: ImageOps.colorize(enlarged(image), "#f4ecd8", "#1a237e"),
    "off centre": on_a_larger_canvas,
    "black ink on nothing": lambda image: ink_on_nothing(image, 0),
    "white ink on nothing": lambda image: ink_on_nothing(image, 255),
    "a pale, noisy photograph": as_a_pale_photograph,
    "JPEG": lambda image: saved(image, "JPEG", quality=75),
    "in a thin frame": lambda image: bordered(image, (3, 0)),
    "in a frame on paper": lambda image: bordered(image, (20, 255), (4, 40), (30, 255)),
    "a card on a dark table": lambda image: bordered(image, (60, 70)),
    "a framed card on a table": lambda image: bordered(image, (9, 255), (4, 0), (9, 255), (9, 90)),
    "a dark digit on a transparent card": lambda i: on_a_card_with_a_transparent_margin(i, True),
    "a light digit on a transparent card": lambda i: on_a_card_with_a_transparent_margin(i, False),
    "a JPEG in a thin frame": lambda image: saved(bordered(image, (3, 0)), "JPEG", quality=75),
    "large JPEG": lambda image: saved(enlarged(image).convert("RGB"), "JPEG", quality=75),
}


@pytest.fixture(scope="module")
def clear_digits(sample, network):
    """Some 200 test digits that the network predicts with more than 95 % confidence."""
    images = sample.test.images[::4]
    p = softmax(network.forward(to_unit_interval(images)))
    return images[p.max(axis=1) > 0.95]


@pytest.mark.parametrize("export", LOSSLESS)
def test_digits_exported_without_loss_are_predicted_as_their_originals_are(sample, network, export):
    originals = sample.test.images[::4]
    prepared = [
        digit_image.prepare(LOSSLESS[export](Image.fromarray(image))) for image in originals
    ]
    assert (predict(network, prepared) == predict(network, originals)).all()


@pytest.mark.parametrize("export", RESAMPLED)
def test_clear_digits_of_any_size_and_colour_are_predicted_as_their_originals_are(
    clear_digits, network, export
):
    originals = clear_digits[::10] if export == "very large" else clear_digits
    prepared = [
        digit_image.prepare(RESAMPLED[export](Image.fromarray(image))) for image in originals
    ]
    assert (predict(network, prepared) == predict(network, originals)).mean() >= 0.98


def test_an_image_of_mnist_comes_out_bit_for_bit_as_it_went_in(sample):
    for image in sample.test.images:
        assert (digit_image.prepare(Image.fromarray(image)) == image).all()


def test_the_border_of_a_picture_is_all_of_its_four_sides():
    pixels = np.arange(12).reshape(3, 4)
    sides = [0, 1, 2, 3, 8, 9, 10, 11, 0, 4, 8, 3, 7, 11]
    assert sorted(digit_image._border(pixels)) == sorted(sides)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("ink", [0, 100, 255], ids=["black", "grey", "white"])
def test_ink_that_fades_into_transparent_paper_is_prepared_as_on_paper(sample, mode, ink):
    digit = sample.test.images[150]
    image = Image.new("LA", (28, 28), (ink, 0))
    image.putalpha(Image.fromarray(digit))
    off = digit_image.prepare(image.convert(mode)).astype(int) - digit
    assert np.abs(off).max() <= (ink == 100)  # that is scaled to white, and rounded twice


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=60)),
    st.sampled_from(["L", "RGB", "RGBA", "LA", "1", "P", "I;16"]),
)
def test_any_picture_is_prepared_as_mnist_was_or_refused(pixels, mode):
    grey = Image.fromarray(pixels)
    image = in_16_bits(grey) if mode == "I;16" else grey.convert(mode)
    try:
        prepared = digit_image.prepare(image)
    except DataError as error:
        assert "one colour" in str(error)  # noqa: PT017
        return
    assert prepared.shape == (28, 28)
    assert prepared.dtype == np.uint8
    assert prepared.max() >= 254
    rows, columns = np.flatnonzero(prepared.any(axis=1)), np.flatnonzero(prepared.any(axis=0))
    assert rows[-1] - rows[0] < 20
    assert columns[-1] - columns[0] < 20


@given(st.integers(70, 130), st.integers(0, 30), st.integers(0, 30), st.booleans())
def test_where_on_the_paper_a_digit_stands_makes_no_difference(size, left, top, dark):
    digit = np.zeros((30, 20), np.uint8)
    digit[3:27, 8:12] = 255
    digit[3:7, 4:12] = 200
    paper = np.zeros((size, size), np.uint8)
    paper[top + 1 : top + 31, left + 1 : left + 21] = digit
    expected = digit_image.prepare(Image.fromarray(np.pad(digit, 1)))
    prepared = digit_image.prepare(Image.fromarray(255 - paper if dark else paper))
    assert (prepared == expected).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1"])
@pytest.mark.parametrize("size", [(1, 1), (28, 28)])
def test_an_image_of_one_colour_has_nothing_to_see(mode, size):
    with pytest.raises(DataError, match="nothing to see"):
        digit_image.prepare(Image.new(mode, size))


def test_a_photograph_that_was_taken_sideways_is_turned_upright(sample, tmp_path):
    image = Image.fromarray(sample.test.images[150])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.png", exif=exif)
    prepared = digit_image.prepare(digit_image.read_image(tmp_path / "sideways.png"))
    assert (prepared == sample.test.images[150]).all()


def test_of_a_large_picture_as_much_is_looked_at_as_a_digit_needs(sample, monkeypatch):
    image = enlarged(Image.fromarray(sample.test.images[350]), (500, 500))
    reduced = image.copy()
    reduced.thumbnail((100, 100))
    monkeypatch.setattr(digit_image, "LARGEST", 100)
    assert (digit_image.prepare(image) == digit_image.prepare(reduced)).all()


@pytest.fixture
def digit_files(sample, tmp_path):
    """A 3 and an 8 as files."""
    paths = [tmp_path / "three.png", tmp_path / "eight.jpg"]
    for path, i in zip(paths, (350, 850), strict=True):
        enlarged(Image.fromarray(255 - sample.test.images[i])).save(path)
    return paths


class TestTheCommand:
    def test_prints_the_digit_and_ten_probabilities_of_each_image(self, model, digit_files):
        shown = run_module("scratchnet.predict", *digit_files, "--model", model)
        assert shown.returncode == 0, shown.stderr
        lines = shown.stdout.splitlines()
        assert lines[0].startswith(f"{digit_files[0]}: 3 (")
        assert lines[2].startswith(f"{digit_files[1]}: 8 (")
        for title, below, digit in ((lines[0], lines[1], 3), (lines[2], lines[3], 8)):
            shares = dict(pair.split(":") for pair in re.split(r"%\s*", below.strip())[:-1])
            assert list(shares) == [str(digit) for digit in range(10)]
            assert max(shares, key=lambda name: float(shares[name])) == str(digit)
            assert title.endswith(f": {digit} ({float(shares[str(digit)])}%)")

    def test_prints_json_for_other_programs(self, model, digit_files):
        shown = run_module("scratchnet.predict", *digit_files, "--model", model, "--json")
        found = json.loads(shown.stdout)
        assert [entry["digit"] for entry in found] == [3, 8]
        assert [entry["image"] for entry in found] == [str(path) for path in digit_files]
        for entry in found:
            assert sum(entry["probabilities"]) == pytest.approx(1, abs=1e-6)
            assert np.argmax(entry["probabilities"]) == entry["digit"]

    def test_shows_what_the_network_saw(self, model, digit_files, tmp_path):
        show = tmp_path / "seen.png"
        run_module("scratchnet.predict", *digit_files, "--model", model, "--show", show)
        seen = np.asarray(Image.open(show))[4::8, 4::8]
        expected = [digit_image.prepare(digit_image.read_image(path)) for path in digit_files]
        assert (seen == np.hstack(expected)).all()
