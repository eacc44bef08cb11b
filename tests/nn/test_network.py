"""The network by hand: shapes, conventions and errors. That its gradients are right is shown
against PyTorch and against finite differences, in files of their own."""

import re
import subprocess
import sys

import numpy as np
import pytest

from scratchnet import MLP, SGD, Linear, Network, ReLU, Tanh, softmax, softmax_cross_entropy
from scratchnet.data import to_unit_interval


def rng():
    return np.random.default_rng(0)


def a_batch(sample, dtype=np.float32):
    """32 real digits."""
    return to_unit_interval(sample.train.images[::125], dtype), sample.train.labels[::125]


class TestLinear:
    def test_draws_weights_and_biases_as_pytorch_does(self):
        layer = Linear(400, 300, rng=rng())
        for array in (layer.W, layer.b):
            assert np.abs(array).max() <= 1 / 20
            assert np.abs(array).max() > 0.99 / 20
            assert abs(array.mean()) < 0.005
        assert layer.W.shape == (400, 300)
        assert layer.b.shape == (300,)

    def test_takes_its_randomness_from_the_caller_alone(self):
        one, same = Linear(3, 2, rng=rng()), Linear(3, 2, rng=rng())
        other = Linear(3, 2, rng=np.random.default_rng(1))
        assert (one.W == same.W).all()
        assert (one.b == same.b).all()
        assert (one.W != other.W).any()

    def test_computes_its_formulas_on_numbers_one_can_check_by_hand(self):
        layer = Linear(2, 3, rng=rng(), dtype=np.float64)
        layer.W[...] = [[1, 2, 3], [4, 5, 6]]
        layer.b[...] = [10, 20, 30]
        x, dy = np.array([[1.0, 0.0], [2.0, 1.0]]), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
        assert layer.forward(x).tolist() == [[11, 22, 33], [16, 29, 42]]
        assert layer.backward(dy).tolist() == [[1, 4], [8, 17]]
        assert layer.dW.tolist() == [[1, 2, 4], [0, 1, 2]]
        assert layer.db.tolist() == [1, 1, 2]

    def test_multiplies_with_the_kernel_it_was_given(self):
        calls = []

        def matmul(a, b):
            calls.append((a.shape, b.shape))
            return a @ b

        layer = Linear(5, 3, rng=rng(), matmul=matmul)
        layer.forward(np.zeros((2, 5), np.float32))
        layer.backward(np.zeros((2, 3), np.float32))
        assert calls == [((2, 5), (5, 3)), ((5, 2), (2, 3)), ((2, 3), (3, 5))]

    def test_saves_the_product_for_the_input_gradient_when_nobody_needs_it(self):
        layer = Linear(5, 3, rng=rng())
        layer.forward(np.ones((2, 5), np.float32))
        assert layer.backward(np.ones((2, 3), np.float32), need_dx=False) is None
        assert (layer.dW == 2).all()

    @pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (-1, 3)])
    def test_refuses_sizes_under_one(self, sizes):
        with pytest.raises(ValueError, match="at least 1"):
            Linear(*sizes, rng=rng())

    @pytest.mark.parametrize(
        "x",
        [
            *(np.zeros((2, 4), "f4"), np.zeros((2, 6), "f4"), np.zeros(5, "f4")),
            *(np.zeros((2, 5, 1), "f4"), np.zeros((2, 5), "f8"), np.zeros((2, 5), int)),
        ],
    )
    def test_names_both_shapes_and_dtypes_when_its_input_does_not_fit(self, x):
        with pytest.raises(ValueError, match=r"\(B, 5\).*float32") as raised:
            Linear(5, 3, rng=rng()).forward(x)
        assert f"{x.shape} and {x.dtype}" in str(raised.value)

    @pytest.mark.parametrize(
        "dy",
        [
            *(np.zeros((3, 3), "f4"), np.zeros((2, 1), "f4"), np.zeros((2, 3, 1), "f4")),
            *(np.zeros((2, 3)), np.zeros((2, 3), "f2")),
        ],
    )
    def test_names_both_shapes_and_dtypes_when_a_gradient_does_not_fit(self, dy):
        layer = Linear(5, 3, rng=rng())
        layer.forward(np.zeros((2, 5), np.float32))
        with pytest.raises(ValueError, match=r"\(2, 3\).*float32") as raised:
            layer.backward(dy)
        assert f"{dy.shape} and {dy.dtype}" in str(raised.value)

    def test_takes_a_float32_for_a_float32_even_if_its_dtype_carries_metadata(self):
        dtype = np.dtype("f4", metadata={"unit": "grey"})
        layer = Linear(5, 3, rng=rng())
        layer.forward(np.ones((2, 5), dtype))
        layer.backward(np.ones((2, 3), dtype))
        assert (layer.db == 2).all()

    def test_wants_its_options_by_name(self):
        with pytest.raises(TypeError):
            Linear(5, 3, rng())
        with pytest.raises(TypeError):
            Linear(5, 3, rng=rng()).backward(np.zeros((0, 3), np.float32), False)

    def test_takes_no_gradient_before_the_first_batch(self):
        with pytest.raises(ValueError, match=r"\(0, 3\)"):
            Linear(5, 3, rng=rng()).backward(np.zeros((2, 3), np.float32))


class TestReLU:
    def test_has_slope_zero_at_zero_and_lets_nan_pass(self):
        relu = ReLU()
        x = np.array([[-np.inf, -1, -0.0, 0, 1e-30, 2, np.inf, np.nan]])
        np.testing.assert_array_equal(relu.forward(x), [[0, 0, 0, 0, 1e-30, 2, np.inf, np.nan]])
        np.testing.assert_array_equal(relu.backward(np.full_like(x, 7)), [[0, 0, 0, 0, 7, 7, 7, 7]])

    def test_turns_an_infinite_gradient_into_nan_where_it_is_off(self):
        relu = ReLU()
        relu.forward(np.array([[-1.0, 1.0]]))
        with np.errstate(invalid="ignore"):
            dx = relu.backward(np.array([[np.inf, np.inf]]))
        np.testing.assert_array_equal(dx, [[np.nan, np.inf]])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_keeps_the_dtype(self, dtype):
        relu = ReLU()
        assert relu.forward(np.ones((1, 2), dtype)).dtype == dtype
        assert relu.backward(np.ones((1, 2), dtype)).dtype == dtype

    @pytest.mark.parametrize(("shape", "other"), [((2, 5), (5, 2)), ((5, 2), (2, 5))])
    def test_names_both_shapes_when_a_gradient_does_not_fit(self, shape, other):
        relu = ReLU()
        relu.forward(np.zeros(shape))
        with pytest.raises(ValueError, match=f"{re.escape(str(shape))}.*{re.escape(str(other))}"):
            relu.backward(np.zeros(other))

    def test_takes_no_gradient_before_the_first_batch(self):
        with pytest.raises(ValueError, match=r"\(0,\)"):
            ReLU().backward(np.zeros(1))


class TestTheLoss:
    def test_of_a_network_that_knows_nothing_is_log_of_the_number_of_classes(self):
        loss, dlogits = softmax_cross_entropy(np.zeros((4, 10)), np.arange(4))
        assert loss == pytest.approx(np.log(10), rel=1e-15)
        np.testing.assert_allclose(dlogits, (0.1 - np.eye(4, 10)) / 4, rtol=1e-15)

    def test_is_a_mean_over_the_batch_and_so_is_its_gradient(self, sample):
        x, labels = a_batch(sample, np.float64)
        logits = MLP((784, 10), rng=rng(), dtype=np.float64).forward(x)
        loss, dlogits = softmax_cross_entropy(logits, labels)
        twice = softmax_cross_entropy(np.tile(logits, (2, 1)), np.tile(labels, 2))
        assert twice[0] == pytest.approx(loss, rel=1e-15)
        np.testing.assert_allclose(twice[1], np.tile(dlogits, (2, 1)) / 2, rtol=1e-15)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_stands_logits_that_overflow_exp(self, dtype):
        logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
        loss, dlogits = softmax_cross_entropy(logits, np.array([0, 0]))
        assert loss == 1e4
        assert loss.dtype == dlogits.dtype == dtype
        assert dlogits.tolist() == [[0, 0, 0], [-0.5, 0.5, 0]]

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_has_a_softmax_that_stands_them_too(self, dtype):
        p = softmax(np.array([[1e4, -1e4, 1e4], [-1e4, 1e4, 0]], dtype))
        assert p.tolist() == [[0.5, 0, 0.5], [0, 1, 0]]

    def test_leaves_the_logits_as_they_are(self):
        logits = np.ones((2, 3))
        softmax_cross_entropy(logits, np.array([0, 1]))
        assert (logits == 1).all()

    def test_comes_from_the_probabilities_that_softmax_gives(self):
        logits = rng().normal(size=(6, 10)) * 5
        loss, _ = softmax_cross_entropy(logits, np.arange(6))
        p = softmax(logits)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-15)
        assert loss == pytest.approx(-np.log(p[np.arange(6), np.arange(6)]).mean(), rel=1e-13)

    @pytest.mark.parametrize(
        ("logits", "labels", "message"),
        [
            (np.zeros((2, 3)), np.zeros(3, int), r"\(2, 3\) and \(3,\)"),
            (np.zeros(3), np.zeros(3, int), r"\(3,\) and \(3,\)"),
            (np.zeros((2, 3)), np.zeros(1, int), r"\(2, 3\) and \(1,\)"),
            (np.zeros((2, 3, 1)), np.zeros(2, int), r"\(2, 3, 1\) and \(2,\)"),
            (np.zeros((2, 3)), np.zeros((2, 1), int), r"\(2, 1\)"),
            (np.zeros((0, 3)), np.zeros(0, int), r"\(0, 3\)"),
            (np.zeros((2, 3)), np.array([0, 3]), "0 to 2.*to 3"),
            (np.zeros((2, 3)), np.array([0, 7]), "0 to 2.*to 7"),
            (np.zeros((2, 4)), np.array([0, 4]), "0 to 3.*to 4"),
            (np.zeros((2, 3)), np.array([0, -1]), "0 to 2.*-1"),
            (np.zeros((2, 3)), np.array([0.0, 1.0]), "float64"),
        ],
    )
    def test_refuses_labels_that_are_no_classes_of_these_logits(self, logits, labels, message):
        with pytest.raises(ValueError, match=message):
            softmax_cross_entropy(logits, labels)


class Scale:
    """y = gamma x, with one gamma an input: a layer whose parameter is not called W."""

    def __init__(self, n, **more):
        self.gamma, self.dgamma = np.ones(n), np.zeros(n)
        vars(self).update(more)

    def forward(self, x):
        self.x = x  # (B,I)
        return self.gamma * x

    def backward(self, dy, *, need_dx=True):
        self.dgamma = (dy * self.x).sum(axis=0)  # (B,I) -> (I,)
        return dy * self.gamma


class TestNetwork:
    def test_trains_a_layer_of_ones_own_whatever_its_parameters_are_called(self):
        linear = Linear(2, 2, rng=rng(), dtype=np.float64)
        network = Network([Scale(2), Tanh(), linear])
        names = ["scale1.gamma", "linear2.W", "linear2.b"]
        assert [name for name, _ in network.parameters()] == names
        sgd, before = SGD(network, lr=0.5), linear.W.copy()
        _, dlogits = softmax_cross_entropy(network.forward(np.array([[1.0, -2.0]])), np.array([1]))
        network.backward(dlogits)
        sgd.step()
        scale = network.layers[0]
        assert scale.gamma.tolist() == (1 - 0.5 * scale.dgamma).tolist()
        assert (scale.gamma != 1).all()
        assert (before != linear.W).all()

    @pytest.mark.parametrize(
        "more",
        [
            *({"beta": np.zeros(2)}, {"beta": np.zeros(2), "dbeta": None}),
            *({"beta": np.zeros(2), "dbeta": np.zeros(3)}, {"beta": 0.0, "dbeta": 0.0}),
            *({"beta": Linear(2, 2, rng=rng())}, {"beta": [np.zeros(2)]}),
        ],
    )
    def test_refuses_a_layer_with_something_that_would_never_be_trained(self, more):
        with pytest.raises(ValueError, match=r"Scale\.beta would never be trained.*dX.*_beta"):
            Network([Scale(2, **more)])

    def test_takes_layers_that_have_run_and_constants_that_say_so(self):
        scale = Scale(2, _mean=np.ones(2), momentum=0.5, seen=np.arange(3))
        linear = Linear(2, 3, rng=rng(), dtype=np.float64)
        network = Network([scale, linear, Tanh()])
        network.backward(network.forward(np.ones((4, 2))))
        again = Network(network.layers)
        assert [n for n, _ in again.gradients()] == ["scale1.dgamma", "linear2.dW", "linear2.db"]

    def test_prints_its_layers_or_its_widths(self):
        network = Network([Linear(2, 3, rng=rng()), ReLU(), Linear(3, 1, rng=rng()), Tanh()])
        assert repr(network) == "Network(Linear(2, 3), ReLU(), Linear(3, 1), Tanh())"
        assert repr(MLP((784, 128, 64, 10), rng=rng())) == "MLP(784-128-64-10)"


class TestMLP:
    def test_of_the_default_sizes_has_109386_parameters_in_a_fixed_order(self):
        mlp = MLP((784, 128, 64, 10), rng=rng())
        names = [name for name, _ in mlp.parameters()]
        assert names == [f"linear{i}.{kind}" for i in (1, 2, 3) for kind in "Wb"]
        assert sum(array.size for _, array in mlp.parameters()) == 109_386
        for (name, p), (dname, g) in zip(mlp.parameters(), mlp.gradients(), strict=True):
            assert dname == name.replace(".", ".d")
            assert g.shape == p.shape
            assert g.dtype == p.dtype == np.float32

    def test_hands_out_the_weights_themselves(self):
        mlp = MLP((3, 2), rng=rng())
        mlp.parameters()[0][1][...] = 5
        assert (mlp.parametric_layers[0].W == 5).all()

    def test_puts_a_relu_between_linears_and_none_behind_the_last(self):
        kinds = [type(layer) for layer in MLP((5, 4, 3, 2), rng=rng()).layers]
        assert kinds == [Linear, ReLU, Linear, ReLU, Linear]

    def test_never_asks_for_the_gradient_of_the_images(self, sample):
        shapes = []

        def matmul(a, b):
            shapes.append((a.shape, b.shape))
            return a @ b

        x, labels = a_batch(sample)
        mlp = MLP((784, 20, 10), rng=rng(), matmul=matmul)
        _, dlogits = softmax_cross_entropy(mlp.forward(x), labels)
        mlp.backward(dlogits)
        assert ((32, 20), (20, 784)) not in shapes
        assert len(shapes) == 5

    def test_wants_its_randomness_by_name(self):
        with pytest.raises(TypeError):
            MLP((3, 2), rng())

    @pytest.mark.parametrize("not_rng", [0, None, np.random.RandomState(0), np.random])
    def test_says_what_a_random_generator_is(self, not_rng):
        with pytest.raises(TypeError, match=r"np\.random\.default_rng\(0\), not "):
            MLP((2, 16, 2), rng=not_rng)

    def test_needs_inputs_and_classes(self):
        with pytest.raises(ValueError, match="784"):
            MLP((784,), rng=rng())

    def test_learns_32_real_digits_by_heart(self, sample):
        x, labels = a_batch(sample)
        mlp = MLP((784, 128, 64, 10), rng=rng())
        sgd = SGD(mlp, lr=0.1)
        for _ in range(300):
            loss, dlogits = softmax_cross_entropy(mlp.forward(x), labels)
            mlp.backward(dlogits)
            sgd.step()
        assert loss < 0.02
        assert (mlp.forward(x).argmax(axis=1) == labels).all()


class TestSGD:
    @staticmethod
    def one_weight(**options):
        mlp = MLP((1, 1), rng=rng(), dtype=np.float64)
        mlp.parametric_layers[0].W[...] = 2
        return mlp.parametric_layers[0], SGD(mlp, **options)

    def test_steps_against_the_gradient(self):
        layer, sgd = self.one_weight(lr=0.5)
        W, layer.dW = layer.W, np.array([[3.0]])
        sgd.step()
        assert W is layer.W
        assert W.tolist() == [[2 - 0.5 * 3]]

    def test_takes_the_same_step_twice_for_the_same_gradient_unless_told_otherwise(self):
        layer, sgd = self.one_weight(lr=0.5)
        layer.dW = np.array([[3.0]])
        sgd.step()
        sgd.step()
        assert layer.W.tolist() == [[2 - 2 * 0.5 * 3]]

    def test_adds_decay_to_the_gradient_then_momentum_then_the_learning_rate(self):
        layer, sgd = self.one_weight(lr=0.5, momentum=0.25, weight_decay=0.125)
        layer.dW = np.array([[3.0]])
        sgd.step()
        velocity = 3 + 0.125 * 2
        weight = 2 - 0.5 * velocity
        assert layer.W.tolist() == [[weight]]
        sgd.step()
        velocity = 0.25 * velocity + 3 + 0.125 * weight
        assert layer.W.tolist() == [[weight - 0.5 * velocity]]

    def test_leaves_the_gradient_as_backward_found_it(self):
        layer, sgd = self.one_weight(lr=0.5, momentum=0.5, weight_decay=0.5)
        layer.dW = np.array([[3.0]])
        sgd.step()
        sgd.step()
        assert layer.dW == 3

    @pytest.mark.parametrize("name", ["lr", "momentum", "weight_decay"])
    @pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
    def test_refuses_rates_that_make_no_sense(self, name, value):
        with pytest.raises(ValueError, match=f"{name} must be"):
            self.one_weight(**{"lr": 0.1, name: value})

    def test_updates_no_array_that_a_layer_keeps_beside_its_gradient_later_on(self):
        class Square:
            def forward(self, z):
                self.z = z  # (B,O)
                return z * z

            def backward(self, dy):
                self.dz = 2 * self.z * dy  # (B,O)
                return self.dz

        network = Network([Linear(3, 2, rng=rng()), Square()])
        sgd = SGD(network, lr=0.1)
        network.backward(network.forward(np.ones((4, 3), np.float32)))
        sgd.step()
        assert [name for name, _ in network.parameters()] == ["linear1.W", "linear1.b"]

    def test_refuses_a_network_that_has_grown_since(self):
        mlp = MLP((3, 2), rng=rng())
        sgd = SGD(mlp, lr=0.1)
        mlp.layers += MLP((2, 4, 2), rng=rng()).layers[1:]
        with pytest.raises(ValueError, match="shorter"):
            sgd.step()

    def test_refuses_a_learning_rate_of_zero_but_no_other_zero(self):
        self.one_weight(lr=1e-9, momentum=0, weight_decay=0)
        with pytest.raises(ValueError, match="lr"):
            self.one_weight(lr=0)


def test_importing_scratchnet_loads_neither_numba_nor_matplotlib_nor_torch():
    program = (
        "import sys, scratchnet; print(*{'numba', 'matplotlib', 'torch', 'pooch'} & {*sys.modules})"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == ""


def test_every_module_of_scratchnet_can_be_imported_without_torch():
    program = (
        "import sys, pkgutil, importlib, scratchnet; sys.modules['torch'] = None\n"
        "for module in pkgutil.walk_packages(scratchnet.__path__, 'scratchnet.'):\n"
        "    importlib.import_module(module.name)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
