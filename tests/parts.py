"""What each model is, spelled out from its description: the score that all frameworks play from.

Shapes are PyTorch's. Pictures are small and not square, so that a swapped axis shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Shapes = dict[str, tuple[int, ...]]

BATCH, STEPS, CHANNELS, CLASSES = 4, 20, 3, 3
LATENT = 100
RATE = 2e-4  # of the optimisers under test
NUDGES = 3  # runs of PyTorch from weights that are off by a few roundings


@dataclass(frozen=True)
class Part:
    """A model's score.

    Attributes:
        size: height and width of its pictures.
        networks: class by name, as a script makes them.
        arguments: of the networks' constructors, after the image's shape.
        inputs: by network, the parts of the score that it is played on.
        parameters: shapes by name, without the network's.
        stages: shape of each layer's output by name, without the network's.
        step: the parts of the score that `train_step` takes, in order.
        losses: loss functions, and the shapes of what each is given.
        joint: whether one optimiser updates all networks.
        keras: the function of the Keras script that makes what `train_step` trains.
        optimizer: adam or rmsprop.
        low: value of black.
        seed: of the score; one for which no activation lies on a kink.
        margin: the least distance from a kink, in standard deviations.
        batch: images in a batch.
        update_bound: in learning rates, on how far one update leaves two frameworks apart.
        code: shape of what a decoder is given.
        constants: of the script, set to other values.
    """

    size: tuple[int, int]
    networks: dict[str, str]
    arguments: tuple[int, ...]
    inputs: dict[str, tuple[str, ...]]
    parameters: dict[str, Shapes]
    stages: dict[str, Shapes]
    step: tuple[str, ...]
    losses: dict[str, tuple[tuple[int, ...], ...]]
    joint: bool = False
    keras: str = "players"
    optimizer: str = "adam"
    low: float = -1.0
    seed: int = 0
    batch: int = BATCH
    margin: float = 1e-5
    update_bound: float = 5e-3
    code: tuple[int, ...] = ()
    constants: dict[str, float] = field(default_factory=dict)


def dense(inputs: int, outputs: int, name: str = "dense") -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def chain(*widths: int, start: int = 1) -> Shapes:
    """The parameters of dense1, dense2, … between layers of the given widths."""
    found: Shapes = {}
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=start):
        found |= dense(inputs, outputs, f"dense{number}")
    return found


def norm(name: str, channels: int) -> Shapes:
    keys = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{key}": (channels,) for key in keys}


def rows(**widths: int) -> Shapes:
    """Stages of shape (N, width)."""
    return {name: (BATCH, width) for name, width in widths.items()}


def autoencoder() -> Part:
    height, width = 12, 8
    size, latent = CHANNELS * height * width, 64
    return Part(
        (height, width),
        {"encoder": "Encoder", "decoder": "Decoder"},
        (latent,),
        {"encoder": ("images",), "decoder": ("codes",)},
        {"encoder": dense(size, latent), "decoder": dense(latent, size)},
        {"encoder": rows(dense=latent), "decoder": rows(dense=size)},
        ("images",),
        {"reconstruction_loss": ((BATCH, CHANNELS, 4, 2),) * 2},
        joint=True,
        keras="join",
        code=(latent,),
    )


def convolutional_autoencoder() -> Part:
    h, w = 3, 2
    return Part(
        (4 * h, 4 * w),
        {"encoder": "Encoder", "decoder": "Decoder"},
        (),
        {"encoder": ("images",), "decoder": ("codes",)},
        {
            "encoder": {
                "conv1.weight": (32, CHANNELS, 3, 3),
                "conv1.bias": (32,),
                "conv2.weight": (16, 32, 3, 3),
                "conv2.bias": (16,),
            },
            "decoder": {
                "deconv1.weight": (16, 32, 2, 2),
                "deconv1.bias": (32,),
                "deconv2.weight": (32, CHANNELS, 2, 2),
                "deconv2.bias": (CHANNELS,),
            },
        },
        {
            "encoder": {"conv1": (BATCH, 32, 4 * h, 4 * w), "conv2": (BATCH, 16, 2 * h, 2 * w)},
            "decoder": {
                "deconv1": (BATCH, 32, 2 * h, 2 * w),
                "deconv2": (BATCH, CHANNELS, 4 * h, 4 * w),
            },
        },
        ("images",),
        {"reconstruction_loss": ((BATCH, CHANNELS, 4, 2),) * 2},
        joint=True,
        keras="join",
        seed=1,
        code=(16, h, w),
    )


def variational_autoencoder() -> Part:
    height, width = 12, 8
    size, latent = CHANNELS * height * width, 2
    heads = dense(128, latent, "mean") | dense(128, latent, "logvar")
    return Part(
        (height, width),
        {"encoder": "Encoder", "decoder": "Decoder"},
        (latent,),
        {"encoder": ("images",), "decoder": ("codes",)},
        {"encoder": chain(size, 256, 128) | heads, "decoder": chain(latent, 128, 256, size)},
        {
            "encoder": rows(dense1=256, dense2=128, mean=latent, logvar=latent),
            "decoder": rows(dense1=128, dense2=256, dense3=size),
        },
        ("images", "codes"),
        {
            "reconstruction_loss": ((BATCH, CHANNELS, 4, 2),) * 2,
            "kl_divergence": ((BATCH, latent),) * 2,
        },
        joint=True,
        keras="join",
        low=0.0,
        code=(latent,),
    )


ADVERSARIAL = {"discriminator_loss": ((BATCH, 1),) * 2, "generator_loss": ((BATCH, 1),)}


def gan() -> Part:
    height, width = 12, 8
    size = CHANNELS * height * width
    return Part(
        (height, width),
        {"generator": "Generator", "discriminator": "Discriminator"},
        (LATENT,),
        {"generator": ("noise",), "discriminator": ("images",)},
        {
            "generator": chain(LATENT, 128, 256, 512, size),
            "discriminator": chain(size, 512, 256, 1),
        },
        {
            "generator": rows(dense1=128, dense2=256, dense3=512, dense4=size),
            "discriminator": rows(dense1=512, dense2=256, dense3=1),
        },
        ("images", "noise"),
        ADVERSARIAL,
        low=0.0,
    )


def deep(seed: int, told: int = 0, critic: str = "discriminator") -> Part:
    """DCGAN and what is built on it, with so many classes told to both networks."""
    height, width = 32, 16
    h, w = height // 16, width // 16
    upper, lower = (256, 512, 256, 128, CHANNELS), (CHANNELS + told, 32, 64, 128, 256)
    generator = dense(LATENT + told, 256 * h * w) | {"deconv4.bias": (CHANNELS,)}
    judge = {"conv1.bias": (32,)} | dense(256 * h * w, 1)
    drawn: Shapes = {"dense": (BATCH, 256 * h * w), "norm1": (BATCH, 256, h, w)}
    judged: Shapes = {"dense": (BATCH, 1)}
    for layer in (1, 2, 3, 4):
        generator |= norm(f"norm{layer}", upper[layer - 1])
        generator[f"deconv{layer}.weight"] = (*upper[layer - 1 : layer + 1], 5, 5)
        judge[f"conv{layer}.weight"] = (lower[layer], lower[layer - 1], 5, 5)
        drawn[f"deconv{layer}"] = (BATCH, upper[layer], 2**layer * h, 2**layer * w)
        seen = (BATCH, lower[layer], 2 ** (4 - layer) * h, 2 ** (4 - layer) * w)
        judged[f"conv{layer}"] = seen
        if layer < 4:
            drawn[f"norm{layer + 1}"] = drawn[f"deconv{layer}"]
        if layer > 1:
            judge |= norm(f"norm{layer}", lower[layer])
            judged[f"norm{layer}"] = seen
    also = ("labels",) if told else ()
    losses = ADVERSARIAL
    if critic == "critic":
        losses = {"critic_loss": ((BATCH, 1),) * 2, "generator_loss": ((BATCH, 1),)}
    return Part(
        (height, width),
        {"generator": "Generator", critic: critic.capitalize()},
        (LATENT, *([told] if told else [])),
        {"generator": ("noise", *also), critic: ("images", *also)},
        {"generator": generator, critic: judge},
        {"generator": drawn, critic: judged},
        ("images", *also, "noise"),
        losses,
        optimizer="rmsprop" if critic == "critic" else "adam",
        # A critic's gradients are differences of nearly equal numbers.
        update_bound=1.0 if critic == "critic" else 5e-3,
        seed=seed,
    )


def translator() -> Part:
    batch, height, width = 2, 64, 32
    h, w = height // 32, width // 32
    down = (CHANNELS, 64, 128, 256, 512, 512)
    up = (512, 512, 256, 128, 64, CHANNELS)
    generator: Shapes = {"conv1.bias": (64,), "deconv5.bias": (CHANNELS,)}
    drawn: Shapes = {}
    for layer in (1, 2, 3, 4, 5):
        generator[f"conv{layer}.weight"] = (down[layer], down[layer - 1], 4, 4)
        drawn[f"conv{layer}"] = (batch, down[layer], 2 ** (5 - layer) * h, 2 ** (5 - layer) * w)
        if layer > 1:
            generator |= norm(f"norm{layer}", down[layer])
            drawn[f"norm{layer}"] = drawn[f"conv{layer}"]
        joined = up[layer - 1] * (1 if layer == 1 else 2)  # with the mirror layer's features
        generator[f"deconv{layer}.weight"] = (joined, up[layer], 4, 4)
        drawn[f"deconv{layer}"] = (batch, up[layer], 2**layer * h, 2**layer * w)
        if layer < 5:
            generator |= norm(f"norm{layer + 5}", up[layer])
            drawn[f"norm{layer + 5}"] = drawn[f"deconv{layer}"]
    widths = (2 * CHANNELS, 64, 128, 256, 512, 1)
    sizes = ((), (16 * h, 16 * w), (8 * h, 8 * w), (4 * h, 4 * w))
    sizes += ((4 * h - 1, 4 * w - 1), (4 * h - 2, 4 * w - 2))
    judge: Shapes = {"conv1.bias": (64,), "conv5.bias": (1,)}
    judged: Shapes = {}
    for layer in (1, 2, 3, 4, 5):
        judge[f"conv{layer}.weight"] = (widths[layer], widths[layer - 1], 4, 4)
        judged[f"conv{layer}"] = (batch, widths[layer], *sizes[layer])
        if layer in (2, 3, 4):
            judge |= norm(f"norm{layer}", widths[layer])
            judged[f"norm{layer}"] = judged[f"conv{layer}"]
    patches, pictures = (batch, 1, 6, 2), (batch, CHANNELS, 4, 2)
    return Part(
        (height, width),
        {"generator": "Generator", "discriminator": "Discriminator"},
        (),
        {"generator": ("sources",), "discriminator": ("sources", "images")},
        {"generator": generator, "discriminator": judge},
        {"generator": drawn, "discriminator": judged},
        ("sources", "images"),
        {
            "discriminator_loss": (patches, patches),
            "adversarial_loss": (patches,),
            "reconstruction_loss": (pictures, pictures),
        },
        seed=94,
        batch=batch,
        margin=1e-6,  # it has a million activations, and some seed in a hundred comes this far
        constants={"DROPOUT": 0.0},  # frameworks draw it from sources of their own
    )


MAKERS: dict[str, Callable[[], Part]] = {
    "ae": autoencoder,
    "convae": convolutional_autoencoder,
    "vae": variational_autoencoder,
    "gan": gan,
    "dcgan": lambda: deep(seed=13),
    "cgan": lambda: deep(seed=37, told=CLASSES),
    "pix2pix": translator,
    "wgan": lambda: deep(seed=37, critic="critic"),
}
PARTS = {model: make() for model, make in MAKERS.items()}


def make_score(model: str) -> dict[str, np.ndarray]:
    """Weights, and all that a model is played on, `float32` in PyTorch's layout.

    Biases, scales and running averages start away from 0 and 1, so that a forgotten one shows.
    """
    part = PARTS[model]
    random = np.random.default_rng(part.seed)
    score: dict[str, np.ndarray] = {}
    for network, shapes in part.parameters.items():
        for name, shape in shapes.items():
            # As wide as keeps the size of what passes through, but 0.02 as DCGAN has it.
            spread = 0.02 if "norm1.weight" in shapes or "norm2.weight" in shapes else 0.1
            values = random.normal(0, spread, shape)
            if "norm" in name and name.endswith("weight"):
                values += 1
            if name.endswith("running_var"):
                values = random.uniform(0.5, 1.5, shape)
            score[f"{network}.{name}"] = values
    pictures = (STEPS, part.batch, CHANNELS, *part.size)
    score["images"] = random.uniform(part.low, 1, pictures)
    score["noise"] = random.uniform(-1, 1, (STEPS, 3, part.batch, LATENT))
    if model == "pix2pix":
        score["sources"] = random.uniform(-1, 1, pictures)
    if part.code:
        score["codes"] = random.normal(0, 1, (STEPS, part.batch, *part.code))
    for loss, shapes in part.losses.items():
        for number, shape in enumerate(shapes):
            score[f"{loss}/{number}"] = random.uniform(0.05, 0.95, shape)
    numbers = {name: values.astype(np.float32) for name, values in score.items()}
    return numbers | {"labels": random.integers(CLASSES, size=(STEPS, part.batch))}
