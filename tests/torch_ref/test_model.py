"""The PyTorch network is the same network: weights cross over and come back, bit for bit."""

import numpy as np
import pytest
import torch
from torch import nn

import scratchnet
from scratchnet.checking.layer_bounds import LAYERS
from scratchnet.checking.trace import state
from scratchnet.nn.activations import LeakyReLU, Sigmoid, Tanh
from scratchnet.nn.conv import Conv2d, Flatten, MaxPool2d
from scratchnet.nn.layers import Linear
from scratchnet.nn.network import Network
from scratchnet.nn.optim import Adam
from torch_ref.lockstep.optim import adapter
from torch_ref.model import TWINS, TorchMLP, from_torch, parameters, to_torch

FLOATS = ["float32", "float64"]
SIZES = [(784, 128, 64, 10), (3, 2), (1, 1, 1), (5, 4, 4, 4, 4, 2)]


def network(sizes, dtype):
    return scratchnet.MLP(sizes, rng=np.random.default_rng(0), dtype=dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", SIZES)
def test_weights_survive_the_way_to_pytorch_and_back(sizes, dtype):
    mlp = network(sizes, dtype)

    back = from_torch(to_torch(mlp))

    assert len(back.layers) == len(mlp.layers)
    for (name, before), (same_name, after) in zip(mlp.parameters(), back.parameters(), strict=True):
        assert name == same_name
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)


def test_a_linear_weight_is_the_transpose_of_ours():
    mlp = network((3, 2), "float64")

    linear = to_torch(mlp)[0]

    assert linear.weight.shape == (2, 3)
    np.testing.assert_array_equal(linear.weight.detach().numpy(), mlp.parametric_layers[0].W.T)


def test_the_two_networks_share_no_memory():
    mlp = network((3, 4, 2), "float64")
    model = to_torch(mlp)
    before = [array.copy() for _, array in mlp.parameters()]

    with torch.no_grad():
        for p in model.parameters():
            p.zero_()

    for (_, now), then in zip(mlp.parameters(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_state_dict_loads_into_a_plain_sequential():
    model = to_torch(network((4, 3, 2), "float32"))
    plain = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))

    plain.load_state_dict(model.state_dict())

    x = torch.rand(5, 4)
    assert torch.equal(plain(x), model(x))
    np.testing.assert_array_equal(
        from_torch(plain).parametric_layers[1].W, plain[2].weight.detach().T
    )


def test_pytorch_names_the_layers_as_a_user_expects():
    assert [type(layer).__name__ for layer in TorchMLP((4, 3, 2))] == ["Linear", "ReLU", "Linear"]
    assert list(TorchMLP((4, 3, 2)).state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_both_draw_their_weights_from_the_same_distribution():
    ours = network((400, 300), "float64").parametric_layers[0]
    torch.manual_seed(0)
    theirs = dict(parameters(TorchMLP((400, 300), dtype=torch.float64)))

    for mine, name in ((ours.W, "linear1.W"), (ours.b, "linear1.b")):
        assert np.abs(mine).max() == pytest.approx(0.05, rel=0.02)  # the bound 1/√400
        assert np.abs(theirs[name]).max() == pytest.approx(0.05, rel=0.02)
        assert mine.std() == pytest.approx(theirs[name].std(), rel=0.1)


OPTIMISERS = {
    "SGD": (lambda mlp: scratchnet.SGD(mlp, 0.1, momentum=0.9), ["v"]),
    "Adam": (lambda mlp: Adam(mlp, 0.1), ["m", "v"]),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_state_of_an_optimiser_crosses_over_bit_for_bit(name):
    mlp = network((4, 3, 2), "float64")
    create, letters = OPTIMISERS[name]
    ours = create(mlp)
    for _, gradient in mlp.gradients():  # zeros
        gradient += 1
    ours.step()  # for a state other than the first
    parameters = ["W1", "b1", "W2", "b2"]
    model = to_torch(mlp)
    theirs = adapter(ours).to_torch(model.parameters())

    adapter(ours).copy_state(theirs, model)

    kept = {name: array for name, array in state(mlp, ours).items() if name not in parameters}
    theirs = adapter(ours).their_state(theirs, model)
    counted = ["t"] if name == "Adam" else []
    assert list(kept) == [letter + p for letter in letters for p in parameters] + counted
    assert list(theirs) == list(kept)
    for key, array in kept.items():
        assert array.any()
        np.testing.assert_array_equal(theirs[key], array)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_weights_of_a_cnn_survive_the_way_to_pytorch_and_back(dtype):
    shape = {"image": (2, 9, 7), "channels": (3, 4), "size": 3}
    cnn = scratchnet.CNN((5, 6), **shape, rng=np.random.default_rng(0), dtype=dtype)

    model = to_torch(cnn)
    back = from_torch(model)

    names = [type(layer).__name__ for layer in model]
    assert names == [type(layer).__name__ for layer in back.layers]
    assert str(back) == str(cnn)
    np.testing.assert_array_equal(model[0].weight.detach(), cnn.parametric_layers[0].W)
    for (name, before), (same_name, after) in zip(cnn.parameters(), back.parameters(), strict=True):
        assert name == same_name
        np.testing.assert_array_equal(after, before)


def test_a_network_of_any_layers_is_translated_one_by_one():
    layer_args = {"rng": np.random.default_rng(0), "dtype": np.float64}
    layers = [
        *(Conv2d(1, 2, 3, stride=2, padding=1, **layer_args), LeakyReLU(0.3), MaxPool2d(3, 2)),
        *(Flatten(), Tanh(), Linear(8, 3, **layer_args), Sigmoid()),
    ]
    x = np.random.default_rng(1).random((5, 1, 10, 10))  # (5,1,10,10)

    model = to_torch(Network(layers))

    assert [type(layer).__name__ for layer in model] == [type(layer).__name__ for layer in layers]
    np.testing.assert_allclose(
        model(torch.from_numpy(x)).detach(), Network(layers).forward(x), rtol=1e-13
    )


def test_a_layer_without_a_twin_is_refused_in_either_direction():
    class Softplus:
        pass

    mlp = network((4, 3, 2), "float64")
    mlp.layers[1] = Softplus()

    with pytest.raises(TypeError, match="the layer Softplus"):
        to_torch(mlp)
    with pytest.raises(TypeError, match="neither an MLP nor a CNN"):
        from_torch(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)))


def test_every_layer_that_can_be_checked_has_a_twin():
    assert TWINS.keys() == LAYERS.keys()
