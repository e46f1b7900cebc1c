"""What one framework does where the user says nothing, found by running it.

Run as `python tests/probes/defaults_probe.py FRAMEWORK`: prints JSON, the rows of docs/defaults.md.
"""

# The frameworks' own annotations are too incomplete for what follows.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalSubscript=false

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

NONE = "—"  # the framework has no such thing
INPUTS, OUTPUTS = 300, 200  # of the dense layer whose initial weights are judged


def leaky(function: Callable[[float], float]) -> str:
    return f"{-function(-1.0):g}"


def variance_kind(running: float, momentum: float, start: float) -> str:
    """Which variance of the batch (0, 1, 2, 6) has come into the running average."""
    added = (running - momentum * start) / (1 - momentum)
    kinds = {"biased": 20.75 / 4, "unbiased": 20.75 / 3}
    return next(name for name, value in kinds.items() if math.isclose(added, value, rel_tol=1e-4))


def epsilon_place(moved: float, epsilon: float, beta2: float = 0.999) -> str:
    """How Adam's first step, at rate 1 on a gradient as large as epsilon, comes about."""
    after = 1 / 2  # g / (|g| + eps)
    root = math.sqrt(1 - beta2)
    before = root / (root + 1)  # root |g| / (root |g| + eps), by lr root / (1 - beta1)
    places = {"after the bias correction": after, "before the bias correction": before}
    return next(name for name, value in places.items() if math.isclose(moved, value, rel_tol=1e-3))


def root_place(moved: float, epsilon: float, decay: float, gradient: float) -> str:
    """How RMSProp's first step, at rate 1, comes about."""
    square = (1 - decay) * gradient**2
    places = {
        "outside the root": gradient / (math.sqrt(square) + epsilon),
        "inside the root": gradient / math.sqrt(square + epsilon),
    }
    return next(name for name, value in places.items() if math.isclose(moved, value, rel_tol=1e-3))


def rate_place(moved: float, momentum: float = 0.9) -> str:
    """How two steps on a gradient of 1 come about, at the rates 1 and then 0.1."""
    places = {
        "outside the velocity": 1 + 0.1 * (momentum + 1),
        "inside the velocity": 1 + (momentum + 0.1),
    }
    return next(name for name, value in places.items() if math.isclose(moved, value, rel_tol=1e-3))


def frozen_kind(before: float, after: float) -> str:
    """What has come of a running average whose layer was frozen."""
    return "stay" if before == after else "drift"


GROUP = (0.0, 1.0, 3.0)  # what is normalised together
EPSILON = 1e-5


def curvature_kind(found: float) -> str:
    """Whether that is how the slope of the first of `GROUP`, normalised, changes with it."""

    def normalized(first: float) -> float:
        values = (first, *GROUP[1:])
        mean = sum(values) / 3
        variance = sum((value - mean) ** 2 for value in values) / 3
        return (first - mean) / math.sqrt(variance + EPSILON)

    at, h = GROUP[0], 1e-3
    true = (normalized(at + h) - 2 * normalized(at) + normalized(at - h)) / h**2
    return "right" if math.isclose(found, true, rel_tol=1e-3) else "wrong"


def initial_kind(weights: Any) -> str:
    """The distribution of a dense layer's initial weights, by their range and deviation."""
    largest, deviation = float(abs(weights).max()), float(weights.std())
    uniform = largest < 1.9 * deviation
    scales = {
        "uniform, 1 / √in": (True, INPUTS**-0.5),
        "Glorot uniform": (True, math.sqrt(6 / (INPUTS + OUTPUTS))),
        "LeCun normal": (False, INPUTS**-0.5),
    }
    for name, (is_uniform, scale) in scales.items():
        found = largest if is_uniform else deviation
        if uniform == is_uniform and math.isclose(found, scale, rel_tol=0.02):
            return name
    return f"largest {largest}, deviation {deviation}"


def layout(shape: tuple[int, ...], sizes: dict[int, str]) -> str:
    return " ".join(sizes[length] for length in shape)


CONVOLUTION = {3: "I", 4: "O", 5: "H", 6: "W"}  # axes told apart by their lengths
DENSE = {INPUTS: "in", OUTPUTS: "out"}


def pytorch() -> dict[str, str]:
    import torch

    norm = torch.nn.BatchNorm1d(1)
    norm(torch.tensor([[0.0], [1.0], [2.0], [6.0]]))
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.full((1,), 1e-8)
    adam = torch.optim.Adam([weight], lr=1)
    adam.step()
    moved = -weight.item()
    rms_weight = torch.nn.Parameter(torch.zeros(1))
    rms_weight.grad = torch.full((1,), 1e-3)
    rms = torch.optim.RMSprop([rms_weight], lr=1)
    rms.step()
    sgd_weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([sgd_weight], lr=1, momentum=0.9)
    for rate in (1, 0.1):
        sgd_weight.grad = torch.ones(1)
        sgd.param_groups[0]["lr"] = rate
        sgd.step()
    frozen = torch.nn.BatchNorm1d(1).requires_grad_(False)
    frozen(torch.tensor([[1.0], [2.0]]))
    dense = torch.nn.Linear(INPUTS, OUTPUTS)
    image = torch.arange(8.0).reshape(1, 2, 2, 2)  # value 4 c + 2 h + w
    conv = torch.nn.Conv2d(1, 1, 5, stride=2, padding=2, bias=False)
    torch.nn.init.ones_(conv.weight)
    line = conv(torch.eye(8)[0].expand(8, 8)[None, None])[0, 0, 2]
    group = torch.tensor([GROUP], requires_grad=True)
    normal = torch.nn.GroupNorm(1, 3, EPSILON)(group)
    (slope,) = torch.autograd.grad(normal[0, 0], group, create_graph=True)
    (curvature,) = torch.autograd.grad(slope[0, 0], group)
    momentum = norm.momentum
    assert momentum is not None
    return {
        "batch norm's running average keeps": f"{1 - momentum:g}",
        "batch norm's epsilon": f"{norm.eps:g}",
        "batch norm's running variance": variance_kind(norm.running_var.item(), 1 - momentum, 1.0),
        "leaky ReLU's slope": leaky(
            lambda x: torch.nn.functional.leaky_relu(torch.tensor(x)).item()
        ),
        "Adam's epsilon": f"{adam.defaults['eps']:g}",
        "Adam's epsilon stands": epsilon_place(moved, 1e-8),
        "RMSProp keeps": f"{rms.defaults['alpha']:g}",
        "RMSProp's epsilon stands": root_place(-rms_weight.item(), 1e-8, 0.99, 1e-3),
        "momentum's learning rate stands": rate_place(-sgd_weight.item()),
        "a frozen batch norm's averages": frozen_kind(0.0, frozen.running_mean.item()),
        "dense kernel": layout(tuple(dense.weight.shape), DENSE),
        "convolution kernel": layout(
            tuple(torch.nn.Conv2d(3, 4, (5, 6)).weight.shape), CONVOLUTION
        ),
        "transposed kernel": layout(
            tuple(torch.nn.ConvTranspose2d(3, 4, (5, 6)).weight.shape), CONVOLUTION
        ),
        "dense initial weights": initial_kind(dense.weight.detach().numpy()),
        "flattened image": flatten_order(image.flatten().tolist()),
        "padding of a kernel of 5 at stride 2": padding(line.tolist()),
        "group norm's gradient of a gradient": curvature_kind(curvature[0, 0].item()),
    }


def flatten_order(values: list[float]) -> str:
    """The order of axes in a flattened 2x2x2 image whose pixels are 4 c + 2 h + w."""
    steps = {4: "C", 2: "H", 1: "W"}
    return " ".join(steps[int(abs(values[stride] - values[0]))] for stride in (4, 2, 1))


def padding(line: list[float]) -> str:
    """Zeros before and after, from where a 1 in the first of 8 pixels is seen by a kernel of ones.

    With 2 before, the first window starts at -2 and the second, at 0, still sees pixel 0; with 1
    before, the second starts at 1 and no longer does.
    """
    return "2 and 2" if line[1] else "1 and 2"


def tensorflow() -> dict[str, str]:
    import tensorflow as tf

    # Kernels have no default layout but what the operations accept.
    convolved = tf.nn.conv2d(tf.zeros((1, 8, 8, 3)), tf.zeros((5, 6, 3, 4)), 1, "SAME")
    assert convolved.shape[-1] == 4
    grown = tf.nn.conv2d_transpose(
        tf.zeros((1, 8, 8, 3)), tf.zeros((5, 6, 4, 3)), (1, 16, 16, 4), 2, "SAME"
    )
    assert grown.shape[-1] == 4
    pixels = tf.reshape(tf.constant([[0, 1], [2, 3]]), (1, 2, 2, 1))  # 2 h + w
    image = tf.concat([pixels, pixels + 4], axis=-1)
    line = tf.reshape(tf.one_hot(0, 8), (1, 1, 8, 1)) * tf.ones((1, 8, 1, 1))
    line = tf.nn.conv2d(line, tf.ones((5, 5, 1, 1)), 2, "SAME")[0, 2, :, 0]
    _, _, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(tf.constant([0.0, 1.0, 2.0, 6.0]), (4, 1, 1, 1)),
        scale=[1.0],
        offset=[0.0],
        mean=[0.0],
        variance=[1.0],
        exponential_avg_factor=0.5,
    )
    weight, m, v = (tf.Variable([0.0]) for _ in range(3))
    tf.raw_ops.ResourceApplyAdam(
        var=weight.handle,
        m=m.handle,
        v=v.handle,
        beta1_power=0.9,
        beta2_power=0.999,
        lr=1.0,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-8,
        grad=[1e-8],
    )
    sgd_weight, velocity = (tf.Variable([0.0]) for _ in range(2))
    for rate in (1.0, 0.1):
        tf.raw_ops.ResourceApplyMomentum(
            var=sgd_weight.handle, accum=velocity.handle, lr=rate, grad=[1.0], momentum=0.9
        )
    rms_weight, square, momentum = (tf.Variable([0.0]) for _ in range(3))
    tf.raw_ops.ResourceApplyRMSProp(
        var=rms_weight.handle,
        ms=square.handle,
        mom=momentum.handle,
        lr=1.0,
        rho=0.99,
        momentum=0.0,
        epsilon=1e-8,
        grad=[1e-3],
    )
    return {
        "batch norm's running average keeps": NONE,
        "batch norm's epsilon": NONE,
        "batch norm's running variance": variance_kind(float(variance[0]), 0.5, 1.0),
        "leaky ReLU's slope": leaky(lambda x: float(tf.nn.leaky_relu(x))),
        "Adam's epsilon": NONE,
        "Adam's epsilon stands": epsilon_place(-float(weight[0]), 1e-8),
        "RMSProp keeps": NONE,
        "RMSProp's epsilon stands": root_place(-float(rms_weight[0]), 1e-8, 0.99, 1e-3),
        "momentum's learning rate stands": rate_place(-float(sgd_weight[0])),
        "a frozen batch norm's averages": NONE,
        "dense kernel": NONE,
        "convolution kernel": "H W I O",
        "transposed kernel": "H W O I",
        "dense initial weights": NONE,
        "flattened image": flatten_order([float(x) for x in tf.reshape(image, (-1,))]),
        "padding of a kernel of 5 at stride 2": padding([float(x) for x in line]),
        "group norm's gradient of a gradient": NONE,
    }


def keras() -> dict[str, str]:
    import numpy as np

    import keras  # isort: skip
    import tensorflow as tf  # the backend
    from keras import layers

    def built(layer: Any, *shape: int) -> Any:
        layer.build((None, *shape))
        return layer

    norm = built(layers.BatchNormalization(), 1)
    norm(np.array([[0.0], [1.0], [2.0], [6.0]], "float32"), training=True)

    def stepped(optimizer: Any, gradient: float) -> float:
        weight = keras.Variable([0.0])
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [weight])
        return -float(weight[0])

    sgd_weight = keras.Variable([0.0])
    sgd = keras.optimizers.SGD(1.0, momentum=0.9)
    for rate in (1.0, 0.1):
        sgd.learning_rate = rate
        sgd.apply([keras.ops.ones(1)], [sgd_weight])
    frozen = built(layers.BatchNormalization(trainable=False), 1)
    frozen(np.array([[1.0], [2.0]], "float32"), training=True)
    adam, rms = keras.optimizers.Adam(1.0), keras.optimizers.RMSprop(1.0)
    dense = built(layers.Dense(OUTPUTS), INPUTS)
    image = np.arange(8.0).reshape(1, 2, 2, 2).transpose(0, 2, 3, 1)
    line = np.zeros((1, 8, 8, 1), "float32")
    line[:, :, 0] = 1
    conv = layers.Conv2D(1, 5, 2, "same", kernel_initializer="ones")
    group = tf.Variable([[[GROUP]]])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            normal = layers.GroupNormalization(groups=1, epsilon=EPSILON)(group)[0, 0, 0, 0]
        slope = inner.gradient(normal, group)[0, 0, 0, 0]
    curvature = outer.gradient(slope, group)[0, 0, 0, 0]
    conv_shape = built(layers.Conv2D(4, (5, 6)), 8, 8, 3).kernel.shape
    transposed_shape = built(layers.Conv2DTranspose(4, (5, 6)), 8, 8, 3).kernel.shape
    return {
        "batch norm's running average keeps": f"{norm.momentum:g}",
        "batch norm's epsilon": f"{norm.epsilon:g}",
        "batch norm's running variance": variance_kind(
            float(norm.moving_variance[0]), norm.momentum, 1.0
        ),
        "leaky ReLU's slope": leaky(
            lambda x: float(layers.LeakyReLU()(keras.ops.convert_to_tensor(x)))
        ),
        "Adam's epsilon": f"{adam.epsilon:g}",
        "Adam's epsilon stands": epsilon_place(stepped(adam, 1e-7), 1e-7),
        "RMSProp keeps": f"{rms.rho:g}",
        "RMSProp's epsilon stands": root_place(stepped(rms, 1e-3), rms.epsilon, rms.rho, 1e-3),
        "momentum's learning rate stands": rate_place(-float(sgd_weight[0])),
        "a frozen batch norm's averages": frozen_kind(0.0, float(frozen.moving_mean[0])),
        "dense kernel": layout(dense.kernel.shape, DENSE),
        "convolution kernel": layout(conv_shape, CONVOLUTION),
        "transposed kernel": layout(transposed_shape, CONVOLUTION),
        "dense initial weights": initial_kind(keras.ops.convert_to_numpy(dense.kernel)),
        "flattened image": flatten_order(
            np.asarray(keras.ops.convert_to_numpy(layers.Flatten()(image)))[0].tolist()
        ),
        "padding of a kernel of 5 at stride 2": padding(
            np.asarray(keras.ops.convert_to_numpy(conv(line)))[0, 2, :, 0].tolist()
        ),
        "group norm's gradient of a gradient": curvature_kind(float(curvature)),
    }


def chainer() -> dict[str, str]:
    from common.bridges import chainer_compat  # noqa: F401  # isort: skip
    import numpy as np

    import chainer  # isort: skip
    import chainer.functions as F
    import chainer.links as L

    norm = L.BatchNormalization(1)
    norm(np.array([[0.0], [1.0], [2.0], [6.0]], "f"))

    def stepped(optimizer: Any, gradient: float) -> float:
        link = chainer.Chain()
        with link.init_scope():
            link.weight = chainer.Parameter(np.zeros(1, "f"))
        link.weight.grad = np.full(1, gradient, "f")
        optimizer.setup(link).update()
        return -link.weight.array.item()

    link = chainer.Chain()
    with link.init_scope():
        link.weight = chainer.Parameter(np.zeros(1, "f"))
    sgd = chainer.optimizers.MomentumSGD(lr=1, momentum=0.9).setup(link)
    for rate in (1, 0.1):
        link.weight.grad = np.ones(1, "f")
        sgd.lr = rate
        sgd.update()
    frozen = L.BatchNormalization(1)
    frozen.disable_update()
    frozen(np.array([[1.0], [2.0]], "f"))
    adam, rms = chainer.optimizers.Adam(alpha=1), chainer.optimizers.RMSprop(lr=1)
    dense = L.Linear(INPUTS, OUTPUTS)
    image = np.arange(8, dtype="f").reshape(1, 2, 2, 2)
    line = np.zeros((1, 1, 8, 8), "f")
    line[..., 0] = 1
    conv = L.Convolution2D(1, 1, 5, 2, 2, nobias=True, initialW=1)
    group = chainer.Variable(np.array(GROUP, "f").reshape(1, 3, 1, 1))
    normal = F.sum(L.GroupNormalization(1, 3, eps=EPSILON)(group)[:, 0])
    (slope,) = chainer.grad([normal], [group], enable_double_backprop=True)
    try:
        (curvature,) = chainer.grad([F.sum(slope[:, 0])], [group])
        second = curvature_kind(curvature.array[0].item())
    except TypeError:  # it has not kept what it needs
        second = "fails"
    return {
        "batch norm's running average keeps": f"{norm.decay:g}",
        "batch norm's epsilon": f"{norm.eps:g}",
        "batch norm's running variance": variance_kind(norm.avg_var.item(), norm.decay, 1.0),
        "leaky ReLU's slope": leaky(lambda x: F.leaky_relu(np.array([x], "f")).array.item()),
        "Adam's epsilon": f"{adam.eps:g}",
        "Adam's epsilon stands": epsilon_place(stepped(adam, 1e-8), 1e-8),
        "RMSProp keeps": f"{rms.alpha:g}",
        "RMSProp's epsilon stands": root_place(stepped(rms, 1e-3), rms.eps, rms.alpha, 1e-3),
        "momentum's learning rate stands": rate_place(-link.weight.array.item()),
        "a frozen batch norm's averages": frozen_kind(0.0, frozen.avg_mean.item()),
        "dense kernel": layout(dense.W.shape, DENSE),
        "convolution kernel": layout(L.Convolution2D(3, 4, (5, 6)).W.shape, CONVOLUTION),
        "transposed kernel": layout(L.Deconvolution2D(3, 4, (5, 6)).W.shape, CONVOLUTION),
        "dense initial weights": initial_kind(dense.W.array),
        "flattened image": flatten_order(F.flatten(image).array.tolist()),
        "padding of a kernel of 5 at stride 2": padding(conv(line).array[0, 0, 2].tolist()),
        "group norm's gradient of a gradient": second,
    }


if __name__ == "__main__":
    probes = {f.__name__: f for f in (pytorch, tensorflow, keras, chainer)}
    print(json.dumps(probes[sys.argv[1]]()))
