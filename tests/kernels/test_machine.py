"""The ladder on other processors, on other numbers of threads, with a cache in any condition."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import scratchnet.kernels
from scratchnet.kernels import get, jit, threads
from scratchnet.kernels.threads import set_threads
from tests.kernels.kernel_checks import DTYPES, numbers

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# CPU name and features as LLVM calls them -> the vectors that the kernels should choose
OTHER_PROCESSORS = {
    "haswell": ("+avx,+avx2,+fma,+bmi,+bmi2,+popcnt,+lzcnt,+sse4.2", 32),
    "x86-64": ("+sse2", 16),
}


def probe(*steps, root=ROOT, preexec_fn=None, **variables):
    """Run steps of kernel_probe.py in a new process; return what it wrote."""
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", HERE / "kernel_probe.py", *steps],
        env=os.environ | {"PYTHONPATH": str(root)} | variables,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=preexec_fn,
        timeout=300,  # a pool that does not survive a fork waits for ever
    )
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def warnings_in(output):
    return output.count("kernels are compiled anew")


if platform.machine() in ("x86_64", "AMD64"):

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("name", OTHER_PROCESSORS)
    def test_the_ladder_holds_the_bound_compiled_for_a_smaller_processor(name):
        features, size = OTHER_PROCESSORS[name]
        output = probe("vector_bytes", "ladder", NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
        assert f"vectors of {size} bytes" in output


def test_the_loops_stay_inside_their_arrays():
    probe("loops", NUMBA_BOUNDSCHECK="1")


def test_no_kernel_reads_memory_beside_its_operands():
    probe("guard_pages")


@pytest.mark.parametrize("layer", ["workqueue", "default"])
def test_several_python_threads_may_multiply_at_once(layer):
    probe("many_threads_at_once", NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")


@pytest.mark.parametrize("layer", ["workqueue", "default"])
def test_a_forked_child_multiplies_after_its_parent_has_used_threads(layer):
    probe("fork", NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")


@pytest.fixture
def threads_at_once(monkeypatch):
    """Threads are used for the smallest product, too."""
    monkeypatch.setattr(threads, "WORTH_WAKING", 1)


@pytest.mark.parametrize("name", ["parallel", "simd", "sparse"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(257, 129, 131), (131, 129, 257)], ids=str)
def test_the_bits_are_the_same_for_any_number_of_threads(name, dtype, shape, threads_at_once):
    m, k, n = shape
    rng = np.random.default_rng(0)
    for zeros in (0, 0.5, 0.81):
        A, B = numbers(rng, (m, k), dtype, zeros), numbers(rng, (k, n), dtype)
        products = []
        for count in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            set_threads(count)
            products.append(get(name)(A, B).tobytes())
        assert len(set(products)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_are_the_same_where_the_zeros_lie_in_one_threads_share_only(
    dtype, threads_at_once
):
    rng = np.random.default_rng(0)
    # So deep that `sparse` and the `simd` it hands dense operands to add in another order.
    A, B = numbers(rng, (64, 1100), dtype), numbers(rng, (1100, 70), dtype)
    A[32:] = numbers(rng, (32, 1100), dtype, 0.95)
    products = []
    for count in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        set_threads(count)
        products.append(get("sparse")(A, B).tobytes())
    assert len(set(products)) == 1


@pytest.mark.parametrize("count", [0, -1, numba.config.NUMBA_NUM_THREADS + 1])
def test_a_number_of_threads_that_cannot_be_is_refused(count):
    with pytest.raises(ValueError, match=str(count)):
        set_threads(count)


def test_a_product_leaves_numbas_own_number_of_threads_alone(threads_at_once):
    set_threads(numba.config.NUMBA_NUM_THREADS)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        get("simd")(np.ones((200, 200)), np.ones((200, 200)))
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A cache in which one kernel lies."""
    folder = tmp_path_factory.mktemp("cache")
    assert warnings_in(probe("one_product", XDG_CACHE_HOME=str(folder))) == 0
    return folder


@pytest.fixture
def cache(compiled, tmp_path):
    """A copy of it, for the test to damage."""
    return shutil.copytree(compiled, tmp_path / "cache")


def test_a_second_process_compiles_nothing(compiled):
    def files():
        return {path: path.stat().st_mtime_ns for path in compiled.rglob("*-*") if path.is_file()}

    first = files()
    assert len(first) == 1
    assert warnings_in(probe("one_product", XDG_CACHE_HOME=str(compiled))) == 0
    assert files() == first


def test_another_processor_finds_nothing_that_was_compiled_for_this_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    triple, name, features = jit.processor()
    folders = set()
    for processor in ((triple, name, features), (triple, "x86-64", features), (triple, name, "")):
        monkeypatch.setattr(jit, "processor", lambda processor=processor: processor)
        folders.add(jit.cache_folder.__wrapped__())
    assert len(folders) == 3


@pytest.mark.parametrize("damage", ["cut short", "emptied", "one bit"])
def test_a_damaged_cache_is_reported_once_and_repaired(cache, damage):
    (file,) = (path for path in cache.rglob("*_ikj*") if path.is_file())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    whole = {"cut short": content[:1000], "emptied": b"", "one bit": content}
    file.write_bytes(whole[damage])
    assert warnings_in(probe("one_product", "one_product", XDG_CACHE_HOME=str(cache))) == 1
    assert warnings_in(probe("one_product", XDG_CACHE_HOME=str(cache))) == 0


def test_a_cache_that_cannot_be_made_is_reported_once(tmp_path):
    (tmp_path / "file").touch()
    output = probe("loops", XDG_CACHE_HOME=str(tmp_path / "file"))
    assert warnings_in(output) == 1


def test_a_full_disk_is_reported_once_and_leaves_nothing_half_written(tmp_path):
    output = probe("disk_full", "one_product", XDG_CACHE_HOME=str(tmp_path))
    assert warnings_in(output) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "ikj" in path.name]
    assert warnings_in(probe("one_product", XDG_CACHE_HOME=str(tmp_path))) == 0


def test_a_cache_into_which_others_may_write_is_reported_once_and_not_executed(cache):
    (folder,) = (cache / "scratchnet").iterdir()
    for path in folder.iterdir():
        path.write_bytes(b"planted")
    folder.chmod(0o777)
    assert warnings_in(probe("one_product", XDG_CACHE_HOME=str(cache))) == 1
    assert {path.read_bytes() for path in folder.iterdir()} == {b"planted"}


def test_an_edit_of_any_kernel_source_leaves_the_old_machine_code_behind(tmp_path):
    package = tmp_path / "edited" / "scratchnet" / "kernels"
    shutil.copytree(Path(scratchnet.__file__).parent, package.parent)
    cache = tmp_path / "cache"
    for _ in range(2):
        probe("one_product", root=tmp_path / "edited", XDG_CACHE_HOME=str(cache))
        with (package / "threads.py").open("a") as source:
            source.write("# edited\n")
    assert len(list((cache / "scratchnet").iterdir())) == 2
