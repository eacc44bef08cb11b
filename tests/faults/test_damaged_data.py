"""Files that are no digits, mirrors that fail, disks that are full: 3 and 6, in one line."""

import gzip
import struct
import subprocess

import pytest

from scratchnet.data import mnist
from scratchnet.data.mnist import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from tests.conftest import ROOT, run_module
from tests.faults.catalogue import (
    assert_one_line,
    assert_whole,
    contents,
    on_a_disk_with,
    refused,
    train,
    unpacked,
    with_constants,
)


def header(type_code, *shape):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, type_code, len(shape), *shape)


def packed(content):
    return gzip.compress(content, mtime=0)


# What becomes of the unpacked bytes of one file, and what the refusal says beside its name.
UNPACKED = {
    "bad magic": (TRAIN_IMAGES, lambda b: b"\1" + b[1:], "no IDX header"),
    "unknown type": (TRAIN_IMAGES, lambda b: b[:2] + b"\7" + b[3:], "no IDX header"),
    "another type": (TRAIN_LABELS, lambda b: header(0x0C, 1) + bytes(4), "int32 (1,)"),
    "another rank": (TRAIN_IMAGES, lambda b: header(8, 572, 784) + b[16:], "(572, 784)"),
    "more axes than NumPy has": (TRAIN_IMAGES, lambda b: header(8, *[1] * 99) + b"\0", "shape"),
    "images of 32 x 32": (TRAIN_IMAGES, lambda b: header(8, 1, 32, 32) + bytes(1024), "32, 32"),
    "a count too large": (
        TRAIN_LABELS,
        lambda b: header(8, 573) + b[8:],
        "promises 573 bytes, 572",
    ),
    "a count too small": (
        TRAIN_LABELS,
        lambda b: header(8, 571) + b[8:],
        "promises 571 bytes, 572",
    ),
    "2^32 items": (TRAIN_LABELS, lambda b: header(8, 2**32 - 1) + b[8:], "promises 4,294,967,295"),
    "2^96 items": (TEST_IMAGES, lambda b: header(8, *[2**32 - 1] * 3) + b[16:], "promises 79,228"),
    "bytes behind the last": (TEST_LABELS, lambda b: b + b"\0", "200 bytes, 201 follow"),
    "cut off in the header": (TEST_LABELS, lambda b: b[:6], "cut off after 6 bytes"),
    "empty": (TEST_LABELS, lambda b: b"", "missing"),
    "no image": (TRAIN_LABELS, lambda b: header(8, 0), "572 images"),
    "a label over 9": (TRAIN_LABELS, lambda b: b[:-1] + b"\12", "the label 10; digits end at 9"),
    "one label too few": (TRAIN_LABELS, lambda b: header(8, 571) + b[8:-1], "571 labels"),
}
# What becomes of the gzipped bytes.
ZIPPED = {
    "truncated": (TEST_IMAGES, lambda b: b[: len(b) // 2], "is damaged"),
    "a bad CRC": (TEST_IMAGES, lambda b: b[:-8] + bytes(4) + b[-4:], "CRC check failed"),
    "a wrong byte": (TEST_IMAGES, lambda b: b[:900] + bytes([b[900] ^ 1]) + b[901:], "is damaged"),
    "a web page": (TEST_IMAGES, lambda b: b"<html>not found</html>", "Not a gzipped file"),
    "empty": (TEST_IMAGES, lambda b: b"", "no IDX header"),
}


def copied(digits_folder, folder, name=None, content=None):
    """Copy the four files, one of them replaced."""
    folder.mkdir(exist_ok=True)
    for path in digits_folder.iterdir():
        replaced = path.name == f"{name}.gz"
        (folder / path.name).write_bytes(content if replaced else path.read_bytes())
    return folder


@pytest.mark.parametrize("damage", UNPACKED)
def test_a_file_that_is_no_digits_is_3(digits_folder, tmp_path, damage):
    name, change, words = UNPACKED[damage]
    content = packed(change(unpacked(digits_folder)[name]))
    folder = copied(digits_folder, tmp_path / "data", name, content)
    refused(3, [name, words], *train(folder, tmp_path / "out"), keeping=tmp_path)


@pytest.mark.parametrize("damage", ZIPPED)
def test_a_damaged_gzip_file_is_3(digits_folder, tmp_path, damage):
    name, change, words = ZIPPED[damage]
    content = change((digits_folder / f"{name}.gz").read_bytes())
    folder = copied(digits_folder, tmp_path / "data", name, content)
    refused(3, [name, words], *train(folder, tmp_path / "out"), keeping=tmp_path)


@pytest.mark.parametrize(
    "folder", ["missing", "two\nlines", "\udcff", pytest.param("a" * 300, id="too long")], ids=ascii
)
def test_a_folder_that_is_not_there_is_3_in_one_line(tmp_path, folder):
    words = ascii(folder)[1:-1]
    refused(3, words, *train(tmp_path / folder, tmp_path / "out"), keeping=tmp_path)


class Mirrored:
    """Commands whose mirrors are on this machine and serve the small folder in place of MNIST."""

    def __init__(self, server, cache, patch):
        self.server, self.cache, self.patch = server, cache, patch
        patch.delenv("SCRATCHNET_DATA_DIR", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(cache.parent))

    def constants(self):
        return self.server.constants | {"TIMEOUT": 1}

    def run(self, *options):
        for name, value in self.constants().items():
            self.patch.setattr(mnist, name, value)
        return run_module("scratchnet.train", "--dry-run", *options)

    def start(self, *options, **kwargs):
        return subprocess.Popen(
            [*with_constants(self.constants()), "--dry-run", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **kwargs,
        )

    def names(self):
        return sorted(path.name for path in self.cache.iterdir()) if self.cache.exists() else []


FOUR = sorted(f"{name}.gz" for name in mnist.MNIST_SHA256)


MNIST = ("--dataset", "mnist")


@pytest.fixture
def mirrored(mirror_server, tmp_path, monkeypatch):
    return Mirrored(mirror_server, tmp_path / "cache" / "scratchnet", monkeypatch)


def ended(process):
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize("answer", [403, 503, "a page instead of the file", "silence"])
def test_the_second_mirror_is_taken_when_the_first_fails(mirrored, answer):
    mirrored.server.answers = [answer]
    shown = mirrored.run(*MNIST)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    assert shown.stdout.startswith("data    MNIST")
    assert mirrored.names() == FOUR


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(404, "HTTP 404"), ("a page instead of the file", "wrong checksum"), ("silence", "Timeout")],
)
def test_mirrors_that_all_fail_are_3_and_named_with_the_folder_to_use(mirrored, answer, reason):
    mirrored.server.answers = [answer] * 9
    shown = mirrored.run(*MNIST)
    assert_one_line(shown, 3, [f"{reason}) or 127.0.0.1", f"{reason});", str(mirrored.cache)])
    assert mirrored.names() == []


def test_no_network_at_all_is_3_where_mnist_is_asked_for_and_else_the_sample(mirrored):
    mirrored.server.constants["MIRRORS"] = ["http://127.0.0.1:9/", "http://127.0.0.1:10/"]
    assert_one_line(
        mirrored.run(*MNIST), 3, ["ConnectionError", "127.0.0.1:10", str(mirrored.cache)]
    )
    shown = mirrored.run()
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("data    a SAMPLE of MNIST")


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TEST_LABELS])
def test_a_cached_file_that_was_altered_later_is_fetched_again(mirrored, digits_folder, name):
    mirrored.cache.parent.mkdir()
    content = bytearray(unpacked(digits_folder)[name])
    content[-1] = (content[-1] + 1) % 10  # of the right size, and a digit still
    copied(digits_folder, mirrored.cache, name, packed(bytes(content)))
    shown = mirrored.run(*MNIST)
    assert shown.returncode == 0, shown.stderr
    (line,) = shown.stderr.splitlines()
    assert name in line
    assert "downloading again" in line
    assert contents(mirrored.cache).keys() == {mirrored.cache / name for name in FOUR}
    assert mirrored.run(*MNIST).stderr == ""


def test_a_file_of_the_right_size_and_wrong_content_is_3_in_a_folder_of_the_users(
    mirrored, digits_folder, tmp_path
):
    content = bytearray(unpacked(digits_folder)[TEST_LABELS])
    content[-1] = (content[-1] + 1) % 10
    folder = copied(digits_folder, tmp_path / "data", TEST_LABELS, packed(bytes(content)))
    before = contents(folder)
    shown = mirrored.run(*MNIST, "--data-dir", folder)
    assert_one_line(shown, 3, [TEST_LABELS, "not MNIST's", "replace it by the original"])
    assert_whole(before, folder)


def test_a_disk_that_gets_full_during_the_download_is_6_and_no_part_stays(mirrored):
    # the first file has some 90,000
    shown = ended(mirrored.start(*MNIST, preexec_fn=on_a_disk_with(20_000)))
    assert_one_line(shown, 6, [str(mirrored.cache / f"{TRAIN_IMAGES}.gz"), "File too large"])
    assert mirrored.names() == []


def test_two_processes_that_download_at_once_both_get_whole_files(mirrored, digits_folder):
    for process in [mirrored.start(*MNIST) for _ in range(2)]:
        shown = ended(process)
        assert shown.returncode == 0, shown.stderr
    assert mirrored.names() == FOUR
    for name in FOUR:
        assert (mirrored.cache / name).read_bytes() == (digits_folder / name).read_bytes()


def test_the_sample_needs_no_folder_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    shown = run_module("scratchnet.train", "--dataset", "sample", "--dry-run")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert not (tmp_path / "scratchnet").exists()
