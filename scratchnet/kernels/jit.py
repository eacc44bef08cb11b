"""Just-in-time compilation with a disk cache that fails gracefully.

Numba's own cache misses an edit in another module, and a damaged file in it takes the process down.
Here every compiled function is one file, a checksum and the code, in a folder of the user's own
that is named after all that the code depends on: the sources of this package, the versions, the
processor. Whatever goes wrong with it, the function is compiled anew, with one warning.
"""

import hashlib
import os
import pickle
import platform
import tempfile
import warnings
from functools import cache
from pathlib import Path

import llvmlite
import numba
import pooch
from numba import njit, types
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

from scratchnet import signals

# a*b + c may be one instruction (FMA), the terms of a sum may be regrouped, -0 may be 0. NaN and
# infinity stay.
FASTMATH = {"contract", "reassoc", "nsz"}
DIGEST_BYTES = hashlib.sha256().digest_size


def compiled(py_func=None, **options):
    """numba.njit with this cache: compiled when first called, once for every type of arguments."""
    if py_func is None:
        return lambda py_func: compiled(py_func, **options)
    dispatcher = njit(nogil=True, fastmath=FASTMATH, **options)(py_func)
    dispatcher._cache = DiskCache(py_func)
    compile_ = dispatcher.compile

    def compile_unless_stopped(signature):
        with signals.at_once():
            return compile_(signature)

    dispatcher.compile = compile_unless_stopped
    return dispatcher


class StrideGenericKernel(dict):
    """itemsize -> kernel(A, B, C, ...), compiled once per dtype, when first asked for.

    To Numba, contiguous, transposed, strided, read-only and unaligned arrays are different types,
    each pair with a compilation of its own. A kernel that computes its own addresses needs only
    the most general of them. A and C are matrices; B has `dimensions`.
    """

    def __init__(self, kernel, *more_types, dimensions=2, **options):
        self.py_func, self.more_types, self.options = kernel.py_func, more_types, options
        self.dimensions = dimensions

    def __call__(self, A, B, C, *more):
        return self[C.itemsize](A, B, C, *more)

    def __missing__(self, itemsize):
        element = {4: types.float32, 8: types.float64}[itemsize]
        A, B = (
            types.Array(element, dimensions, "A", readonly=True, aligned=False)
            for dimensions in (2, self.dimensions)
        )
        C = types.Array(element, 2, "A")
        kernel = compiled(self.py_func, **self.options)
        kernel.compile((A, B, C, *self.more_types))
        kernel.disable_compile()  # from here on Numba passes every array as the general type
        self[itemsize] = kernel
        return kernel


@cache
def processor():
    """(triple, name, features) of the processor that Numba compiles for."""
    return cpu_target.target_context.codegen().magic_tuple()


@cache
def cache_folder():
    """The folder for this version of the kernels on this processor, created private to the user."""
    described = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        described.update(source.read_bytes())
    versions = platform.python_version(), numba.__version__, llvmlite.__version__
    described.update(repr((versions, processor(), numba.config.BOUNDSCHECK)).encode())
    folder = Path(pooch.os_cache("scratchnet")) / f"kernels-{described.hexdigest()[:16]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise PermissionError(f"{folder} is not this user's alone")  # what lies in it is executed
    return folder


class DiskCache(_Cache):
    """What a Numba dispatcher asks before it compiles, and tells after it has."""

    cache_path = property(lambda self: str(cache_folder()))
    warned = False
    compilations = 0  # in this process, of what was not in the cache

    def __init__(self, py_func):
        self.name = f"{py_func.__module__}.{py_func.__qualname__}"

    def load_overload(self, sig, target_context):
        target_context.refresh()  # Numba's own functions must be known before code that calls them
        try:
            path = self._path(sig)
            if not path.exists():
                return None
            content = path.read_bytes()
            code = content[DIGEST_BYTES:]
            if hashlib.sha256(code).digest() != content[:DIGEST_BYTES]:
                raise ValueError(f"{path} is damaged")
            return CompileResult._rebuild(target_context, *pickle.loads(code))
        except Exception as error:
            self._warn_once(error)
            return None

    def save_overload(self, sig, data):
        DiskCache.compilations += 1
        # Such code holds addresses of this process: loaded into another it would crash.
        assert not data.library.has_dynamic_globals, self.name
        code = dumps(data._reduce())
        try:
            path = self._path(sig)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                (whole := Path(folder, path.name)).write_bytes(hashlib.sha256(code).digest() + code)
                os.replace(whole, path)  # whole or not at all, also beside another process
        except OSError as error:
            self._warn_once(error)

    @staticmethod
    def _warn_once(error):
        if not DiskCache.warned:
            DiskCache.warned = True
            warnings.warn(f"kernels are compiled anew in each process: {error}", stacklevel=2)

    def _path(self, sig):
        types_ = hashlib.sha256(str(sig).encode()).hexdigest()[:16]
        return cache_folder() / f"{self.name}-{types_}"

    def enable(self):
        raise NotImplementedError("the cache is always on")

    disable = flush = enable
