"""Adam: the steps that torch.optim.Adam takes, in place."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import MLP
from scratchnet.checking.trace import short, state
from scratchnet.kernels import adam as compiled
from scratchnet.nn.optim import Adam, adam_update
from torch_ref.lockstep.optim import adapter
from torch_ref.model import copy_weights, parameters, to_torch

FLOATS = ["float32", "float64"]
both_dtypes = pytest.mark.parametrize("dtype", FLOATS)


class Pair:
    """A small network with our Adam, and PyTorch's beside it."""

    def __init__(self, dtype, *options, update=adam_update):
        self.mlp = MLP((4, 3, 2), rng=np.random.default_rng(0), dtype=dtype)
        self.model = to_torch(self.mlp)
        self.ours = Adam(self.mlp, *options, update=update)
        self.theirs = torch.optim.Adam(self.model.parameters(), *options)

    def step(self, gradient):
        """Let both take a step on the gradients that `gradient(shape)` returns."""
        for layer, linear in zip(self.mlp.parametric_layers, [*self.model][::2], strict=True):
            layer.dW, layer.db = (gradient(p.shape).astype(p.dtype) for p in (layer.W, layer.b))
            linear.weight.grad = torch.tensor(layer.dW.T.copy())
            linear.bias.grad = torch.tensor(layer.db)
        self.ours.step()
        self.theirs.step()

    def sides(self):
        """{name: (ours, PyTorch's)} of the parameters and the state."""
        ours = state(self.mlp, self.ours)
        theirs = adapter(self.ours).their_state(self.theirs, self.model)
        theirs |= short(parameters(self.model))
        return {name: (array, theirs[name]) for name, array in ours.items()}


@settings(max_examples=100)
@given(
    dtype=st.sampled_from(FLOATS),
    size=st.sampled_from([0.0, 1e-30, 1e-9, 1e-4, 1.0, 1e4]),
    lr=st.sampled_from([1e-5, 1e-3, 0.1]),
    betas=st.tuples(st.floats(0, 0.99), st.floats(0, 0.9999)),
    eps=st.sampled_from([1e-8, 1e-3]),
    seed=st.integers(0, 2**32),
    update=st.sampled_from([adam_update, compiled.adam_update]),
)
def test_five_steps_are_those_of_pytorch_in_lockstep(dtype, size, lr, betas, eps, seed, update):
    pair, rng = Pair(dtype, lr, betas, eps, update=update), np.random.default_rng(seed)
    for t in range(1, 6):
        adapter(pair.ours).copy_state(pair.theirs, pair.model)
        copy_weights(pair.mlp, pair.model)
        before = state(pair.mlp, pair.ours)

        pair.step(lambda shape: size * rng.standard_normal(shape))

        sides = pair.sides()
        sides |= {name: (g, g) for name, g in short(pair.mlp.gradients()).items()}
        assert sides["t"] == (t, t)
        for p in short(pair.mlp.parameters()):
            for name, band in adapter(pair.ours).bounds(p, sides.get, before).items():
                ours, theirs = sides[name]
                assert ours.dtype == theirs.dtype == dtype
                assert (np.abs(ours.astype(float) - theirs) <= band()).all(), (name, t)


@both_dtypes
def test_a_hundred_steps_alone_end_where_pytorchs_do(dtype):
    pair, rng = Pair(dtype, 0.01), np.random.default_rng(1)
    for _ in range(100):
        pair.step(rng.standard_normal)

    for ours, theirs in pair.sides().values():
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=100 * np.finfo(dtype).eps)


@both_dtypes
@pytest.mark.parametrize("edge", [np.nan, np.inf, -np.inf, 0.0, -0.0])
def test_a_gradient_at_the_edge_of_the_format_has_the_effect_that_it_has_in_pytorch(dtype, edge):
    pair = Pair(dtype, 0.01)
    with np.errstate(invalid="ignore"):
        for _ in range(2):
            pair.step(lambda shape: np.full(shape, edge))

    for ours, theirs in pair.sides().values():
        np.testing.assert_array_equal(ours, theirs)


def one_weight(**options):
    """A layer whose weight is 2, and the Adam that moves it."""
    mlp = MLP((1, 1), rng=np.random.default_rng(0), dtype=np.float64)
    mlp.parametric_layers[0].W[...] = 2
    return mlp.parametric_layers[0], Adam(mlp, **options)


def test_its_steps_are_the_formula_on_numbers_one_can_check_by_hand():
    layer, adam = one_weight(lr=0.5, betas=(0.5, 0.75), eps=1.0)
    layer.dW = np.array([[2.0]])
    adam.step()
    assert [array.tolist() for _, array in (adam.first_moments[0], adam.second_moments[0])] == [
        [[1]],
        [[1]],
    ]
    first = 2 - 0.5 * (1 / 0.5) / ((1 / 0.25) ** 0.5 + 1)
    assert layer.W.item() == pytest.approx(first, rel=1e-15)

    layer.dW = np.array([[-1.0]])
    adam.step()
    assert [array.tolist() for _, array in (adam.first_moments[0], adam.second_moments[0])] == [
        [[0]],
        [[1]],
    ]
    assert layer.W.item() == first  # the mean is 0


@pytest.mark.parametrize("gradient", [1e-3, -1.0, 1e3])
def test_the_first_step_is_lr_long_whatever_the_gradient(gradient):
    layer, adam = one_weight(lr=0.5)
    layer.dW = np.array([[gradient]])

    adam.step()

    assert layer.W.item() == pytest.approx(2 - 0.5 * np.sign(gradient), abs=1e-5)


def test_it_changes_the_weights_themselves_and_no_gradient():
    layer, adam = one_weight(lr=0.5)
    W, means, layer.dW = layer.W, adam.first_moments[0][1], np.array([[3.0]])

    adam.step()

    assert W is layer.W
    assert W != 2
    assert adam.first_moments[0][1] is means
    assert layer.dW == 3


def test_another_learning_rate_acts_at_once():
    layer, adam = one_weight(lr=0.5)
    layer.dW = np.array([[3.0]])
    adam.step()
    adam.lr = 0.125
    adam.step()

    assert layer.W.item() == pytest.approx(2 - 0.5 - 0.125, rel=1e-8)


def test_by_default_its_options_are_pytorchs():
    _, adam = one_weight(lr=0.1)
    theirs = torch.optim.Adam([torch.zeros(1)], lr=0.1).defaults

    assert (adam.betas, adam.eps) == (theirs["betas"], theirs["eps"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("lr", value) for value in (0, -0.1, np.nan, np.inf)),
        *(("eps", value) for value in (0, -1e-8, np.nan, np.inf)),
        *(("betas", value) for value in ((1, 0.9), (0.9, 1), (-0.1, 0.9), (0.9, np.nan))),
    ],
)
def test_options_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must"):
        one_weight(**{"lr": 0.1, name: value})


def test_a_network_that_has_grown_since_is_refused():
    mlp = MLP((3, 2), rng=np.random.default_rng(0))
    adam = Adam(mlp, lr=0.1)
    mlp.layers += MLP((2, 4, 2), rng=np.random.default_rng(0)).layers[1:]

    with pytest.raises(ValueError, match="shorter"):
        adam.step()


def arrays(dtype=np.float32, shape=(3, 4)):
    """p, g, m, v."""
    return [np.full(shape, value, dtype) for value in (0.5, 1, 0, 0)]


def test_the_compiled_update_takes_a_gradient_of_any_strides():
    (p, g, m, v), (P, G, M, V) = arrays(), arrays()
    g[:] = np.arange(12).reshape(3, 4)
    G = np.asfortranarray(g)
    options = (0.1, 0.3, (0.9, 0.999), 1e-8)
    adam_update(p, g, m, v, *options)
    compiled.adam_update(P, G, M, V, *options)
    np.testing.assert_allclose([P, M, V], [p, m, v], rtol=1e-6)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, np.zeros((4, 3), np.float32)),
        (1, np.zeros((3, 4))),
        (2, np.zeros((3, 5), np.float32)),
        (0, np.zeros((3, 4), np.int64)),
        (0, np.zeros((4, 3), np.float32).T),
        (3, np.zeros((3, 8), np.float32)[:, ::2]),
    ],
    ids=["shape", "dtype", "shape of the mean", "integers", "transposed", "strided"],
)
def test_the_compiled_update_is_never_handed_what_it_cannot_handle(number, wrong):
    given_ = arrays()
    given_[number] = wrong
    with pytest.raises(ValueError, match=r"of one shape are needed|must be contiguous"):
        compiled.adam_update(*given_, 0.1, 0.3, (0.9, 0.999), 1e-8)


def test_the_compiled_update_refuses_arrays_that_overlap():
    row, (_, g, _, v) = np.zeros(9, np.float32), arrays(shape=8)
    with pytest.raises(ValueError, match="must lie apart"):
        compiled.adam_update(row[:8], g, row[1:], v, 0.1, 0.3, (0.9, 0.999), 1e-8)
