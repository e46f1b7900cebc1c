"""One framework plays DCGAN from given weights and writes down every number.

Run as `python tests/worker.py FRAMEWORK SCORE.npz ANSWER.npz`: the score holds weights, images and
noise; the answer what the script's networks, losses and updates make of them, in PyTorch's layout.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from scripts import load_script  # noqa: E402

FRAMEWORK, SCORE, ANSWER = sys.argv[1:4]
script = load_script(FRAMEWORK, "dcgan")  # the framework goes first, see house rules on imports
bridge: Any = importlib.import_module(f"common.bridges.{FRAMEWORK}")

import numpy as np  # noqa: E402

LEARNING_RATE = 2e-4


def last_axis(images: Any) -> np.ndarray:
    """N C H W to what the framework has."""
    images = np.asarray(images)
    return images if bridge.CHANNELS_FIRST or images.ndim != 4 else images.transpose(0, 2, 3, 1)


def first_axis(images: Any) -> np.ndarray:
    """The inverse of `last_axis`."""
    images = np.asarray(images)
    return images if bridge.CHANNELS_FIRST or images.ndim != 4 else images.transpose(0, 3, 1, 2)


class PyTorch:
    def tensor(self, array: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(array.copy())

    def numpy(self, tensor: Any) -> np.ndarray:
        return tensor.detach().numpy()

    def forward(self, network: Any, x: Any) -> Any:
        return network(x)

    def stages(self, network: Any, x: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        hooks = [
            layer.register_forward_hook(lambda _, __, y, name=name: found.update({name: y}))
            for name, layer in network.named_children()
        ]
        network(x)
        for hook in hooks:
            hook.remove()
        return found

    def sgd(self, network: Any, rate: float) -> Any:
        import torch

        return torch.optim.SGD(network.parameters(), lr=rate)

    def adam(self, network: Any, epsilon: float = 1e-8) -> Any:
        import torch

        return torch.optim.Adam(
            network.parameters(), lr=LEARNING_RATE, betas=(0.5, 0.999), eps=epsilon
        )

    def stepper(self, g: Any, d: Any, g_optimizer: Any, d_optimizer: Any) -> Any:
        return lambda images, noise: script.train_step(
            g, d, g_optimizer, d_optimizer, self.tensor(images), self.tensor(noise)
        )


def watch_kinks() -> list[float]:
    """A list to which each call of a ReLU adds its input nearest to 0, in standard deviations."""
    import torch

    nearest: list[float] = []

    def watched(original: Any) -> Any:
        def call(x: Any, *slope: float) -> Any:
            nearest.append(float(x.detach().abs().min() / x.detach().std()))
            return original(x, *slope)

        return call

    functional: Any = torch.nn.functional
    functional.relu = watched(functional.relu)
    functional.leaky_relu = watched(functional.leaky_relu)
    return nearest


class TensorFlow(PyTorch):
    def tensor(self, array: np.ndarray) -> Any:
        import tensorflow as tf

        return tf.constant(array)

    def numpy(self, tensor: Any) -> np.ndarray:
        return tensor.numpy()

    def forward(self, network: Any, x: Any) -> Any:
        return network(x, training=True)

    def stages(self, network: Any, x: Any) -> dict[str, Any]:
        import layers

        found: dict[str, Any] = {}
        names = {id(layer): name for name, layer in vars(network).items()}
        kinds = (layers.Dense, layers.Conv2D, layers.Conv2DTranspose, layers.BatchNorm)
        originals = {kind: kind.__call__ for kind in kinds}

        def recorder(original: Any) -> Any:
            def call(layer: Any, *arguments: Any) -> Any:
                found[names[id(layer)]] = original(layer, *arguments)
                return found[names[id(layer)]]

            return call

        for kind, original in originals.items():
            setattr(kind, "__call__", recorder(original))  # noqa: B010
        network(x, training=True)
        for kind, original in originals.items():
            setattr(kind, "__call__", original)  # noqa: B010
        return found

    def sgd(self, network: Any, rate: float) -> Any:
        import tensorflow as tf

        class Descent(tf.Module):
            def apply(self, gradients: Any) -> None:
                for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
                    variable.assign_sub(rate * gradient)

        return Descent()

    def adam(self, network: Any, epsilon: float = 1e-8) -> Any:
        return script.Adam(
            network.trainable_variables, LEARNING_RATE, beta1=0.5, beta2=0.999, epsilon=epsilon
        )


class Keras(PyTorch):
    def tensor(self, array: np.ndarray) -> Any:
        import keras

        return keras.ops.convert_to_tensor(array)

    def numpy(self, tensor: Any) -> np.ndarray:
        import keras

        return np.asarray(keras.ops.convert_to_numpy(tensor))

    def forward(self, network: Any, x: Any) -> Any:
        return network(x, training=True)

    def stages(self, network: Any, x: Any) -> dict[str, Any]:
        import keras

        named = [layer for layer in network.layers if layer.weights]
        outputs = {}
        for layer in named:
            after = network.layers[network.layers.index(layer) + 1 :][:1]
            cropped = after and isinstance(after[0], keras.layers.Cropping2D)
            outputs[layer.name] = after[0].output if cropped else layer.output
        return keras.Model(network.inputs, outputs)(x, training=True)

    def sgd(self, network: Any, rate: float) -> Any:
        import keras

        return keras.optimizers.SGD(rate)

    def adam(self, network: Any, epsilon: float = 1e-8) -> Any:
        return script.Adam(LEARNING_RATE, beta_1=0.5, beta_2=0.999, epsilon=epsilon)

    def stepper(self, g: Any, d: Any, g_optimizer: Any, d_optimizer: Any) -> Any:
        players = script.players(g, d, g_optimizer, d_optimizer)
        return lambda images, noise: script.train_step(*players, images, noise)


class Chainer(PyTorch):
    def tensor(self, array: np.ndarray) -> Any:
        return array.copy()

    def numpy(self, tensor: Any) -> np.ndarray:
        return getattr(tensor, "array", tensor)

    def stages(self, network: Any, x: Any) -> dict[str, Any]:
        import chainer

        found: dict[str, Any] = {}

        class Recorder(chainer.LinkHook):
            def forward_postprocess(self, args: Any) -> None:
                found[args.link.name] = args.out

        with Recorder():
            network(x)
        return {name: value for name, value in found.items() if name}  # without the network itself

    def sgd(self, network: Any, rate: float) -> Any:
        import chainer

        return chainer.optimizers.SGD(rate).setup(network)

    def adam(self, network: Any, epsilon: float = 1e-8) -> Any:
        return script.Adam(LEARNING_RATE, beta1=0.5, beta2=0.999, eps=epsilon).setup(network)


def play(score: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every number that the frameworks must agree on, by name."""
    voice = {"pytorch": PyTorch, "tensorflow": TensorFlow, "keras": Keras, "chainer": Chainer}
    player = voice[FRAMEWORK]()
    weights = {key: score[key] for key in score if key.startswith(("generator.", "discriminator."))}
    images = np.ascontiguousarray([last_axis(batch) for batch in score["images"]])
    noise = score["noise"]
    shape = score["images"].shape
    image_shape = (shape[3], shape[4], shape[2])
    answer: dict[str, np.ndarray] = {}

    def fresh(weights: dict[str, np.ndarray] = weights) -> tuple[Any, Any]:
        """Both networks, with the weights of the score."""
        networks = script.Generator(image_shape, noise.shape[-1]), script.Discriminator(image_shape)
        for name, network in zip(("generator", "discriminator"), networks, strict=True):
            start = {k.partition(".")[2]: a for k, a in weights.items() if k.startswith(name)}
            bridge.set_arrays(network, start)
        return networks

    def keep(title: str, g: Any, d: Any) -> None:
        for name, network in (("generator", g), ("discriminator", d)):
            for key, array in bridge.get_arrays(network).items():
                answer[f"{title}/{name}.{key}"] = array

    def losses(title: str, step: int, values: dict[str, Any]) -> None:
        for name, value in values.items():
            answer[f"{title}/{step:02d}/{name}"] = np.array(float(value))

    kinks = watch_kinks() if FRAMEWORK == "pytorch" else []
    keep("start", *fresh())
    for name, network, x in zip(
        ("generator", "discriminator"), fresh(), (noise[0, 0], images[0]), strict=True
    ):
        for stage, value in player.stages(network, player.tensor(x)).items():
            answer[f"stage/{name}.{stage}"] = first_axis(player.numpy(value))
        output = player.forward(network, player.tensor(x))
        answer[f"output/{name}"] = first_axis(player.numpy(output))
    real, fake = (player.tensor(logits) for logits in score["logits"])
    answer["loss/discriminator"] = player.numpy(script.discriminator_loss(real, fake))
    answer["loss/generator"] = player.numpy(script.generator_loss(fake))

    for title, rate, steps in (("still", 0.0, 5), ("descent", float(score["rate"]), 1)):
        g, d = fresh()
        step = player.stepper(g, d, player.sgd(g, rate), player.sgd(d, rate))
        kinks.clear()
        for index in range(steps):
            losses(title, index, step(images[index], noise[index]))
        answer[f"kinks/{title}"] = np.array(kinks)
        keep(title, g, d)
        if title == "still":
            drawn = script.sample(g, player.tensor(noise[-1, 0]))
            answer["inference/generator"] = first_axis(player.numpy(drawn))

    def train(title: str, weights: dict[str, np.ndarray], steps: int, **adam: float) -> None:
        g, d = fresh(weights)
        step = player.stepper(g, d, player.adam(g, **adam), player.adam(d, **adam))
        kinks.clear()
        for index in range(steps):
            losses(title, index, step(images[index], noise[index]))
            if index == 0:
                answer[f"kinks/{title}"] = np.array(kinks)
                keep(title, g, d)

    train("adam", weights, len(images))
    if FRAMEWORK == "pytorch":
        # From weights that differ by one rounding: the drift that no bound can undercut.
        nudged = {key: np.nextafter(array, np.float32(9)) for key, array in weights.items()}
        train("nudged", nudged, len(images))
        # As if epsilon stood before the bias correction, in the first step: what a bound must see.
        train("misplaced", weights, 1, epsilon=1e-8 / np.sqrt(1 - 0.999))
    return answer


def main() -> None:
    bridge.set_seed(0)
    bridge.find_device("cpu")
    np.savez(ANSWER, allow_pickle=False, **play(dict(np.load(SCORE))))


if __name__ == "__main__":
    main()
