"""A file is replaced as a whole or not at all."""

import csv
import io
import json
import os


def write_atomically(path, content):
    """Replace the file at `path` by the bytes `content`: all of them, or it stays as it was.

    Raises:
        OSError: not writable or no space left; the old file is then untouched.
    """
    partial = path.parent / (path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk before it gets the name
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk does not say whose file it was
        raise


def write_json(path, value):
    """Write a value as JSON; OSError as above."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def write_csv(path, columns, rows):
    """Write rows below their columns as CSV, None as an empty field; OSError as above."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_atomically(path, text.getvalue().encode())
