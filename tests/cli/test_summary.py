"""What a command says first of its network and its kernel."""

import numpy as np
import pytest

from scratchnet import MLP
from scratchnet.cli.summary import library, print_network


def test_every_layer_is_shown_with_its_number_its_shapes_and_its_parameters(capsys):
    print_network(MLP((784, 128, 10), rng=np.random.default_rng(0)))

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "linear1 784 x 128 + 128 100,480 parameters",
        "linear2 128 x 10 + 10 1,290 parameters",
        "101,770 in all",
    ]


@pytest.mark.parametrize("name", ["jit", "simd"])
def test_a_kernel_in_numba_is_named_with_the_version_of_numba(name):
    assert library(name).startswith("numba 0.")
