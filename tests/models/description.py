"""What a test needs to know of a model: its weights, settings and losses, and how it is trained."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from common.data import Task
from common.pictures.images import grid
from tests.reference.autograd import Value

Arrays = dict[str, np.ndarray]
Config = dict[str, Any]
ImageShape = tuple[int, int, int]  # height, width, channels


# Weights: shapes in PyTorch's layouts, and where they start.

SAMPLE = 100_000  # numbers of a weight whose distribution is looked at


@dataclass(frozen=True)
class Weight:
    """A tensor of a checkpoint.

    Attributes:
        shape: in PyTorch's layout.
        initial: where training starts: `glorot`, `he`, `normal` (0, 0.02), `scale` (N(1, 0.02)),
            `zero` or `one`.
    """

    shape: tuple[int, ...]
    initial: str

    @property
    def limit(self) -> float:
        """Of Glorot's uniform weights: sqrt(6 / (fan_in + fan_out)); Glorot, Bengio (2010)."""
        return float(np.sqrt(6 / (np.prod(self.shape[2:]) * sum(self.shape[:2]))))

    @property
    def deviation(self) -> float:
        """Of normal weights; He's are sqrt(2 / fan out): He and others (2015)."""
        if self.initial == "he":
            return float(np.sqrt(2 / (self.shape[0] * np.prod(self.shape[2:]))))
        return 0.02

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Initial numbers, float64."""
        if self.initial == "glorot":
            return random.uniform(-self.limit, self.limit, self.shape)
        if self.initial in ("normal", "he"):
            return random.normal(0, self.deviation, self.shape)
        if self.initial == "scale":
            return random.normal(1, 0.02, self.shape)
        return np.full(self.shape, {"zero": 0.0, "one": 1.0}[self.initial])

    def agrees(self, array: np.ndarray) -> bool:
        """Whether numbers can be initial ones; wrong of true ones once in a million times.

        Kolmogorov and Smirnov: the share of n numbers below x strays from its expectation by more
        than 2.7 / sqrt(n), anywhere, with probability 2 exp(-2 * 2.7^2).
        """
        from scipy.special import ndtr

        if array.shape != self.shape:
            return False
        if self.initial in ("zero", "one"):
            return bool((array == {"zero": 0, "one": 1}[self.initial]).all())
        x = np.sort(array.ravel()[:: max(1, array.size // SAMPLE)].astype(np.float64))
        if self.initial == "glorot":
            expected = np.clip((x / self.limit + 1) / 2, 0, 1)
            if np.abs(x).max() > 1.001 * self.limit:
                return False
        else:
            expected = ndtr((x - (self.initial == "scale")) / self.deviation)
        below, upto = np.arange(x.size) / x.size, np.arange(1, x.size + 1) / x.size
        strays = max((expected - below).max(), (upto - expected).max())
        return bool(strays < 2.7 / np.sqrt(x.size))


Weights = dict[str, Weight]


def dense(name: str, inputs: int, outputs: int, initial: str, bias: bool = True) -> Weights:
    return _with_bias(name, Weight((outputs, inputs), initial), outputs, bias)


def conv(
    name: str, inputs: int, outputs: int, kernel: int, initial: str, bias: bool = True
) -> Weights:
    return _with_bias(name, Weight((outputs, inputs, kernel, kernel), initial), outputs, bias)


def deconv(
    name: str, inputs: int, outputs: int, kernel: int, initial: str, bias: bool = True
) -> Weights:
    return _with_bias(name, Weight((inputs, outputs, kernel, kernel), initial), outputs, bias)


def norm(name: str, channels: int, scale: str) -> Weights:
    """Batch norm's, whose scale starts as `scale` says."""
    starts = {"weight": scale, "bias": "zero", "running_mean": "zero", "running_var": "one"}
    return {f"{name}.{key}": Weight((channels,), initial) for key, initial in starts.items()}


def group_norm(name: str, channels: int) -> Weights:
    return {
        f"{name}.weight": Weight((channels,), "one"),
        f"{name}.bias": Weight((channels,), "zero"),
    }


def _with_bias(name: str, weight: Weight, outputs: int, bias: bool) -> Weights:
    found = {f"{name}.weight": weight}
    return found | {f"{name}.bias": Weight((outputs,), "zero")} if bias else found


# Pixels: uint8 (..., H, W, C) outside of networks, float64 (..., C, H, W) inside.


def to_tanh(images: np.ndarray) -> np.ndarray:
    """0 to 255 becomes -1 to 1, the range of a tanh."""
    return np.moveaxis(images, -1, -3) / 127.5 - 1


def from_tanh(x: Value) -> np.ndarray:
    return _to_bytes((x.data + 1) * 127.5)


def to_sigmoid(images: np.ndarray) -> np.ndarray:
    """0 to 255 becomes 0 to 1, the range of a sigmoid."""
    return np.moveaxis(images, -1, -3) / 255


def from_sigmoid(x: Value) -> np.ndarray:
    return _to_bytes(x.data * 255)


def _to_bytes(levels: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.clip(np.rint(levels), 0, 255), -3, -1).astype(np.uint8)


# Training.


class Reference:
    """A model and its training, in float64 and plain NumPy.

    Args:
        arrays: all networks' parameters and running averages, by checkpoint key; copied.
        config: the settings of the run.
        image_shape: of the images that the networks see.
        classes: how many the data set has.

    Attributes:
        arrays: as given, changed in place by each step.
    """

    def __init__(
        self, arrays: Arrays, config: Config, image_shape: ImageShape, classes: int
    ) -> None:
        self.arrays = {
            name: np.array(array, np.float64, order="C") for name, array in arrays.items()
        }
        self.config = config
        self.image_shape = image_shape
        self.classes = classes

    def part(self, network: str) -> Arrays:
        """The arrays of one network, themselves, by their names in it."""
        prefix = network + "."
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        """One training step; it draws its noise from `random`, as the script's does.

        Args:
            batch: images `uint8` (N, H, W, C), labels (N,) and sources of the suite's `Batches`;
                where the model takes several batches a step, they are stacked.
            random: the run's one source of chance.

        Returns:
            The losses that are logged.
        """
        raise NotImplementedError

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """What the network draws for the sample picture: `uint8` (N, H, W, C), in its order.

        Args:
            dataset: its test split has the images that are restored or translated.
            random: of the noise that samples are drawn from.
        """
        raise NotImplementedError

    def compose(self, dataset: Any, drawn: np.ndarray) -> np.ndarray:
        """The sample picture of what `draw` has drawn: `uint8` (H, W, C)."""
        return grid(drawn)

    def test(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        """The losses of test images and labels, as in `step`; none for most models."""
        return {}


def choose(dataset: Any, count: int) -> Any:
    """The part of a test split that sample pictures show."""
    most = len(dataset.test)
    return dataset.test.take(np.random.default_rng(0).choice(most, min(count, most), replace=False))


def numbers(losses: dict[str, Value]) -> dict[str, float]:
    return {name: float(loss.data) for name, loss in losses.items()}


def as_flags(settings: Config) -> list[str]:
    """Settings as a command line has them."""
    return [
        word
        for name, value in settings.items()
        for word in ("--" + name.rstrip("_").replace("_", "-"), str(value))
    ]


# The description.


@dataclass(frozen=True)
class Model:
    """A model, as the tests know it.

    Attributes:
        defaults: the settings that the script's `Config` has to have.
        proof: the settings of its proof, besides those that all models share; not the defaults,
            so that a flag that is ignored shows. Where there is batch norm, it needs more than
            four numbers per channel in most layers, and some room after the last convolution:
            else rounding grows too fast, and the order of axes in flattening does not show.
        networks: for an image's shape, settings and a number of classes: the weights by name, by
            network.
        classes: the networks' classes in the scripts, by network.
        optimizers: by name, the networks that each one updates.
        losses: the names logged, in order.
        reference: its training in NumPy.
        task: for settings, what it learns from its data set.
        size_multiple: what the sides of images have to be a multiple of; None if they are 4 to 7
            pixels, doubled any number of times.
        batches: what a step takes.
        may_rest: weights that a step may leave as they are.
        below_dropout: layers whose output all passes through dropout.
        above_dropout: batch norms of convolutions whose input has passed through dropout.
        prints: beginnings of lines that a proof ends with, besides the losses of the test split.
        from_chance: the settings with which all weights are drawn at random.
        decays: whether the learning rate depends on how many steps a run has.
    """

    defaults: Config
    proof: Config
    networks: Callable[[ImageShape, Config, int], dict[str, Weights]]
    classes: dict[str, str]
    optimizers: dict[str, tuple[str, ...]]
    losses: tuple[str, ...]
    reference: type[Reference]
    task: Callable[[Config], Task] = lambda _: Task()
    size_multiple: int | None = 1
    batches: int = 1
    may_rest: Collection[str] = ()
    below_dropout: Collection[str] = ()
    above_dropout: Collection[str] = ()
    prints: Collection[str] = ()
    from_chance: Config = field(default_factory=dict)
    decays: bool = False

    FIXED: ClassVar[str] = ".running_"  # in the names of what no optimiser updates

    @property
    def flags(self) -> list[str]:
        """The settings of the proof as a command line has them."""
        return as_flags(self.proof)

    @property
    def small_flags(self) -> list[str]:
        """Of a small run, with the dropout and the latent space that the model has by default."""
        chosen = ("dropout", "latent_dim")
        settings = {key: value for key, value in self.proof.items() if key not in chosen}
        settings["image_size"] = max(self.size_multiple or 1, 8)
        return as_flags(settings | self.from_chance)

    def weights(self, image_shape: ImageShape, config: Config, classes: int) -> Weights:
        """All weights by checkpoint key."""
        return {
            f"{network}.{name}": weight
            for network, weights in self.networks(image_shape, config, classes).items()
            for name, weight in weights.items()
        }

    def make_start(
        self,
        image_shape: ImageShape,
        config: Config,
        classes: int,
        random: np.random.Generator,
    ) -> Arrays:
        """A checkpoint to begin a proof with, float64.

        Biases, scales and running averages start away from 0 and 1, so that a forgotten one shows.
        Weights of deviation 0.02 start wider, at 0.05: then a step changes the networks less, and
        rounding grows less from step to step (DCGAN: to 4e-13 of a loss in 50 steps, not 1e-11).
        Glorot's start wider too, so that autoencoders draw levels beyond black and white.
        """
        start = {}
        for name, weight in self.weights(image_shape, config, classes).items():
            array = weight.draw(random)
            if name.endswith(".running_var"):
                array = random.uniform(0.5, 1.5, weight.shape)
            elif array.ndim == 1:
                array += random.normal(0, 0.1, weight.shape)
            else:
                array *= {"normal": 2.5, "glorot": 2.0, "he": 1.0}[weight.initial]
            start[name] = array
        return start

    def check_initial(
        self, arrays: Arrays, image_shape: ImageShape, config: Config, classes: int
    ) -> list[str]:
        """What is wrong with a checkpoint of step 0: keys, shapes and numbers; empty if nothing."""
        expected = self.weights(image_shape, config, classes)
        wrong = [f"{name} is missing" for name in expected if name not in arrays]
        wrong += [f"{name} is not known" for name in arrays if name not in expected]
        for name, weight in expected.items():
            if name in arrays and not weight.agrees(arrays[name]):
                wrong.append(f"{name} is not {weight.initial} of shape {weight.shape}")
        return wrong
