"""The layers for images: what PyTorch computes, for any shape, stride and padding."""

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from scratchnet import CNN, SGD, Conv2d, Flatten, Linear, MaxPool2d, ReLU, softmax_cross_entropy
from scratchnet.checking import gradcheck
from scratchnet.data import to_unit_interval
from scratchnet.kernels import conv_ops, implicit_gemm, simd
from scratchnet.kernels.conv_ops import COMPILED_OPS, IMPLICIT_GEMM_OPS
from scratchnet.kernels.threads import set_threads
from scratchnet.nn.conv import NUMPY_OPS, fold, unfold
from scratchnet.training.config import MODELS


def rng(seed=0):
    return np.random.default_rng(seed)


both_ops = pytest.mark.parametrize("ops", [NUMPY_OPS, COMPILED_OPS], ids=str)
every_way = pytest.mark.parametrize(
    "way",
    [{}, {"ops": COMPILED_OPS}, {"ops": IMPLICIT_GEMM_OPS}],
    ids=["NUMPY_OPS", "COMPILED_OPS", "IMPLICIT_GEMM_OPS"],
)


def some_digits(sample, dtype=np.float64):
    """Ten real digits (10, 1, 28, 28), one of each, and their labels."""
    x = to_unit_interval(sample.train.images[::400], dtype)
    return x.reshape(-1, 1, 28, 28), sample.train.labels[::400]


def images_last(x):
    """The same array with the images innermost in memory, as the layers leave it."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


@st.composite
def cases(draw, *, padded=True):
    """(x (B, C, H, W), size, stride, padding) of which at least one window fits."""
    size, stride = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    padding = draw(st.integers(0, 3)) if padded else 0
    least = max(1, size - 2 * padding)
    shape = (
        *(draw(st.integers(0, 4)), draw(st.integers(1, 4))),
        *(draw(st.integers(least, 9)), draw(st.integers(least, 9))),
    )
    x = rng(draw(st.integers(0, 2**32))).integers(-8, 9, shape).astype(np.float64)
    return images_last(x) if draw(st.booleans()) else x, size, stride, padding


def torch_conv(layer, x, dy):
    """(y, dx, dW, db) by PyTorch."""
    leaves = [torch.tensor(array, requires_grad=True) for array in (x, layer.W, layer.b)]
    y = F.conv2d(*leaves, stride=layer.stride, padding=layer.padding)
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)


class TestUnfolding:
    @given(cases())
    def test_copies_every_patch_as_pytorch_does(self, case):
        x, size, stride, padding = case
        patches = unfold(x, size, stride, padding)  # (C,k,k,H',W',B)
        theirs = F.unfold(torch.tensor(x), size, stride=stride, padding=padding)  # (B,Ckk,H'W')
        np.testing.assert_array_equal(
            patches.transpose(5, 0, 1, 2, 3, 4).reshape(theirs.shape), theirs
        )

    @pytest.mark.parametrize("fold", [fold, conv_ops.fold], ids=["numpy", "compiled"])
    @given(cases(), st.integers(0, 2**32))
    def test_and_folding_are_each_others_transpose(self, fold, case, seed):
        x, size, stride, padding = case
        patches = unfold(x, size, stride, padding)
        others = rng(seed).integers(-8, 9, patches.shape).astype(float)
        folded = fold(others, x.shape, stride, padding)
        assert (patches * others).sum() == (x * folded).sum()


class TestConv2d:
    @every_way
    @settings(max_examples=150)
    @given(cases(), st.integers(1, 4), st.integers(0, 2**32))
    def test_computes_the_integers_that_pytorch_computes(self, way, case, n_out, seed):
        x, size, stride, padding = case
        options = {"stride": stride, "padding": padding, "rng": rng(), "dtype": x.dtype}
        layer = Conv2d(x.shape[1], n_out, size, **options, **way)
        for p in (layer.W, layer.b):
            p[...] = rng(seed).integers(-8, 9, p.shape)
        y = layer.forward(x)
        dy = rng(seed).integers(-8, 9, y.shape).astype(float)
        ours = (y, layer.backward(dy), layer.dW, layer.db)
        for mine, theirs in zip(ours, torch_conv(layer, x, dy), strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_computes_numbers_one_can_check_by_hand(self):
        layer = Conv2d(1, 1, 2, rng=rng(), dtype=np.float64)
        layer.W[...], layer.b[...] = [[[[1, 2], [3, 4]]]], 100
        x = np.arange(9.0).reshape(1, 1, 3, 3)
        assert layer.forward(x).tolist() == [[[[127, 137], [157, 167]]]]
        dx = layer.backward(np.array([[[[1.0, 0.0], [0.0, 10.0]]]]))
        assert dx.tolist() == [[[[1, 2, 0], [3, 14, 20], [0, 30, 40]]]]
        assert layer.dW.tolist() == [[[[40, 51], [73, 84]]]]
        assert layer.db.tolist() == [11]

    @every_way
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_is_pytorchs_on_real_digits_up_to_rounding(self, sample, dtype, way):
        x, _ = some_digits(sample, dtype)
        layer = Conv2d(1, 16, 5, padding=2, rng=rng(), dtype=dtype, **way)
        dy = rng().standard_normal((10, 16, 28, 28)).astype(dtype)
        ours = (layer.forward(x), layer.backward(dy), layer.dW, layer.db)
        for mine, theirs in zip(ours, torch_conv(layer, x, dy), strict=True):
            assert mine.dtype == dtype
            assert np.abs(mine - theirs).max() <= 64 * np.finfo(dtype).eps * np.abs(theirs).max()

    @settings(max_examples=30)
    @given(cases(), st.integers(1, 3))
    def test_has_the_slopes_that_are_measured(self, case, n_out):
        x, size, stride, padding = case
        layer = Conv2d(
            *(x.shape[1], n_out, size), stride=stride, padding=padding, rng=rng(), dtype=x.dtype
        )
        if len(x):
            checks = gradcheck.check_layer(layer, x, rng=rng(), probes=10)
            assert all(check.ok for check in checks.values()), checks

    def test_draws_weights_and_biases_as_pytorch_does(self):
        layer = Conv2d(4, 100, 10, rng=rng())
        theirs = torch.nn.Conv2d(4, 100, 10)
        for ours, tensor in ((layer.W, theirs.weight), (layer.b, theirs.bias)):
            assert ours.shape == tuple(tensor.shape)
            assert 0.95 / 20 < np.abs(ours).max() <= 1 / 20  # the bound 1/√(4·10²)
            assert np.abs(ours).max() == pytest.approx(tensor.abs().max().item(), rel=0.05)

    def test_multiplies_with_the_kernel_it_was_given_and_saves_what_nobody_needs(self):
        calls = []

        def matmul(a, b):
            calls.append((a.shape, b.shape))
            return a @ b

        layer = Conv2d(3, 4, 2, rng=rng(), matmul=matmul)
        y = layer.forward(np.ones((5, 3, 4, 4), np.float32))
        assert layer.backward(y, need_dx=False) is None
        assert calls == [((4, 12), (12, 45)), ((12, 45), (45, 4))]
        layer.backward(y)
        assert calls[-1] == ((12, 4), (4, 45))

    @pytest.mark.parametrize(
        ("shape", "dtype"),
        [((2, 3, 4), "f4"), ((2, 2, 4, 4), "f4"), ((2, 3, 2, 4), "f4"), ((2, 3, 4, 4), "f8")],
    )
    def test_names_the_shapes_when_its_input_does_not_fit(self, shape, dtype):
        x = np.zeros(shape, dtype)
        with pytest.raises(
            ValueError, match=r"\(4, 3, 5, 5\).*padding 1.*\(B, 3, H, W\)"
        ) as raised:
            Conv2d(3, 4, 5, padding=1, rng=rng()).forward(x)
        assert f"{x.shape} and {x.dtype}" in str(raised.value)

    @pytest.mark.parametrize(
        "dy", [np.zeros((2, 4, 3, 3), "f4"), np.zeros((2, 4, 2, 2)), np.zeros((2, 4, 2), "f4")]
    )
    def test_names_the_shapes_when_a_gradient_does_not_fit(self, dy):
        layer = Conv2d(3, 4, 3, rng=rng())
        layer.forward(np.zeros((2, 3, 4, 4), "f4"))
        with pytest.raises(ValueError, match=r"\(2, 4, 2, 2\) and dtype float32") as raised:
            layer.backward(dy)
        assert f"{dy.shape} and {dy.dtype}" in str(raised.value)

    @pytest.mark.parametrize(
        ("sizes", "options"),
        [
            *(((0, 1, 1), {}), ((1, 0, 1), {}), ((1, 1, 0), {})),
            *(((1, 1, 1), {"stride": 0}), ((1, 1, 1), {"padding": -1})),
        ],
    )
    def test_refuses_sizes_that_make_no_sense(self, sizes, options):
        with pytest.raises(ValueError, match="at least"):
            Conv2d(*sizes, **options, rng=rng())


class TestMaxPool2d:
    @both_ops
    @settings(max_examples=200)
    @given(cases(padded=False), st.booleans(), st.integers(0, 2**32))
    def test_picks_what_pytorch_picks_of_equal_ones_too(self, ops, case, overlapping, seed):
        x, size, stride, _ = case  # integers from -8 to 8: many windows hold their largest twice
        pool = MaxPool2d(size, stride if overlapping else None, ops=ops)
        theirs = torch.tensor(x, requires_grad=True)
        if len(x) == 0:
            assert pool.backward(pool.forward(x)).shape == x.shape
            return
        y = F.max_pool2d(theirs, size, stride if overlapping else None)
        dy = rng(seed).integers(-8, 9, y.shape).astype(float)
        y.backward(torch.tensor(dy))
        np.testing.assert_array_equal(pool.forward(x), y.detach())
        np.testing.assert_array_equal(pool.backward(dy), theirs.grad)

    @both_ops
    @given(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0]), min_size=9, max_size=9))
    def test_passes_nan_and_infinities_on_as_pytorch_does(self, ops, pixels):
        x = np.array(pixels).reshape(1, 1, 3, 3)
        theirs = torch.tensor(x, requires_grad=True)
        pool = MaxPool2d(2, 1, ops=ops)
        y = F.max_pool2d(theirs, 2, 1)
        dy = np.array([[[[1, np.inf], [np.inf, 2]]]])
        y.backward(torch.tensor(dy))
        np.testing.assert_array_equal(pool.forward(x), y.detach())
        np.testing.assert_array_equal(pool.backward(dy), theirs.grad)

    def test_by_itself_has_the_right_slopes(self):
        x = rng().permutation(2 * 3 * 7 * 6).reshape(2, 3, 7, 6) / 10  # all different
        assert gradcheck.check_layer(MaxPool2d(2), x, rng=rng())["x"].ok
        assert gradcheck.check_layer(MaxPool2d(3, 2), x, rng=rng())["x"].ok

    @both_ops
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_keeps_the_dtype(self, dtype, ops):
        pool = MaxPool2d(2, ops=ops)
        assert pool.forward(np.ones((1, 1, 2, 2), dtype)).dtype == dtype
        assert pool.backward(np.ones((1, 1, 1, 1), dtype)).dtype == dtype

    def test_names_the_shapes_when_something_does_not_fit(self):
        pool = MaxPool2d(3)
        for x in (np.zeros((1, 1, 2, 5)), np.zeros((5, 5))):
            with pytest.raises(ValueError, match=r"at least 3, not \("):
                pool.forward(x)
        pool.forward(np.zeros((2, 1, 7, 3)))
        with pytest.raises(ValueError, match=r"\(2, 1, 2, 1\).*\(2, 1, 3, 1\)"):
            pool.backward(np.zeros((2, 1, 3, 1)))
        with pytest.raises(ValueError, match="at least 1"):
            MaxPool2d(0)


def test_a_set_of_operations_prints_its_name():
    sets = (NUMPY_OPS, COMPILED_OPS, IMPLICIT_GEMM_OPS)
    assert str(sets) == "(NUMPY_OPS, COMPILED_OPS, IMPLICIT_GEMM_OPS)"


@pytest.mark.parametrize(
    ("matmul", "ops"),
    [(np.matmul, COMPILED_OPS), (simd.simd, IMPLICIT_GEMM_OPS)],
    ids=["numpy", "simd"],
)
def test_a_cnn_by_name_copies_patches_unless_simd_multiplies(matmul, ops):
    layers = MODELS["cnn"]([8], rng=rng(), matmul=matmul).layers
    assert {layer.ops for layer in layers if hasattr(layer, "ops")} == {ops}
    layers[0].forward(np.ones((2, 1, 28, 28), np.float32))
    assert layers[0].patches.flags.c_contiguous == (ops is COMPILED_OPS)


class TestCompiledOps:
    """Compiled code does not check its indices: nothing reaches it that does not fit."""

    @pytest.mark.parametrize("dtype", [np.float16, np.int64, np.longdouble])
    def test_refuse_other_dtypes(self, dtype):
        with pytest.raises(ValueError, match="float32 or float64"):
            conv_ops.max_pool(np.zeros((1, 1, 2, 2), dtype), 2, 2)
        with pytest.raises(ValueError, match="float32 or float64"):
            conv_ops.fold(np.zeros((1, 2, 2, 1, 1, 1), dtype), (1, 1, 2, 2), 1, 0)

    def test_refuse_shapes_that_do_not_fit(self):
        for patches, shape in (
            ((1, 2, 2, 2, 1, 1), (1, 1, 2, 2)),
            ((1, 3, 3, 0, 0, 1), (1, 1, 2, 2)),
        ):
            with pytest.raises(ValueError, match="do not come from images"):
                conv_ops.fold(np.zeros(patches), shape, 1, 0)
        with pytest.raises(ValueError, match="no window of 3 by 3"):
            conv_ops.max_pool(np.zeros((1, 1, 2, 5)), 3, 1)
        x, small = np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 3, 3))
        with pytest.raises(ValueError, match="do not come from images"):
            conv_ops.max_pool_backward(small, small.astype(np.uint16), x, 2, 2)


class TestImplicitGemm:
    """The three products on patches that nobody has unfolded."""

    # more channels, kernels and columns than are multiplied at once; runs of a row and of a place
    @pytest.mark.parametrize(
        ("images", "n_in", "pixels", "n_out", "size", "stride"),
        [(70, 26, 9, 70, 5, 1), (70, 3, 9, 7, 3, 2), (600, 2, 4, 3, 2, 3), (1, 600, 3, 65, 1, 1)],
    )
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_in_blocks_computes_the_integers_of_the_plain_layer(
        self, images, n_in, pixels, n_out, size, stride, dtype
    ):
        W = rng(1).integers(-8, 9, (n_out, n_in, size, size)).astype(dtype)
        x = rng(2).integers(-8, 9, (images, n_in, pixels, pixels)).astype(dtype)
        y, patches = NUMPY_OPS.conv2d(W, x, stride, 1, np.matmul)
        direct_y, view = implicit_gemm.conv2d(W, x, stride, 1)
        np.testing.assert_array_equal(direct_y, y)
        np.testing.assert_array_equal(
            implicit_gemm.conv2d_weight(view, y % 8),
            NUMPY_OPS.conv2d_weight(patches, y % 8, np.matmul),
        )
        np.testing.assert_array_equal(
            implicit_gemm.conv2d_input(W, y % 8, x.shape, stride, 1),
            NUMPY_OPS.conv2d_input(W, y % 8, x.shape, stride, 1, np.matmul),
        )

    def test_gives_the_same_bits_on_every_number_of_threads(self):
        W = rng(1).standard_normal((33, 17, 5, 5), np.float32)
        x = rng(2).standard_normal((31, 17, 14, 14), np.float32)
        found = []
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            set_threads(threads)
            y, view = implicit_gemm.conv2d(W, x, 1, 2)
            dW, dx = (
                implicit_gemm.conv2d_weight(view, y),
                implicit_gemm.conv2d_input(W, y, x.shape, 1, 2),
            )
            found.append([array.tobytes() for array in (y, dW, dx)])
        assert all(bits == found[0] for bits in found)

    def test_refuses_what_does_not_fit(self):
        W, x = np.ones((2, 3, 2, 2)), np.ones((1, 3, 4, 4))
        _, patches = implicit_gemm.conv2d(W, x, 1, 0)
        with pytest.raises(ValueError, match="does not fit"):
            implicit_gemm.conv2d(W[:, :2], x, 1, 0)
        with pytest.raises(ValueError, match="does not fit"):
            implicit_gemm.conv2d(W.astype(np.float32), x, 1, 0)
        with pytest.raises(ValueError, match="does not fit"):
            implicit_gemm.conv2d_weight(patches, np.ones((2, 3, 2, 1)))
        with pytest.raises(ValueError, match="does not fit"):
            implicit_gemm.conv2d_weight(patches.swapaxes(3, 5), np.ones((2, 1, 3, 3)))
        for dy, shape in (
            (np.ones((2, 1, 3, 1)), (1, 3, 4, 4)),
            (np.ones((2, 3, 3, 1)), (1, 2, 4, 4)),
            (np.ones((2, 3, 3, 1), np.float32), (1, 3, 4, 4)),
        ):
            with pytest.raises(ValueError, match="is no gradient"):
                implicit_gemm.conv2d_input(W, dy, shape, 1, 0)
        with pytest.raises(ValueError, match="float32 or float64"):
            implicit_gemm.conv2d(W.astype(np.longdouble), x.astype(np.longdouble), 1, 0)


class TestFlatten:
    @given(cases())
    def test_makes_rows_in_the_order_of_pytorch_and_takes_them_back(self, case):
        x, *_ = case
        flatten = Flatten()
        np.testing.assert_array_equal(flatten.forward(x), torch.tensor(x).flatten(1))
        np.testing.assert_array_equal(flatten.backward(flatten.forward(x)), x)

    def test_names_the_shapes_when_a_gradient_does_not_fit(self):
        flatten = Flatten()
        flatten.forward(np.zeros((2, 3, 1, 1)))
        with pytest.raises(ValueError, match=r"\(2, 3\), as its last output, not \(3, 2\)"):
            flatten.backward(np.zeros((3, 2)))


class TestCNN:
    def test_of_the_default_sizes_has_215370_parameters_in_a_fixed_order(self):
        cnn = CNN(rng=rng())
        names = [name for name, _ in cnn.parameters()]
        layers = ("conv1", "conv2", "linear3", "linear4")
        assert names == [f"{layer}.{kind}" for layer in layers for kind in "Wb"]
        assert sum(array.size for _, array in cnn.parameters()) == 215_370
        assert str(cnn) == "1x28x28-16C5-MP2-32C5-MP2-1568-128-10"

    def test_is_a_row_of_layers(self):
        kinds = [type(layer) for layer in CNN(rng=rng()).layers]
        layers = [Conv2d, ReLU, MaxPool2d] * 2
        assert kinds == [*layers, Flatten, Linear, ReLU, Linear]

    def test_of_other_images_finds_its_widths_itself(self):
        cnn = CNN((5, 3), image=(2, 7, 9), channels=(3,), size=3, rng=rng())
        assert cnn.forward(np.zeros((4, 2 * 7 * 9), np.float32)).shape == (4, 3)
        assert cnn.parametric_layers[1].W.shape == (3 * 3 * 4, 5)

    def test_needs_kernels_with_a_middle(self):
        with pytest.raises(ValueError, match="even: 4"):
            CNN(size=4, rng=rng())

    def test_has_the_slopes_that_are_measured_on_real_digits(self, sample):
        x, labels = some_digits(sample)
        x = x[::5, :, ::2, ::2].reshape(2, 196)  # a weight moves all pixels, and many pixels kink
        cnn = CNN((9, 10), image=(1, 14, 14), channels=(2, 3), rng=rng(), dtype=np.float64)
        checks = gradcheck.check_network(
            cnn, softmax_cross_entropy, x, labels[::5], rng=rng(), probes=50
        )
        assert list(checks) == [name for name, _ in cnn.parameters()]
        assert all(check.ok for check in checks.values()), checks

    def test_learns_ten_real_digits_by_heart(self, sample):
        x, labels = some_digits(sample, np.float32)
        cnn = CNN(channels=(4, 8), rng=rng())
        sgd = SGD(cnn, lr=0.02, momentum=0.9)
        for _ in range(100):
            loss, dlogits = softmax_cross_entropy(cnn.forward(x.reshape(10, 784)), labels)
            cnn.backward(dlogits)
            sgd.step()
        assert loss < 0.01
