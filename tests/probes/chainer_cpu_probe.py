"""Compares the quicker functions of Chainer on a CPU with Chainer's own; prints how many cases."""

from __future__ import annotations

import functools
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from common.bridges import chainer_compat  # noqa: F401, E402  # isort: skip
import chainer  # noqa: E402
import chainer.backend  # noqa: E402
import chainer.links as L  # noqa: E402
from chainer.functions.activation.leaky_relu import LeakyReLU, _LeakyReLUGrad  # noqa: E402
from chainer.functions.activation.softplus import Softplus  # noqa: E402
from chainer.functions.connection.convolution_2d import (  # noqa: E402
    Convolution2DFunction,
    Convolution2DGradW,
)
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction  # noqa: E402
from chainer.functions.math.sum import Sum  # noqa: E402
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad  # noqa: E402
from chainer.optimizers.adam import AdamRule  # noqa: E402

OWN = SimpleNamespace(
    convolve=Convolution2DFunction._forward_cpu_core,
    convolve_for_weights=Convolution2DGradW._forward_cpu_core,
    deconvolve=Deconvolution2DFunction._forward_cpu_core,
    max_pool=MaxPoolingND.forward_cpu,
    max_pool_gradient=MaxPoolingNDGrad.forward_cpu,
    leaky_relu=LeakyReLU.forward_cpu,
    leaky_relu_gradient=_LeakyReLUGrad.forward_cpu,
    softplus=Softplus.forward_cpu,
    add_up=Sum.forward,
    update_adam=AdamRule.update_core_cpu,
)

from common.bridges import chainer_batch_norm, chainer_cpu  # noqa: E402

random = np.random.default_rng(0)
normal = random.standard_normal


def main() -> None:
    check_installation()
    tried = 0
    # One image at a time, some, and all at once.
    for cache in (1, 20_000, 1 << 22):
        chainer_cpu.CACHE = cache
        tried += check_convolutions() + check_pooling()
    tried += check_batch_norm() + check_sum() + check_arrays()
    print(tried + check_leaky_relu() + check_softplus() + check_adam() + check_layout())


def check_installation() -> None:
    """The quicker functions come, go for a while, and come back."""
    chainer_cpu.install()
    assert Convolution2DFunction._forward_cpu_core is chainer_cpu.convolve
    with chainer_cpu.without():
        assert Convolution2DFunction._forward_cpu_core is OWN.convolve
        assert Deconvolution2DFunction._forward_cpu_core is OWN.deconvolve
        assert LeakyReLU.forward_cpu is OWN.leaky_relu
    assert Convolution2DFunction._forward_cpu_core is chainer_cpu.convolve
    uninstall()  # what follows compares with Chainer's own


def uninstall() -> None:
    for (kind, name), function in chainer_cpu.OWN.items():
        setattr(kind, name, function)


def alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 if ours.itemsize == 4 else 1e-11)


def make(function: Any, *arguments: Any, **named: Any) -> Any:
    """One of Chainer's functions, whose annotations are narrower than what they take."""
    return function(*arguments, **named)


def images(count: int, channels: int, size: tuple[int, int], dtype: str) -> np.ndarray:
    """In Chainer's own order in memory, or with the channels last, by turns."""
    x = normal((count, channels, *size)).astype(dtype)
    return x if random.integers(2) else x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)


def check_convolutions() -> int:
    tried = 0
    for kernel, stride, pad, dilate, size, cover_all in itertools.product(
        ((1, 1), (2, 3), (3, 2), (4, 4), (5, 5)),
        ((1, 1), (2, 1), (2, 2), (3, 3)),
        ((0, 0), (1, 2), (2, 2)),
        (1, 2),
        ((5, 8), (8, 7)),
        (False, True),
    ):
        reach = [(each - 1) * dilate + 1 for each in kernel]
        if any(r > s + 2 * p or p >= r for r, s, p in zip(reach, size, pad, strict=True)):
            continue
        tried += 1
        inputs, outputs = ((3, 9), (9, 2))[tried % 2]
        dtype = ("float32", "float64")[tried // 2 % 2]
        count = (1, 3, 0)[tried // 4 % 3]  # of one, W is larger than the windows
        x = images(count, inputs, size, dtype)
        W = normal((outputs, inputs, *kernel)).astype(dtype)
        b = normal(outputs).astype(dtype) if tried % 3 else None
        function = make(Convolution2DFunction, stride, pad, cover_all, dilate=dilate)
        theirs = OWN.convolve(function, x, W, b)[0]
        alike(chainer_cpu.convolve(function, x, W, b)[0], theirs)

        gy = images(count, outputs, theirs.shape[2:], dtype)
        gradient = Convolution2DGradW(function, W.shape, W.dtype, None)
        theirs = OWN.convolve_for_weights(gradient, x, gy)[0]
        alike(chainer_cpu.convolve_for_weights(gradient, x, gy)[0], theirs)

        b = normal(inputs).astype(dtype) if tried % 3 else None
        function = make(Deconvolution2DFunction, stride, pad, size, dilate=dilate)
        theirs = OWN.deconvolve(function, gy, W, b)[0]
        alike(chainer_cpu.deconvolve(function, gy, W, b)[0], theirs)
    return tried


def check_pooling() -> int:
    tried = 0
    for kernel, stride, pad, size, cover_all in itertools.product(
        ((2, 2), (3, 3), (2, 3)), ((1, 1), (2, 2), (3, 2)), (0, 1), ((6, 8), (7, 5)), (False, True)
    ):
        tried += 1
        x = images(2, 3, size, "float32").round()  # many are equal: the first is meant
        pooling, like = (MaxPoolingND(2, kernel, stride, pad, cover_all) for _ in range(2))
        ours, theirs = chainer_cpu.max_pool(pooling, (x,))[0], OWN.max_pool(like, (x,))[0]
        alike(ours, theirs)
        np.testing.assert_array_equal(pooling.indexes, like.indexes)
        gy = images(2, 3, theirs.shape[2:], "float32")
        ours = chainer_cpu.max_pool_gradient(MaxPoolingNDGrad(pooling), (gy,))[0]
        alike(ours, OWN.max_pool_gradient(MaxPoolingNDGrad(like), (gy,))[0])
    return tried


def check_batch_norm() -> int:
    """Outputs, running averages, gradients, and their gradients, which gradient penalties take."""
    tried = 0
    chainer_batch_norm.FEW = 1
    for piece, shape, dtype, axis in itertools.product(
        (1, 100, 1 << 16),
        ((3, 4, 5, 6), (8, 4), (2, 4, 5)),
        ("float32", "float64"),
        (None, 0),
    ):
        tried += 1
        chainer_batch_norm.PIECE = piece
        x = normal(shape).astype(dtype) * 3 + 5  # their mean matters
        if len(shape) == 4 and tried % 4 < 2:
            x = images(*shape[:2], shape[2:], dtype) * np.dtype(dtype).type(3) + 5
        each = normal((2, *(shape[1:] if axis == 0 else (shape[1],)))).astype(dtype)
        seed = normal(shape).astype(dtype)
        chainer_cpu.install()
        ours = batch_norm(x, each, seed, axis)
        with chainer_cpu.without():
            theirs = batch_norm(x, each, seed, axis)
        for a, b in zip(ours, theirs, strict=True):
            alike(a, b)
    check_several_processes()
    uninstall()
    return tried


def check_several_processes() -> None:
    """ChainerMN adds up its sums in a class of its own, which must be asked."""

    class Doubled(chainer_batch_norm.IMPLEMENTATION):
        def get_ggamma_and_gbeta(self, *arguments: Any) -> Any:
            return [2 * each for each in super().get_ggamma_and_gbeta(*arguments)]

    x, gy = normal((2, 3, 4)), normal((2, 3, 4))
    expander = (None, slice(None), None)
    each = normal((3, 3))
    arguments = ((0, 2), each[0], gy, x, None, np, expander, each[1], each[2], 1e-3, None, None)
    once, twice = (
        kind().backward(*arguments) for kind in (chainer_batch_norm.IMPLEMENTATION, Doubled)
    )
    alike(twice[2], 2 * once[2])
    alike(twice[3], 2 * once[3])


def batch_norm(x: np.ndarray, each: np.ndarray, seed: np.ndarray, axis: Any) -> list[Any]:
    F: Any = chainer.functions
    averages = np.zeros_like(each[0]), np.ones_like(each[0])
    inputs = [make(chainer.Variable, array) for array in (x, *each)]
    running = {"running_mean": averages[0], "running_var": averages[1], "decay": 0.8}
    y = F.batch_normalization(*inputs, eps=1e-3, **running, axis=axis)
    fixed = F.fixed_batch_normalization(*inputs, *averages, eps=1e-3, axis=axis)
    gradients = chainer.grad([F.sum(y * seed)], inputs, enable_double_backprop=True)
    squares = sum(F.sum(F.square(gradient)) for gradient in gradients[:2])
    penalties = chainer.grad([squares], inputs[:2])
    return [y.array, fixed.array, *averages, *(v.array for v in (*gradients, *penalties))]


def check_sum() -> int:
    axes = (0, 2, 3), (0, 2), None
    cases = list(itertools.product((1, 1 << 30), axes, (False, True), (False, True)))
    for few, axis, keepdims, last in cases:
        chainer_batch_norm.FEW = few
        x = normal((3, 5, 6, 4)).transpose(0, 3, 1, 2) if last else normal((3, 4, 5, 6))
        function = make(Sum, axis, keepdims)
        alike(chainer_cpu.add_up(function, (x,))[0], OWN.add_up(function, (x,))[0])
    return len(cases)


def check_arrays() -> int:
    """What is no array of NumPy's is Chainer's to judge."""
    array = np.ones(3)
    cases: list[tuple[Any, ...]] = [(), (array,), (array, array), (array, None), (array, 1)]
    for arrays in cases:
        expected = chainer.is_arrays_compatible(arrays)
        assert chainer_cpu.check_arrays(arrays) == expected
        assert chainer_cpu.find_device(*arrays) == chainer.backend.get_device_from_array(*arrays)
    return len(cases)


def check_leaky_relu() -> int:
    slopes = (0, 0.2, 1, 2, -0.5)
    for slope in slopes:
        x = np.append(normal(100), [0.0, -0.0, np.inf]).astype(np.float32)
        function = LeakyReLU(slope)
        ours, theirs = chainer_cpu.leaky_relu(function, (x,))[0], OWN.leaky_relu(function, (x,))[0]
        np.testing.assert_array_equal(ours, theirs)
        gradient = _LeakyReLUGrad(theirs if slope >= 0 else x, slope)
        ours = chainer_cpu.leaky_relu_gradient(gradient, (x[::-1],))[0]
        np.testing.assert_array_equal(ours, OWN.leaky_relu_gradient(gradient, (x[::-1],))[0])
    return len(slopes)


def check_softplus() -> int:
    """To a few roundings of the number itself, however small it is."""
    dtypes = ("float32", "float64")
    for dtype in dtypes:
        x = np.append(normal(1000) * 20, [0.0, -0.0, 80, -80, 1e4, -1e4, np.inf, -np.inf, np.nan])
        x = x.astype(dtype)
        function = make(Softplus)
        ours, theirs = (f(function, (x,))[0] for f in (chainer_cpu.softplus, OWN.softplus))
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=8 * float(np.finfo(dtype).eps))
    for x, beta in ((normal(9), 2.0), (np.array(-0.5), 1.0)):  # a single number too
        function = make(Softplus, beta=beta)
        theirs = OWN.softplus(function, (x,))[0]
        np.testing.assert_array_equal(chainer_cpu.softplus(function, (x,))[0], theirs)
    return len(dtypes)


def check_adam() -> int:
    """Three updates, of weights in one piece, in several, and in a last one that is smaller."""
    shapes = ((), (5,), (7, 30), (30, 7), (2, 3, 4, 5))
    chainer_cpu.PIECE = 50
    orders = itertools.product("CF", "CF")  # in memory, of the weights and of the gradient
    for shape, (own, order), dtype in itertools.product(shapes, orders, ("float32", "float64")):
        like = [make(chainer.Parameter, make(np.zeros, shape, dtype, own)) for _ in range(2)]
        rules = [make(AdamRule, alpha=0.1, beta1=0.5, beta2=0.9, eps=1e-8, eta=0.5) for _ in like]
        for _ in range(3):
            gradient = make(np.asarray, normal(shape), dtype, order)
            updates = OWN.update_adam, chainer_cpu.update_adam
            for parameter, rule, update in zip(like, rules, updates, strict=True):
                parameter.grad = gradient
                rule.update_core_cpu = functools.partial(update, rule)
                rule.update(parameter)
                rule.state["m"] = rule.state["m"].copy("C")  # in another order than the weights
        alike(like[1].array, like[0].array)
        for name in "mv":
            alike(rules[1].state[name], rules[0].state[name])
    return len(shapes)


def check_layout() -> int:
    """Weights are drawn as before, and keep their place in memory, as do gradients and Adam's m."""
    kinds = (L.Convolution2D, L.Deconvolution2D)
    before = [make_layer(kind) for kind in kinds]
    chainer_cpu.install()
    for kind, plain in zip(kinds, before, strict=True):
        layer = make_layer(kind)
        np.testing.assert_array_equal(layer.W.array, plain.W.array)
        assert not is_laid_out(plain.W.array)
        adam = chainer.optimizers.Adam().setup(layer)
        for _ in range(2):
            layer.cleargrads()
            chainer.functions.sum(layer(images(2, 9, (7, 6), "float32")) ** 2).backward()
            adam.update()
        arrays = layer.W.array, layer.W.grad, layer.W.update_rule.state["m"]
        assert all(is_laid_out(array) for array in (*arrays, layer.copy("copy").W.array))
    return len(kinds)


def make_layer(kind: Any) -> Any:
    np.random.seed(0)  # noqa: NPY002
    return make(kind, 9, 10, (2, 3), 2)


def is_laid_out(array: np.ndarray) -> bool:
    """Whether it lies in memory as kernel's height x width x ... x the first of its axes."""
    return array.transpose(2, 3, 1, 0).flags.c_contiguous


if __name__ == "__main__":
    main()
