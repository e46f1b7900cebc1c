"""CycleGAN: two generators translate between two sets of images without pairs, in Keras.

Paper: Zhu, Park, Isola, Efros (2017), https://arxiv.org/abs/1703.10593
Run:   python keras/cyclegan.py --dataset horse2zebra --image-size 128 --width 64 --blocks 6
Page:  docs/models/cyclegan.md
Departures from the paper: smaller networks and images unless they are asked for; no jitter of size
and place; the learning rate falls with each step, not with each epoch. No convolution before an
instance norm has a bias, which the norm would take away again. Where the paper and its authors'
code differ, or the paper is silent, this is the code: the identity loss everywhere, the generators'
update first, zeros around the image where a stride halves it.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.start import check_flags

if __name__ == "__main__":
    check_flags(__file__)  # before the framework, whose import takes seconds

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # torch and jax do as well
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import numpy as np

import keras
from keras import layers, ops

from common.bridges import keras as bridge
from common.data import Domains
from common.data.pool import ImagePool
from common.pictures import DomainTranslations
from common.run import Run, Settings, launch

from optimizers import Adam
from own_layers import LeakyReLU, ReflectionPadding2D
from trainers import Trainer

CYCLE_WEIGHT = 10  # weight of the cycle loss in the generators' loss


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = 32  # three halvings must leave room for two more convolutions

    dataset: Annotated[
        str,
        "newts, imori, horse2zebra, apple2orange, summer2winter_yosemite, monet2photo or "
        "folder:PATH with a/ and b/ in it",
    ] = "newts"
    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images of each domain per step", 1] = 1
    learning_rate: Annotated[float, "step size of Adam in the first half of the steps", 0] = 2e-4
    width: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 16
    blocks: Annotated[int, "residual blocks of a generator", 1] = 3
    identity: Annotated[float, "weight of the identity loss; 0 leaves it out", 0] = 5.0
    pool_size: Annotated[int, "earlier fakes that a discriminator may be shown again", 0] = 50
    input: Annotated[str | None, "picture or folder to translate with --generate", "PATH"] = None
    direction: Annotated[
        str | None, "which way --generate translates (default: both)", ("a2b", "b2a")
    ] = None

    def make_task(self):
        """Unpaired images of two domains."""
        return Domains()


# N batch, C channels, H height, W width, f width of the networks


def preprocess(images):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""
    return images.astype(keras.config.floatx()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    return np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8)


def decay(config, step):
    """Learning rate of a step: constant for half of all steps, then falling linearly to 0."""
    return config.learning_rate * min(1, 2 * (1 - (step - 1) / config.steps))


class ResidualBlock(keras.Model):
    """Residual block, two convolutions and the input: (N, H, W, C) -> (N, H, W, C)."""

    def __init__(self, channels, **named):
        normal, norm = initial_settings()
        valid = {"kernel_size": 3, "padding": "valid", "use_bias": False, **normal}
        x = keras.Input((None, None, channels))
        # Reflection padding: zeros would show up as an edge.
        y = layers.Conv2D(channels, **valid, name="conv1")(ReflectionPadding2D(1)(x))
        y = layers.ReLU()(layers.GroupNormalization(**norm)(y))
        y = layers.Conv2D(channels, **valid, name="conv2")(ReflectionPadding2D(1)(y))
        y = layers.GroupNormalization(**norm)(y)
        super().__init__(x, layers.Add()([x, y]), **named)


class Generator(keras.Model):
    """Image to its translation into the other domain: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, width, blocks):
        channels = image_shape[-1]
        normal, norm = initial_settings()
        valid = {"kernel_size": 7, "padding": "valid", **normal}
        # Not "same", which at an odd kernel and a stride of 2 pads less in front than behind.
        by_two = {"kernel_size": 3, "strides": 2, "padding": "valid", "use_bias": False, **normal}
        # "same" would cut off a transposed convolution's last row and column, not its first.
        cut = layers.Cropping2D(((1, 0), (1, 0)))
        image = keras.Input(image_shape)
        x = ReflectionPadding2D(3)(image)
        x = layers.Conv2D(width, **valid, use_bias=False, name="conv1")(x)
        x = layers.ReLU()(layers.GroupNormalization(**norm)(x))  # (N, H, W, f)
        x = layers.Conv2D(2 * width, **by_two, name="conv2")(layers.ZeroPadding2D(1)(x))
        x = layers.ReLU()(layers.GroupNormalization(**norm)(x))  # (N, H / 2, W / 2, 2f)
        x = layers.Conv2D(4 * width, **by_two, name="conv3")(layers.ZeroPadding2D(1)(x))
        x = layers.ReLU()(layers.GroupNormalization(**norm)(x))  # (N, H / 4, W / 4, 4f)
        inner = y = keras.Input(x.shape[1:])
        for index in range(blocks):
            y = ResidualBlock(4 * width, name=str(index))(y)
        x = keras.Model(inner, y, name="blocks")(x)  # (N, H / 4, W / 4, 4f)
        x = cut(layers.Conv2DTranspose(2 * width, **by_two, name="deconv1")(x))
        x = layers.ReLU()(layers.GroupNormalization(**norm)(x))  # (N, H / 2, W / 2, 2f)
        x = cut(layers.Conv2DTranspose(width, **by_two, name="deconv2")(x))
        x = layers.ReLU()(layers.GroupNormalization(**norm)(x))  # (N, H, W, f)
        x = layers.Conv2D(channels, **valid, name="conv4")(ReflectionPadding2D(3)(x))
        super().__init__(image, layers.Activation("tanh")(x))  # (N, H, W, C)


class Discriminator(keras.Model):
    """Image to scores, one per patch of 70 pixels a side: near 1 for real, near 0 for fake."""

    def __init__(self, image_shape, width):
        normal, norm = initial_settings()
        # With a kernel of 4 and a stride of 2, "same" pads by 1 on every side.
        by_two = {"kernel_size": 4, "strides": 2, "padding": "same", **normal}
        # At a stride of 1, "same" would pad by 1 before and 2 after: padded by 1 on every side
        # instead, the image loses a row and a column.
        by_one = {"kernel_size": 4, "strides": 1, "padding": "valid", **normal}
        image = keras.Input(image_shape)
        x = layers.Conv2D(width, **by_two, name="conv1")(image)  # (N, H / 2, W / 2, f)
        x = LeakyReLU(negative_slope=0.2)(x)
        x = layers.Conv2D(2 * width, **by_two, use_bias=False, name="conv2")(x)
        x = layers.GroupNormalization(**norm)(x)  # (N, H / 4, W / 4, 2f)
        x = LeakyReLU(negative_slope=0.2)(x)
        x = layers.Conv2D(4 * width, **by_two, use_bias=False, name="conv3")(x)
        x = layers.GroupNormalization(**norm)(x)  # (N, H / 8, W / 8, 4f)
        x = layers.ZeroPadding2D(1)(LeakyReLU(negative_slope=0.2)(x))
        x = layers.Conv2D(8 * width, **by_one, use_bias=False, name="conv4")(x)
        x = layers.GroupNormalization(**norm)(x)
        x = layers.ZeroPadding2D(1)(LeakyReLU(negative_slope=0.2)(x))
        x = layers.Conv2D(1, **by_one, name="conv5")(x)  # (N, H / 8 - 2, W / 8 - 2, 1)
        super().__init__(image, x)


def initial_settings():
    """N(0, 0.02) as in the paper, biases 0."""
    # Without a SeedGenerator, an initialiser would return the same numbers at each use.
    seed = keras.random.SeedGenerator()
    normal = {"kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02, seed)}
    # Instance norm: as many groups as channels, no scale, no shift.
    return normal, {"groups": -1, "epsilon": 1e-5, "scale": False, "center": False}


def discriminator_loss(real_scores, fake_scores):
    """Half of (D(x) - 1)^2 + D(G(y))^2: real is 1, fake is 0."""
    return (ops.mean(ops.square(real_scores - 1)) + ops.mean(ops.square(fake_scores))) / 2


def adversarial_loss(fake_scores):
    """(D(G(x)) - 1)^2."""
    return ops.mean(ops.square(fake_scores - 1))


def absolute_error(images, others):
    """|x - y|, averaged over all pixels."""
    return keras.losses.MeanAbsoluteError()(others, images)


def generator_loss(losses, identity):
    """The adversarial loss + 10 times the cycle loss + the identity loss, if any, weighted."""
    loss = losses["adversarial_loss"] + CYCLE_WEIGHT * losses["cycle_loss"]
    return loss + identity * losses["identity_loss"] if identity else loss


class GeneratorTrainer(Trainer):
    """Images of a and b to losses, and their fakes: (N, H, W, C) twice -> (), (N, H, W, C)."""

    def __init__(self, networks, trained, identity):
        super().__init__(networks, trained)
        self.identity = identity

    def call(self, inputs):
        a, b = inputs
        a2b, b2a = self.generator_a2b, self.generator_b2a
        fake_a, fake_b = b2a(b), a2b(a)
        judged = self.discriminator_a(fake_a), self.discriminator_b(fake_b)
        losses = {
            "adversarial_loss": adversarial_loss(judged[0]) + adversarial_loss(judged[1]),
            "cycle_loss": absolute_error(b2a(fake_b), a) + absolute_error(a2b(fake_a), b),
        }
        if self.identity:  # an image already in the target domain should stay unchanged
            losses["identity_loss"] = absolute_error(b2a(a), a) + absolute_error(a2b(b), b)
        losses["generator_loss"] = generator_loss(losses, self.identity)
        self.add_loss(losses["generator_loss"])
        return losses | {"fake_a": fake_a, "fake_b": fake_b}


class DiscriminatorTrainer(Trainer):
    """Images of a and b, and fakes of each, to losses: four times (N, H, W, C) -> ()."""

    def call(self, inputs):
        a, b, fake_a, fake_b = inputs
        d_a, d_b = self.discriminator_a, self.discriminator_b
        losses = {
            "discriminator_a_loss": discriminator_loss(d_a(a), d_a(fake_a)),
            "discriminator_b_loss": discriminator_loss(d_b(b), d_b(fake_b)),
        }
        self.add_loss(losses["discriminator_a_loss"] + losses["discriminator_b_loss"])
        return losses


def swap(pool, fakes):
    """Replace some fakes by earlier ones from a pool: (N, H, W, C) -> (N, H, W, C)."""
    return pool.swap(ops.convert_to_numpy(fakes))


def train_step(trainers, pools, a, b, learning_rate):
    """Update the generators, then the discriminators on fakes from the pools."""
    for trainer in trainers.values():
        trainer.optimizer.learning_rate = learning_rate
    g_losses = trainers["generators"].train_on_batch([a, b], return_dict=True)
    fake_a, fake_b = g_losses.pop("fake_a"), g_losses.pop("fake_b")
    fake_a, fake_b = swap(pools["a"], fake_a), swap(pools["b"], fake_b)
    images = [a, b, fake_a, fake_b]
    d_losses = trainers["discriminators"].train_on_batch(images, return_dict=True)
    return g_losses | d_losses


def translate(networks, images, direction):
    """Translate images into the other domain, and back again."""
    there = networks[f"generator_{direction}"].predict_on_batch(images)
    back = networks[f"generator_{direction[::-1]}"].predict_on_batch(there)  # b2a for a2b
    return there, back


def build(config, image_shape):
    """Two generators, two discriminators, and an optimiser for each pair."""
    networks = {
        "generator_a2b": Generator(image_shape, config.width, config.blocks),
        "generator_b2a": Generator(image_shape, config.width, config.blocks),
        "discriminator_a": Discriminator(image_shape, config.width),
        "discriminator_b": Discriminator(image_shape, config.width),
    }
    generators, discriminators = (
        [name for name in networks if kind in name] for kind in ("generator", "discriminator")
    )
    judges = {name: networks[name] for name in discriminators}
    trainers = {
        "generators": GeneratorTrainer(networks, generators, config.identity),
        "discriminators": DiscriminatorTrainer(judges, discriminators),
    }
    adam = {"learning_rate": config.learning_rate, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}
    for trainer in trainers.values():
        trainer.compile(Adam(**adam))
    return networks, trainers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    bridge.prepare(config.seed, config.device, config.precision)
    networks, run.trainers = build(config, run.image_shape)
    pools = {domain: ImagePool(config.pool_size, run.random) for domain in ("a", "b")}

    def draw(images, direction):
        made = translate(networks, preprocess(images), direction)
        return tuple(postprocess(x) for x in made)

    pictures = DomainTranslations(run.data, draw, config.input, config.direction, run.folder.path)
    run.connect(bridge, networks, run.trainers, pictures, pools)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    a = preprocess(batch.sources)
    b = preprocess(batch.images)
    return train_step(run.trainers, run.pools, a, b, decay(run.config, run.step + 1))


def main():
    """Train, or translate with a checkpoint, as the command line says."""
    run = start()
    if run.config.generate:
        run.generate()
        return
    for batch in run.batches():
        run.log(learn(run, batch))


if __name__ == "__main__":
    launch(main)
