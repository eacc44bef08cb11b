"""Every optimiser of ours needs an adapter to PyTorch's."""

import pytest

from torch_ref.lockstep.optim import adapter


class RMSprop:
    """An optimiser of one's own."""


def test_an_optimiser_without_an_adapter_is_refused():
    with pytest.raises(TypeError, match="no adapter is known for the optimiser RMSprop"):
        adapter(RMSprop())
