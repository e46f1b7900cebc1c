"""One framework plays models from given weights and writes down every number.

Run as `python tests/worker.py FRAMEWORK FOLDER PLAYER MODEL …`: for each model FOLDER/MODEL.npz
holds its score, weights, images and noise; FOLDER/MODEL-PLAYER.npz gets what the script's networks,
losses and updates make of them, in PyTorch's layout.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from scripts import load_script  # noqa: E402

FRAMEWORK, FOLDER, PLAYER, *MODELS = sys.argv[1:]
SCRIPTS: dict[str, Any] = {
    model: load_script(FRAMEWORK, model) for model in MODELS
}  # the framework goes first
bridge: Any = importlib.import_module(f"common.bridges.{FRAMEWORK}")

# What the folder of a framework has beside its scripts.
OPTIMIZERS: Any = None if FRAMEWORK == "pytorch" else importlib.import_module("optimizers")

import numpy as np  # noqa: E402
from parts import NUDGES, PARTS, RATE, STEPS, Part  # noqa: E402

DESCENT = 0.1  # of a step of plain gradient descent
ROUNDINGS = 4 * 2.0**-24  # by which weights are nudged, as a share of them


def last_axis(images: Any) -> np.ndarray:
    """N C H W to what the framework has."""
    images = np.asarray(images)
    if bridge.CHANNELS_FIRST or images.ndim < 4:
        return images
    return np.ascontiguousarray(np.moveaxis(images, -3, -1))


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

    def forward(self, network: Any, inputs: list[Any]) -> Any:
        return network(*inputs)

    def stages(self, network: Any, inputs: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        hooks = [
            layer.register_forward_hook(lambda _, __, y, name=name: found.update({name: y}))
            for name, layer in network.named_children()
        ]
        network(*inputs)
        for hook in hooks:
            hook.remove()
        return found

    def parameters(self, networks: list[Any]) -> list[Any]:
        return [parameter for network in networks for parameter in network.parameters()]

    def sgd(self, networks: list[Any], rate: float) -> Any:
        import torch

        return torch.optim.SGD(self.parameters(networks), lr=rate)

    def adam(self, networks: list[Any], epsilon: float) -> Any:
        import torch

        return torch.optim.Adam(self.parameters(networks), lr=RATE, betas=(0.5, 0.999), eps=epsilon)

    def rmsprop(self, networks: list[Any], epsilon: float) -> Any:
        import torch

        return torch.optim.RMSprop(self.parameters(networks), lr=RATE, alpha=0.99, eps=epsilon)

    def stepper(self, script: Any, part: Part, networks: list[Any], optimizers: list[Any]) -> Any:
        def step(*inputs: np.ndarray) -> Any:
            return script.train_step(*networks, *optimizers, *map(self.tensor, inputs))

        return step


class TensorFlow(PyTorch):
    def tensor(self, array: np.ndarray) -> Any:
        import tensorflow as tf

        return tf.constant(array)

    def numpy(self, tensor: Any) -> np.ndarray:
        return tensor.numpy()

    def forward(self, network: Any, inputs: list[Any]) -> Any:
        modes = "training" in inspect.signature(type(network).__call__).parameters
        return network(*inputs, **({"training": True} if modes else {}))

    def stages(self, network: Any, inputs: list[Any]) -> dict[str, Any]:
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
        self.forward(network, inputs)
        for kind, original in originals.items():
            setattr(kind, "__call__", original)  # noqa: B010
        return found

    def parameters(self, networks: list[Any]) -> list[Any]:
        return [variable for network in networks for variable in network.trainable_variables]

    def sgd(self, networks: list[Any], rate: float) -> Any:
        import tensorflow as tf

        variables = self.parameters(networks)

        class Descent(tf.Module):
            def apply(self, gradients: Any) -> None:
                for variable, gradient in zip(variables, gradients, strict=True):
                    variable.assign_sub(rate * gradient)

        return Descent()

    def adam(self, networks: list[Any], epsilon: float) -> Any:
        return OPTIMIZERS.Adam(
            self.parameters(networks), RATE, beta1=0.5, beta2=0.999, epsilon=epsilon
        )

    def rmsprop(self, networks: list[Any], epsilon: float) -> Any:
        return OPTIMIZERS.RMSProp(self.parameters(networks), RATE, smoothing=0.99, epsilon=epsilon)


class Keras(PyTorch):
    def tensor(self, array: np.ndarray) -> Any:
        import keras

        return keras.ops.convert_to_tensor(array)

    def numpy(self, tensor: Any) -> np.ndarray:
        import keras

        return np.asarray(keras.ops.convert_to_numpy(tensor))

    def forward(self, network: Any, inputs: list[Any]) -> Any:
        return network(inputs if len(inputs) > 1 else inputs[0], training=True)

    def stages(self, network: Any, inputs: list[Any]) -> dict[str, Any]:
        import keras

        outputs = {}
        for layer in network.layers:
            if layer.weights:
                after = network.layers[network.layers.index(layer) + 1 :][:1]
                cropped = after and isinstance(after[0], keras.layers.Cropping2D)
                outputs[layer.name] = after[0].output if cropped else layer.output
        return self.forward(keras.Model(network.inputs, outputs), inputs)

    def sgd(self, networks: list[Any], rate: float) -> Any:
        import keras

        return keras.optimizers.SGD(rate)

    def adam(self, networks: list[Any], epsilon: float) -> Any:
        return OPTIMIZERS.Adam(RATE, beta_1=0.5, beta_2=0.999, epsilon=epsilon)

    def rmsprop(self, networks: list[Any], epsilon: float) -> Any:
        return OPTIMIZERS.RMSProp(RATE, rho=0.99, epsilon=epsilon)

    def stepper(self, script: Any, part: Part, networks: list[Any], optimizers: list[Any]) -> Any:
        made = getattr(script, part.keras)(*networks, *optimizers)
        models = made if isinstance(made, tuple) else (made,)
        return lambda *inputs: script.train_step(*models, *inputs)


class Chainer(PyTorch):
    def tensor(self, array: np.ndarray) -> Any:
        return array.copy()

    def numpy(self, tensor: Any) -> np.ndarray:
        return getattr(tensor, "array", tensor)

    def stages(self, network: Any, inputs: list[Any]) -> dict[str, Any]:
        import chainer

        found: dict[str, Any] = {}

        class Recorder(chainer.LinkHook):
            def forward_postprocess(self, args: Any) -> None:
                found[args.link.name] = args.out

        with Recorder():
            network(*inputs)
        return {name: value for name, value in found.items() if name}  # without the network itself

    def target(self, networks: list[Any]) -> Any:
        import chainer

        return networks[0] if len(networks) == 1 else chainer.ChainList(*networks)

    def sgd(self, networks: list[Any], rate: float) -> Any:
        import chainer

        return chainer.optimizers.SGD(rate).setup(self.target(networks))

    def adam(self, networks: list[Any], epsilon: float) -> Any:
        return OPTIMIZERS.Adam(RATE, beta1=0.5, beta2=0.999, eps=epsilon).setup(
            self.target(networks)
        )

    def rmsprop(self, networks: list[Any], epsilon: float) -> Any:
        import chainer

        optimizer = chainer.optimizers.RMSprop(RATE, alpha=0.99, eps=epsilon)
        return optimizer.setup(self.target(networks))


class Kinks:
    """How near to a kink the activations of the last step came, in standard deviations.

    The kinks are 0 for a ReLU and a draw between the two largest for a maximum. Passes without
    gradients are left out.
    """

    def __init__(self) -> None:
        import torch

        self.nearest: list[float] = []
        functional: Any = torch.nn.functional

        def watched(original: Any, distance: Any) -> Any:
            def call(x: Any, *more: Any) -> Any:
                if torch.is_grad_enabled():
                    self.nearest.append(float(distance(x.detach()) / x.detach().std()))
                return original(x, *more)

            return call

        def gap(x: Any) -> Any:
            windows = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
            first, second = windows.topk(2).values.unbind(-1)
            return (first - second)[first > 0].min()

        for name in ("relu", "leaky_relu"):
            setattr(functional, name, watched(getattr(functional, name), lambda x: x.abs().min()))
        functional.max_pool2d = watched(functional.max_pool2d, gap)


class Performance:
    """One model, played from its score."""

    def __init__(self, model: str, kinks: Kinks | None) -> None:
        self.model, self.part, self.script = model, PARTS[model], SCRIPTS[model]
        self.kinks = kinks
        for name, value in self.part.constants.items():
            setattr(self.script, name, value)
        voices = {"pytorch": PyTorch, "tensorflow": TensorFlow, "keras": Keras, "chainer": Chainer}
        self.player = voices[FRAMEWORK]()
        score = dict(np.load(Path(FOLDER) / f"{model}.npz"))
        names = tuple(f"{network}." for network in self.part.networks)
        self.weights = {key: array for key, array in score.items() if key.startswith(names)}
        self.score = {key: array for key, array in score.items() if key not in self.weights}
        for name in ("images", "sources", "codes"):
            if name in self.score and (name != "codes" or self.score[name].ndim == 5):
                self.score[name] = last_axis(self.score[name])
        self.answer: dict[str, np.ndarray] = {}
        self.critic_batches = 1  # of a WGAN's step

    def fresh(self, weights: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
        """The networks, with the weights of the score."""
        shape = (*self.part.size, self.score["images"].shape[2 if bridge.CHANNELS_FIRST else -1])
        networks = {}
        for name, kind in self.part.networks.items():
            constructor = getattr(self.script, kind)
            wanted = list(inspect.signature(constructor).parameters)[1:]
            # A discriminator has no use for the latent size.
            given = zip(("latent_dim", "classes"), self.part.arguments, strict=False)
            networks[name] = constructor(shape, *(value for name, value in given if name in wanted))
            start = {
                key.removeprefix(f"{name}."): array
                for key, array in (weights or self.weights).items()
                if key.startswith(f"{name}.")
            }
            bridge.set_arrays(networks[name], start)
        return networks

    def inputs(self, network: str) -> list[Any]:
        """What a network is played on."""
        parts = {name: self.score[name][0] for name in self.part.inputs[network]}
        arrays = (array[0] if name == "noise" else array for name, array in parts.items())
        return [self.player.tensor(array) for array in arrays]

    def at(self, name: str, index: int) -> np.ndarray:
        """What a step is given."""
        if name == "noise":
            return self.score["noise"][index][: 3 if self.critic_batches == 2 else 2]
        if name == "images" and self.model == "wgan":
            return self.score["images"][[index, (index + 1) % STEPS][: self.critic_batches]]
        return self.score[name][index]

    def keep(self, title: str, networks: dict[str, Any], only: str = "") -> None:
        for name, network in networks.items():
            for key, array in bridge.get_arrays(network).items():
                if only in f"{name}.{key}":
                    self.answer[f"{title}/{name}.{key}"] = array

    def train(
        self,
        title: str,
        steps: int,
        make: Callable[[list[Any]], Any],
        weights: dict[str, np.ndarray] | None = None,
        keep: str | None = "",
    ) -> dict[str, Any]:
        """Take steps; keep the losses, and the arrays after the first whose names hold `keep`."""
        networks = self.fresh(weights)
        groups = [list(networks.values())] if self.part.joint else [[n] for n in networks.values()]
        optimizers = [make(group) for group in groups]
        step = self.player.stepper(self.script, self.part, list(networks.values()), optimizers)
        for index in range(steps):
            if self.kinks and index == 0:
                self.kinks.nearest.clear()
            losses = step(*(self.at(name, index) for name in self.part.step))
            for name, value in losses.items():
                self.answer[f"{title}/{index:02d}/{name}"] = np.array(float(value))
            if index == 0:
                if self.kinks:
                    self.answer[f"kinks/{title}"] = np.array(self.kinks.nearest)
                if keep is not None:
                    self.keep(title, networks, keep)
        return networks

    def play(self) -> dict[str, np.ndarray]:
        """Every number that the frameworks must agree on, by name."""
        player, part = self.player, self.part
        for name, network in self.fresh().items():
            for key, array in bridge.get_arrays(network).items():
                self.answer[f"shape/{name}.{key}"] = np.array(array.shape)
                same = np.array_equal(array, self.weights[f"{name}.{key}"])
                self.answer[f"unchanged/{name}.{key}"] = np.array(same)
            for stage, value in player.stages(network, self.inputs(name)).items():
                self.answer[f"stage/{name}.{stage}"] = first_axis(player.numpy(value))
        for name, network in self.fresh().items():
            found = player.forward(network, self.inputs(name))
            for number, value in enumerate(found if isinstance(found, list | tuple) else [found]):
                self.answer[f"output/{name}.{number}"] = first_axis(player.numpy(value))
        for loss, shapes in part.losses.items():
            arrays = [last_axis(self.score[f"{loss}/{n}"]) for n in range(len(shapes))]
            given = [player.tensor(array) for array in arrays]
            self.answer[f"loss/{loss}"] = player.numpy(getattr(self.script, loss)(*given))

        # WGAN's clipping would hide how the weights moved.
        clip = getattr(self.script, "CLIP", None)
        if clip:
            self.script.CLIP = float("inf")
        networks = self.train("still", 5, lambda group: player.sgd(group, 0.0), keep=None)
        self.keep("still", networks, "running")
        self.draw(networks)
        self.train("descent", 1, lambda group: player.sgd(group, DESCENT))
        make = getattr(player, part.optimizer)
        self.train("update", 1, lambda group: make(group, 1e-8))
        if FRAMEWORK == "pytorch":
            self.train("nudged", 1, lambda group: make(group, 1e-8), self.nudged(0))
            # As if epsilon stood elsewhere in the first step: what a bound must see.
            elsewhere = 1e-4 if part.optimizer == "rmsprop" else 1e-8 / np.sqrt(1 - 0.999)
            self.train("misplaced", 1, lambda group: make(group, float(elsewhere)))

        if clip:
            self.script.CLIP = clip
        self.critic_batches = 2
        clipped = "critic." if clip else None
        self.train("course", STEPS, lambda group: make(group, 1e-8), keep=clipped)
        if FRAMEWORK == "pytorch":
            for seed in range(NUDGES):
                title, nudged = f"nudged {seed}", self.nudged(seed)
                self.train(title, STEPS, lambda group: make(group, 1e-8), nudged, keep=None)
        return self.answer

    def nudged(self, seed: int) -> dict[str, np.ndarray]:
        """Weights off by a few roundings: the drift that they make no bound can undercut."""
        random = np.random.default_rng(seed)
        sizes = {
            key: random.choice((-ROUNDINGS, ROUNDINGS), a.shape) for key, a in self.weights.items()
        }
        nudged = {key: a * (1 + sizes[key]) for key, a in self.weights.items()}
        return {key: array.astype(np.float32) for key, array in nudged.items()}

    def draw(self, networks: dict[str, Any]) -> None:
        """What the script draws in inference mode."""
        script, player = self.script, self.player
        first, *_ = networks.values()
        keras = FRAMEWORK == "keras"
        as_given = (lambda array: array) if keras else player.tensor
        images = self.score["images"][-1]
        if self.model in ("dcgan", "wgan", "gan", "cgan"):
            given = [self.score["noise"][-1, 0]]
            given += [self.score["labels"][-1]] if self.model == "cgan" else []
            drawn = {"sample": script.sample(first, *map(as_given, given))}
        elif self.model == "pix2pix":
            drawn = {"translate": script.translate(first, as_given(self.score["sources"][-1]))}
        elif self.model == "vae":
            decoder = networks["decoder"]
            drawn = {
                "encode": script.encode(first, as_given(images)),
                "decode": script.decode(decoder, as_given(self.score["codes"][-1])),
            }
        else:
            both = list(networks.values())
            if keras:
                both = [script.join(*both, self.player.sgd(both, 0.0))]
            drawn = {"reconstruct": script.reconstruct(*both, as_given(images))}
        for name, value in drawn.items():
            self.answer[f"inference/{name}"] = first_axis(player.numpy(value))


def main() -> None:
    bridge.set_seed(0)
    bridge.find_device("cpu")
    kinks = Kinks() if FRAMEWORK == "pytorch" else None
    for model in MODELS:
        answer = Performance(model, kinks).play()
        np.savez(Path(FOLDER) / f"{model}-{PLAYER}.npz", allow_pickle=False, **answer)


if __name__ == "__main__":
    main()
