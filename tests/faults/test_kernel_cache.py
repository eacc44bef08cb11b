"""Whatever is wrong with the folder of compiled kernels: the same product, with one warning."""

import hashlib
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.catalogue import as_an_ordinary_user, contents
from tests.kernels.test_machine import probe, warnings_in


def cached(folder):
    return {path for path in contents(folder) if "_ikj" in path.name}


@pytest.mark.skipif(sys.platform != "linux", reason="takes Linux's capabilities from root")
def test_a_folder_that_may_not_be_written_is_reported_once(tmp_path):
    tmp_path.chmod(0o555)
    user = {"preexec_fn": as_an_ordinary_user, "XDG_CACHE_HOME": str(tmp_path)}
    assert warnings_in(probe("one_product", "one_product", **user)) == 1
    assert contents(tmp_path) == {}


def test_a_file_of_something_else_with_the_right_checksum_is_reported_once_and_replaced(tmp_path):
    probe("one_product", XDG_CACHE_HOME=str(tmp_path))
    (file,) = cached(tmp_path)
    foreign = pickle.dumps({"not": "a kernel"})
    file.write_bytes(hashlib.sha256(foreign).digest() + foreign)
    assert warnings_in(probe("one_product", XDG_CACHE_HOME=str(tmp_path))) == 1
    assert warnings_in(probe("one_product", XDG_CACHE_HOME=str(tmp_path))) == 0


def test_two_processes_that_compile_at_once_leave_one_whole_file(tmp_path):
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(probe, "one_product", XDG_CACHE_HOME=str(tmp_path)) for _ in range(2)]
    assert [warnings_in(run.result()) for run in runs] == [0, 0]
    (file,) = contents(tmp_path)
    assert cached(tmp_path) == {file}
    assert warnings_in(probe("one_product", XDG_CACHE_HOME=str(tmp_path))) == 0
