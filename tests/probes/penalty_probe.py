"""The gradient penalty of one port and its own gradient, a gradient of gradients.

Run as `python tests/probes/penalty_probe.py PORT FOLDER`: with FOLDER/CASE.npz, weights of a critic
and images, leaves FOLDER/PORT-CASE.npz: lengths of gradients, penalty, and its gradient by weight,
all in a checkpoint's layouts. The case `dense` has a critic of one dense layer.
"""

# The frameworks' own annotations are too incomplete for what follows.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.library.scripts import load_script

IMAGE_SHAPE = (32, 32, 1)
FILTERS = 4

Arrays = dict[str, np.ndarray]


def pytorch(weights: Arrays, images: np.ndarray, dense: bool) -> tuple[Any, Any, Arrays]:
    script = load_script("pytorch", "wgan_gp")
    script.bridge.prepare(0, "cpu", "float64")
    nn, torch = script.nn, script.torch
    critic = script.Critic(IMAGE_SHAPE, FILTERS)
    if dense:
        critic = nn.Sequential()
        critic.add_module("flatten", nn.Flatten())
        critic.add_module("dense", nn.Linear(images[0].size, 1))
    script.bridge.set_arrays(critic, weights)
    norms = script.gradient_norms(critic, torch.from_numpy(images))
    penalty = script.gradient_penalty(norms)
    penalty.backward()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.copy_(torch.zeros(()) if parameter.grad is None else parameter.grad)
    return norms.detach(), penalty.detach(), script.bridge.get_arrays(critic)


def tensorflow(weights: Arrays, images: np.ndarray, dense: bool) -> tuple[Any, Any, Arrays]:
    script = load_script("tensorflow", "wgan_gp")
    script.bridge.prepare(0, "cpu", "float64")
    layers, tf = script.layers, script.tf

    class Dense(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(images[0].size, 1)

        def __call__(self, x: Any) -> Any:
            x = tf.transpose(x, (0, 3, 1, 2))
            return self.dense(tf.reshape(x, (len(images), -1)))

    critic = Dense() if dense else script.Critic(IMAGE_SHAPE, FILTERS)
    script.bridge.set_arrays(critic, weights)

    @tf.function  # as in training
    def differentiate(x: Any) -> Any:
        with tf.GradientTape() as tape:
            norms = script.gradient_norms(critic, x)
            penalty = script.gradient_penalty(norms)
        zero = {"unconnected_gradients": tf.UnconnectedGradients.ZERO}
        return norms, penalty, tape.gradient(penalty, critic.trainable_variables, **zero)

    norms, penalty, slopes = differentiate(tf.constant(np.moveaxis(images, 1, -1)))
    for variable, slope in zip(critic.trainable_variables, slopes, strict=True):
        variable.assign(slope)
    return norms, penalty, script.bridge.get_arrays(critic)


def keras(weights: Arrays, images: np.ndarray, dense: bool) -> tuple[Any, Any, Arrays]:
    script = load_script("keras", "wgan_gp")
    script.bridge.prepare(0, "cpu", "float64")
    keras, layers = script.keras, script.layers
    critic = script.Critic(IMAGE_SHAPE, FILTERS)
    if dense:
        x = keras.Input((*images.shape[2:], images.shape[1]))
        y = layers.Flatten()(layers.Permute((3, 1, 2))(x))
        critic = keras.Model(x, layers.Dense(1, name="dense")(y))
    script.bridge.set_arrays(critic, weights)

    class Probe(script.Trainer):
        """Logs what is asked for; its optimiser keeps the gradients."""

        def call(self, x: Any) -> Any:
            norms = script.gradient_norms(self.critic, x)
            penalty = script.gradient_penalty(norms)
            # Every weight takes part, or some backends have no gradient for it.
            self.add_loss(penalty + 0 * script.ops.sum(self.critic(x)))
            return {"norms": norms, "penalty": penalty}

    class Keep(keras.optimizers.SGD):
        """The gradient takes the weight's place."""

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign(variable, gradient)

    probe = Probe({"critic": critic}, trained=["critic"])
    probe.compile(Keep())
    logged = probe.train_on_batch(np.moveaxis(images, 1, -1), return_dict=True)
    return logged["norms"], logged["penalty"], script.bridge.get_arrays(critic)


def chainer(weights: Arrays, images: np.ndarray, dense: bool) -> tuple[Any, Any, Arrays]:
    script = load_script("chainer", "wgan_gp")
    script.bridge.prepare(0, "cpu", "float64")

    class Dense(script.chainer.Chain):
        def __init__(self) -> None:
            super().__init__()
            with self.init_scope():
                self.dense = script.L.Linear(images[0].size, 1)

        def forward(self, x: Any) -> Any:
            return self.dense(x)

    critic = Dense() if dense else script.Critic(IMAGE_SHAPE, FILTERS)
    script.bridge.set_arrays(critic, weights)
    norms = script.gradient_norms(critic, images)
    penalty = script.gradient_penalty(norms)
    critic.cleargrads()
    penalty.backward()
    for parameter in critic.params():
        parameter.array[...] = 0 if parameter.grad is None else parameter.grad
    return norms.array, penalty.array, script.bridge.get_arrays(critic)


def main() -> None:
    port, folder = sys.argv[1], Path(sys.argv[2])
    kinds: dict[str, Callable[..., tuple[Any, Any, Arrays]]] = {
        "pytorch": pytorch,
        "tensorflow": tensorflow,
        "keras": keras,
        "chainer": chainer,
    }
    for path in sorted(folder.glob("*.npz")):
        case = dict(np.load(path))
        images = case.pop("images")
        probe = kinds[port.partition("-")[0]]
        norms, penalty, slopes = probe(case, images, path.stem != "critic")
        found = {"norms": np.asarray(norms), "penalty": np.asarray(penalty), **slopes}
        (folder / port).mkdir(exist_ok=True)
        np.savez(folder / port / path.name, **found)


if __name__ == "__main__":
    main()
