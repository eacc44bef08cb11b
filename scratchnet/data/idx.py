"""IDX, the file format of MNIST: bytes become an array, and an array bytes.

IDX bytes ──decode_idx──> array ──encode_idx──> IDX bytes
"""

import gzip
import math
import struct
import zlib

import numpy as np

from scratchnet.errors import DataError

IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IDX_MAX_BYTES = 2**30  # twenty times MNIST; a file that unpacks to more is refused


def decode_idx(data):
    """Decode the bytes of an IDX file into an array in the machine's byte order.

    The format (Y. LeCun, C. Cortes, C. Burges, "The MNIST database"): two zero bytes, one byte for
    the type, one for the rank; the length of each axis as a big-endian uint32; then the elements,
    big-endian, the last axis fastest.

    Raises:
        DataError: a header that is none, or that does not fit the number of bytes behind it.
    """
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_DTYPES:
        raise DataError(f"no IDX header (the first bytes are {data[:4].hex(' ') or 'missing'})")
    dtype, rank = np.dtype(IDX_DTYPES[data[2]]), data[3]
    start = 4 + 4 * rank
    if len(data) < start:
        raise DataError(f"the header of {rank} axes is cut off after {len(data)} bytes")
    shape = struct.unpack(f">{rank}I", data[4:start])
    promised, present = math.prod(shape) * dtype.itemsize, len(data) - start
    if promised != present:
        raise DataError(f"the header promises {promised:,} bytes, {present:,} follow")
    try:
        array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    except ValueError as error:  # more axes than NumPy has
        raise DataError(f"shape {shape}: {error}") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def encode_idx(array):
    """Encode an array of one of the IDX types as the bytes that `decode_idx` decodes."""
    big_endian = array.dtype.newbyteorder(">")
    code = next(code for code, dtype in IDX_DTYPES.items() if np.dtype(dtype) == big_endian)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(big_endian).tobytes()


def read_file(path):
    """Return the unpacked bytes of a file that may be gzipped; DataError if it is damaged."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(IDX_MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > IDX_MAX_BYTES:
        raise DataError(f"{path} unpacks to more than {IDX_MAX_BYTES:,} bytes")
    return content
