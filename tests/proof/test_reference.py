"""The reference is right: its slopes are those of finite differences, its layers those of loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.models.description import Weight
from tests.reference.autograd import (
    Value,
    absolute,
    broadcast_to,
    class_cross_entropy,
    concatenate,
    cross_entropy,
    exp,
    gradients,
    leaky_relu,
    log,
    mean,
    relu,
    sigmoid,
    softplus,
    sum_to,
    tanh,
    total,
)
from tests.reference.layers import (
    Network,
    conv2d,
    conv_transpose2d,
    fold,
    instance_norm,
    max_pool2d,
    reflect,
    unfold,
    unreflect,
)
from tests.reference.optimizers import PIECE, SGD, Adam, RMSProp, clip

Function = Callable[..., Value]


def normalize(x: Value, scale: Value, shift: Value, training: bool = True) -> Value:
    """Batch norm as a function of its input and parameters; running averages 0.5 and 2."""
    averages = {"norm.running_mean": np.full(scale.shape, 0.5)}
    averages |= {"norm.running_var": np.full(scale.shape, 2.0)}
    network = Network(averages)
    network.weights = {"norm.weight": scale, "norm.bias": shift}
    return network.norm("norm", x, training)


# Each operation, with the shapes of what it is given.
OPERATIONS: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "sum": (lambda a, b: a + b, ((3, 4), (4,))),
    "difference": (lambda a, b: a - b, ((3, 1), (3, 4))),
    "product": (lambda a, b: a * b, ((2, 3, 4), (3, 1))),
    "quotient": (lambda a, b: a / (b * b + 1), ((3, 4), (1, 4))),
    "negative": (lambda a: -a, ((3, 4),)),
    "of numbers": (lambda a: 2 / (1 - 3 * (0.5 + a * a)), ((3, 4),)),
    "of an array": (lambda a: np.arange(4.0) - np.arange(4.0) * a, ((3, 4),)),
    "square": (lambda a: a**2, ((3, 4),)),
    "root": (lambda a: (a**2 + 1) ** 0.5, ((3, 4),)),
    "matrix product": (lambda a, b: a @ b, ((3, 4), (4, 2))),
    "transpose": (lambda a: a.transpose(2, 0, 1), ((2, 3, 4),)),
    "reshape": (lambda a: a.reshape(-1, 6), ((2, 3, 4),)),
    "concatenate": (lambda a, b: concatenate([a, b, a]), ((2, 3, 2), (2, 1, 2))),
    "sum over axes": (lambda a: sum_to(a, (3, 1)), ((2, 3, 4),)),
    "broadcast": (lambda a: broadcast_to(a, (2, 3, 4)), ((3, 1),)),
    "total": (total, ((3, 4),)),
    "mean": (mean, ((3, 4),)),
    "twice the same": (lambda a: a * exp(a) + a, ((3, 4),)),
    "exp": (exp, ((3, 4),)),
    "absolute": (absolute, ((3, 4),)),
    "relu": (relu, ((3, 4),)),
    "leaky_relu": (leaky_relu, ((3, 4),)),
    "tanh": (tanh, ((3, 4),)),
    "softplus": (softplus, ((3, 4),)),
    "sigmoid": (sigmoid, ((3, 4),)),
    "cross_entropy": (lambda a: cross_entropy(a, 0.3), ((3, 4),)),
    "unfold": (lambda a: unfold(a, 3, 2, 1), ((2, 3, 4, 5),)),
    "fold": (lambda a: fold(a, (2, 3, 4, 5), 3, 2, 1), ((27, 12),)),
    "conv2d": (lambda x, w: conv2d(x, w, 2, 2), ((2, 3, 4, 6), (4, 3, 5, 5))),
    "conv2d with a rest": (lambda x, w: conv2d(x, w, 2, 1), ((2, 3, 5, 6), (4, 3, 4, 4))),
    "conv_transpose2d": (
        lambda x, w: conv_transpose2d(x, w, 2, 2, 1),
        ((2, 3, 2, 3), (3, 4, 5, 5)),
    ),
    "max_pool2d": (lambda a: max_pool2d(a, 2, 2), ((2, 3, 4, 6),)),
    "max_pool2d, overlapping": (lambda a: max_pool2d(exp(a), 3, 2, 1), ((2, 3, 5, 6),)),
    "log": (lambda a: log(a * a + 1), ((3, 4),)),
    "class_cross_entropy": (
        lambda a: class_cross_entropy(a, np.array([2, 0, 2])),
        ((3, 4),),
    ),
    "reflect": (lambda a: reflect(a, 2), ((2, 3, 3, 5),)),
    "unreflect": (lambda a: unreflect(a, (2, 3, 3, 5), 2), ((2, 3, 7, 9),)),
    "instance norm": (instance_norm, ((2, 3, 4, 2),)),
    "batch norm": (normalize, ((4, 3, 2, 2), (3,), (3,))),
    "batch norm of vectors": (normalize, ((4, 3), (3,), (3,))),
    "batch norm in inference": (
        lambda *given: normalize(*given, training=False),
        ((4, 3, 2, 2), (3,), (3,)),
    ),
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)


def weigh(x: Value) -> Value:
    """A number that depends on all of an array's, on each in another way."""
    factors = np.cos(np.arange(x.data.size)).reshape(x.shape)
    return total(factors * (x + x * x))


def check_gradients(function: Function, inputs: list[np.ndarray]) -> None:
    """The slope along random directions, against its difference."""
    random = np.random.default_rng(1)
    step = 1e-5

    def loss(*arrays: np.ndarray) -> Value:
        return weigh(function(*map(Value, arrays)))

    values = [Value(array) for array in inputs]
    found = gradients(weigh(function(*values)), values)
    for index, gradient in enumerate(found):
        assert gradient.shape == inputs[index].shape
        direction = random.normal(size=inputs[index].shape)
        ahead, behind = list(inputs), list(inputs)
        ahead[index] = inputs[index] + step * direction
        behind[index] = inputs[index] - step * direction
        slope = (loss(*ahead).data - loss(*behind).data) / (2 * step)
        scale = np.abs(gradient.data * direction).sum()
        assert abs((gradient.data * direction).sum() - slope) <= 1e-7 * max(scale, 1e-3)


def make_inputs(name: str) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=shape) for shape in OPERATIONS[name][1]]


@each_operation
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    check_gradients(OPERATIONS[name][0], make_inputs(name))


@each_operation
def test_gradients_can_be_differentiated_again(name: str) -> None:
    """As a penalty on a gradient's norm needs it."""
    function = OPERATIONS[name][0]

    def slope(*values: Value) -> Value:
        return gradients(weigh(function(*values)), [values[0]])[0]

    values = [Value(array) for array in make_inputs(name)]
    check_gradients(lambda x: slope(x, *values[1:]), [values[0].data])


def test_no_gradient_passes_through_what_is_detached() -> None:
    x = Value(np.array([2.0, 3.0]))
    (found,) = gradients(total(x.detach() * x), [x])
    np.testing.assert_array_equal(found.data, [2, 3])
    with pytest.raises(KeyError):
        gradients(total(x.detach()), [x])


def test_the_slope_at_a_kink_is_0() -> None:
    for function in (absolute, relu):
        x = Value(np.zeros(1))
        (found,) = gradients(total(function(x)), [x])
        assert found.data == 0


def test_large_logits_do_not_overflow() -> None:
    x = Value(np.array([-1000.0, 1000.0]))
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(sigmoid(x).data, [0, 1])
        np.testing.assert_array_equal(cross_entropy(x, 0).data, [0, 1000])
        np.testing.assert_array_equal(cross_entropy(x, 1).data, [1000, 0])


def test_cross_entropy_is_that_of_its_definition() -> None:
    logits = np.linspace(-4, 4, 9)
    s = 1 / (1 + np.exp(-logits))
    for target in (0.0, 0.2, 1.0):
        expected = -target * np.log(s) - (1 - target) * np.log(1 - s)
        np.testing.assert_allclose(cross_entropy(Value(logits), target).data, expected, rtol=1e-13)


# Layers against loops.


def test_a_convolution_is_that_of_its_definition() -> None:
    """y[n, o, i, j] = sum of w[o, c, k, l] x[n, c, i s + k - p, j s + l - p], 0 beyond the edge."""
    random = np.random.default_rng(0)
    x, w = random.normal(size=(2, 3, 5, 4)), random.normal(size=(4, 3, 3, 3))
    for stride, padding in ((1, 1), (2, 1), (2, 0)):
        found = conv2d(Value(x), Value(w), stride, padding).data
        padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        assert found.shape[2] == (5 + 2 * padding - 3) // stride + 1
        for i, j in np.ndindex(found.shape[2:]):
            top, left = i * stride, j * stride
            window = padded[:, :, top : top + 3, left : left + 3]
            expected = np.einsum("ncij,ocij->no", window, w)
            np.testing.assert_allclose(found[:, :, i, j], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("kernel", "padding", "output_padding"), [(5, 2, 1), (4, 1, 0), (2, 0, 0)])
def test_a_transposed_convolution_doubles_the_image(
    kernel: int, padding: int, output_padding: int
) -> None:
    """Each pixel adds x w to the result at 2 i + k - p; what lies beyond the edge is dropped."""
    random = np.random.default_rng(0)
    x, w = random.normal(size=(2, 3, 2, 4)), random.normal(size=(3, 5, kernel, kernel))
    found = conv_transpose2d(Value(x), Value(w), 2, padding, output_padding).data
    expected = np.zeros((2, 5, 4, 8))
    for i, j, k, m in np.ndindex(2, 4, kernel, kernel):
        row, column = 2 * i + k - padding, 2 * j + m - padding
        if 0 <= row < 4 and 0 <= column < 8:
            expected[:, :, row, column] += x[:, :, i, j] @ w[:, :, k, m]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_pooling_with_padding() -> None:
    """Windows of 3 at every other pixel, the image with a border of zeros."""
    x = np.random.default_rng(0).uniform(size=(2, 3, 5, 6))
    found = max_pool2d(Value(x), 3, 2, 1).data
    assert found.shape == (2, 3, 3, 3)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for i, j in np.ndindex(3, 3):
        window = padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        np.testing.assert_array_equal(found[:, :, i, j], window.max((2, 3)))


def test_pooling_takes_the_largest_and_the_first_of_equals() -> None:
    x = Value(np.array([[1.0, 2, 5, 5], [3, 4, 5, 5]])[np.newaxis, np.newaxis])
    y = max_pool2d(x, 2, 2)
    np.testing.assert_array_equal(y.data.ravel(), [4, 5])
    (found,) = gradients(total(y), [x])
    np.testing.assert_array_equal(found.data[0, 0], [[0, 0, 1, 0], [0, 1, 0, 0]])


def test_an_image_is_mirrored_at_its_edges() -> None:
    """Row -1 is row 1, row H is row H - 2; columns likewise."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    found = reflect(Value(x), 2).data
    assert found.shape == (2, 3, 8, 9)
    for i, j in np.ndindex(8, 9):
        row, column = (
            abs(place) if place < size else 2 * (size - 1) - place
            for place, size in ((i - 2, 4), (j - 2, 5))
        )
        np.testing.assert_array_equal(found[:, :, i, j], x[:, :, row, column])


def test_instance_norm_is_that_of_each_channel_of_each_image() -> None:
    x = np.random.default_rng(0).normal(3, 2, (2, 3, 4, 5))
    found = instance_norm(Value(x)).data
    for image, channel in np.ndindex(2, 3):
        plane = x[image, channel]
        expected = (plane - plane.mean()) / np.sqrt(plane.var() + 1e-5)
        np.testing.assert_allclose(found[image, channel], expected, rtol=1e-12)


def test_batch_norm_uses_the_biased_variance_and_remembers_the_unbiased() -> None:
    random = np.random.default_rng(0)
    x = random.normal(3, 2, (5, 2, 3, 3))
    arrays = {
        "norm.weight": np.array([2.0, 3.0]),
        "norm.bias": np.array([0.5, -1.0]),
        "norm.running_mean": np.array([1.0, 1.0]),
        "norm.running_var": np.array([4.0, 4.0]),
    }
    network = Network(arrays)
    assert set(network.weights) == {"norm.weight", "norm.bias"}
    found = network.norm("norm", Value(x), training=True).data
    for channel in (0, 1):
        values = x[:, channel]
        normalized = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
        scale, shift = arrays["norm.weight"][channel], arrays["norm.bias"][channel]
        np.testing.assert_allclose(found[:, channel], scale * normalized + shift, rtol=1e-12)
        mean, variance = values.mean(), values.var(ddof=1)
        assert arrays["norm.running_mean"][channel] == pytest.approx(0.9 + 0.1 * mean, rel=1e-13)
        assert arrays["norm.running_var"][channel] == pytest.approx(3.6 + 0.1 * variance, rel=1e-13)
    before = {name: array.copy() for name, array in arrays.items()}
    found = network.norm("norm", Value(x), training=False).data[:, 1]
    average, variance = arrays["norm.running_mean"][1], arrays["norm.running_var"][1]
    expected = 3 * (x[:, 1] - average) / np.sqrt(variance + 1e-5) - 1
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_layer_has_the_bias_that_is_there() -> None:
    x = Value(np.ones((2, 3)))
    weight = np.arange(12.0).reshape(4, 3)
    plain = Network({"dense.weight": weight}).dense("dense", x).data
    np.testing.assert_array_equal(plain, [weight.sum(1)] * 2)
    bias = np.arange(4.0)
    biased = Network({"dense.weight": weight, "dense.bias": bias}).dense("dense", x).data
    np.testing.assert_array_equal(biased, plain + bias)


# Optimisers against closed formulas.


def test_adams_first_steps() -> None:
    """The first: rate g / (|g| + eps). With a constant g, so are all others."""
    slopes = np.array([3.0, -1e-3, 1e-8, 0.0])
    weight = Value(np.zeros(4))
    adam = Adam([weight], 0.1, beta1=0.5)
    for step in (1, 2, 3):
        adam.update([slopes])
        expected = -step * 0.1 * slopes / (np.abs(slopes) + 1e-8)
        np.testing.assert_allclose(weight.data, expected, rtol=1e-12)


def test_adam_forgets_with_its_betas() -> None:
    """After a slope of 1 and one of 0 the averages are (1 - b) b / (1 - b^2) = b / (1 + b)."""
    weight = Value(np.zeros(1))
    adam = Adam([weight], 0.1, beta1=0.5, beta2=0.999)
    adam.update([np.ones(1)])
    adam.update([np.zeros(1)])
    second = 0.1 * (0.5 / 1.5) / (np.sqrt(0.999 / 1.999) + 1e-8)
    np.testing.assert_allclose(weight.data, -0.1 / (1 + 1e-8) - second, rtol=1e-12)


def test_rmsprops_first_steps() -> None:
    """The averages of a constant slope are (1 - 0.99^t) g^2; eps is outside the root."""
    slopes = np.array([3.0, -1e-3, 1e-7, 0.0])
    weight = Value(np.zeros(4))
    rmsprop = RMSProp([weight], 0.1)
    expected = np.zeros(4)
    for step in (1, 2, 3):
        rmsprop.update([slopes])
        expected -= 0.1 * slopes / (np.abs(slopes) * np.sqrt(1 - 0.99**step) + 1e-8)
        np.testing.assert_allclose(weight.data, expected, rtol=1e-12)


def test_momentum_has_the_rate_outside() -> None:
    """Of a constant slope v is (1 - m^t) / (1 - m) g; a new rate is felt at once."""
    slopes = np.array([3.0, -1e-3, 0.0])
    weight = Value(np.zeros(3))
    sgd = SGD([weight], 0.1, momentum=0.9)
    expected = np.zeros(3)
    for step in (1, 2, 3):
        sgd.learning_rate = 0.1 / step
        sgd.update([slopes])
        expected -= 0.1 / step * (1 - 0.9**step) / (1 - 0.9) * slopes
        np.testing.assert_allclose(weight.data, expected, rtol=1e-12)


def test_optimizers_change_all_of_large_weights_and_the_arrays_themselves() -> None:
    arrays = {"dense.weight": np.zeros((3, PIECE)), "dense.bias": np.zeros(())}
    network = Network(arrays)
    loss = total(3 * network.weights["dense.weight"]) - network.weights["dense.bias"]
    Adam(network.weights.values(), 0.1, beta1=0.9).minimize(loss)
    np.testing.assert_allclose(arrays["dense.weight"], -0.1, rtol=1e-8)
    np.testing.assert_allclose(arrays["dense.bias"], 0.1, rtol=1e-7)
    clip(network.weights.values(), 0.05)
    np.testing.assert_array_equal(arrays["dense.weight"], -0.05)
    assert arrays["dense.bias"] == 0.05


# Initial weights.


@pytest.mark.parametrize("initial", ["glorot", "he", "normal", "scale", "zero", "one"])
def test_initial_weights_are_told_from_others(initial: str) -> None:
    weight = Weight((64, 48, 5, 5), initial)
    random = np.random.default_rng(0)
    drawn = weight.draw(random)
    assert weight.agrees(drawn.astype(np.float32))
    assert not weight.agrees(drawn[:-1])
    assert not weight.agrees(1.1 * drawn) or initial == "zero"
    assert not weight.agrees(drawn + 0.002)
    normal = random.normal(size=2 * drawn.size)
    others = {
        "a normal cut at two deviations": 0.02 * normal[np.abs(normal) < 2][: drawn.size],
        "a uniform of the same deviation": random.uniform(-1, 1, weight.shape) * 0.02 * 3**0.5,
        "He's": random.uniform(-1, 1, weight.shape) * np.sqrt(6 / (48 * 25)),
    }
    for name, array in others.items():
        assert not weight.agrees(array.reshape(weight.shape)), name


@pytest.mark.parametrize("initial", ["glorot", "normal", "scale"])
def test_true_initial_weights_are_never_refused(initial: str) -> None:
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 10, 100, 1000):
        weight = Weight((size, 1), initial)
        assert all(weight.agrees(weight.draw(random)) for _ in range(50))
