"""CycleGAN: two generators translate between two sets of images without pairs, in TensorFlow.

Paper: Zhu, Park, Isola, Efros (2017), https://arxiv.org/abs/1703.10593
Run:   python tensorflow/cyclegan.py --dataset horse2zebra --image-size 128 --width 64 --blocks 6
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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: only errors
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # quick convolutions, without AVX-512 too

import tensorflow as tf

from common.bridges import tensorflow as bridge
from common.data import Domains
from common.data.pool import ImagePool
from common.pictures import DomainTranslations
from common.run import Run, Settings, launch

import layers
from optimizers import Adam

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
    return tf.cast(images, bridge.default_dtype()) / 127.5 - 1


def postprocess(x):
    """The inverse: (N, H, W, C) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = tf.clip_by_value(tf.round((x + 1) * 127.5), 0, 255)
    return tf.cast(images, tf.uint8).numpy()


def decay(config, step):
    """Learning rate of a step: constant for half of all steps, then falling linearly to 0."""
    return config.learning_rate * min(1, 2 * (1 - (step - 1) / config.steps))


class ResidualBlock(tf.Module):
    """Residual block, two convolutions and the input: (N, H, W, C) -> (N, H, W, C)."""

    def __init__(self, channels):
        super().__init__()
        valid = {"kernel_size": 3, "padding": "VALID", "use_bias": False}
        self.conv1 = layers.Conv2D(channels, channels, **valid)
        self.conv2 = layers.Conv2D(channels, channels, **valid)

    def __call__(self, x):
        # Reflection padding: zeros would show up as an edge.
        y = self.conv1(layers.pad(x, 1, "REFLECT"))
        y = tf.nn.relu(layers.instance_norm(y, epsilon=1e-5))
        y = self.conv2(layers.pad(y, 1, "REFLECT"))
        return x + layers.instance_norm(y, epsilon=1e-5)


class Generator(tf.Module):
    """Image to its translation into the other domain: (N, H, W, C) -> (N, H, W, C) in [-1, 1]."""

    def __init__(self, image_shape, width, blocks):
        super().__init__()
        channels = image_shape[-1]
        valid = {"kernel_size": 7, "padding": "VALID"}
        # Not "SAME", whose zeros lie elsewhere: see `layers.pad`.
        by_two = {"kernel_size": 3, "strides": 2, "padding": "VALID", "use_bias": False}
        self.conv1 = layers.Conv2D(channels, width, **valid, use_bias=False)
        self.conv2 = layers.Conv2D(width, 2 * width, **by_two)
        self.conv3 = layers.Conv2D(2 * width, 4 * width, **by_two)
        self.blocks = [ResidualBlock(4 * width) for _ in range(blocks)]
        self.deconv1 = layers.Conv2DTranspose(4 * width, 2 * width, **by_two)
        self.deconv2 = layers.Conv2DTranspose(2 * width, width, **by_two)
        self.conv4 = layers.Conv2D(width, channels, **valid)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x):
        x = self.conv1(layers.pad(x, 3, "REFLECT"))  # (N, H, W, f)
        x = tf.nn.relu(layers.instance_norm(x, epsilon=1e-5))
        x = self.conv2(layers.pad(x, 1))  # (N, H / 2, W / 2, 2f)
        x = tf.nn.relu(layers.instance_norm(x, epsilon=1e-5))
        x = self.conv3(layers.pad(x, 1))  # (N, H / 4, W / 4, 4f)
        x = tf.nn.relu(layers.instance_norm(x, epsilon=1e-5))
        for block in self.blocks:
            x = block(x)  # (N, H / 4, W / 4, 4f)
        # "VALID" makes a row and a column too many: "SAME" would cut off the last, not the first.
        x = self.deconv1(x)[:, 1:, 1:]  # (N, H / 2, W / 2, 2f)
        x = tf.nn.relu(layers.instance_norm(x, epsilon=1e-5))
        x = self.deconv2(x)[:, 1:, 1:]  # (N, H, W, f)
        x = tf.nn.relu(layers.instance_norm(x, epsilon=1e-5))
        return tf.tanh(self.conv4(layers.pad(x, 3, "REFLECT")))  # (N, H, W, C)


class Discriminator(tf.Module):
    """Image to scores, one per patch of 70 pixels a side: near 1 for real, near 0 for fake."""

    def __init__(self, image_shape, width):
        super().__init__()
        channels = image_shape[-1]
        by_two = {"kernel_size": 4, "strides": 2, "padding": "SAME"}
        # Of an image padded by 1 on every side: a row and a column less.
        by_one = {"kernel_size": 4, "strides": 1, "padding": "VALID"}
        self.conv1 = layers.Conv2D(channels, width, **by_two)
        self.conv2 = layers.Conv2D(width, 2 * width, **by_two, use_bias=False)
        self.conv3 = layers.Conv2D(2 * width, 4 * width, **by_two, use_bias=False)
        self.conv4 = layers.Conv2D(4 * width, 8 * width, **by_one, use_bias=False)
        self.conv5 = layers.Conv2D(8 * width, 1, **by_one)
        for layer in self.submodules:
            initialize(layer)

    def __call__(self, x):
        x = layers.leaky_relu(self.conv1(x), 0.2)  # (N, H / 2, W / 2, f)
        x = self.conv2(x)  # (N, H / 4, W / 4, 2f)
        x = layers.leaky_relu(layers.instance_norm(x, epsilon=1e-5), 0.2)
        x = self.conv3(x)  # (N, H / 8, W / 8, 4f)
        x = layers.leaky_relu(layers.instance_norm(x, epsilon=1e-5), 0.2)
        x = self.conv4(layers.pad(x, 1))
        x = layers.leaky_relu(layers.instance_norm(x, epsilon=1e-5), 0.2)
        return self.conv5(layers.pad(x, 1))  # (N, H / 8 - 2, W / 8 - 2, 1)


def initialize(layer):
    """N(0, 0.02) as in the paper, biases 0."""
    if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose):
        layer.kernel.assign(layers.random_normal(layer.kernel.shape, 0.0, 0.02))


def discriminator_loss(real_scores, fake_scores):
    """Half of (D(x) - 1)^2 + D(G(y))^2: real is 1, fake is 0."""
    return (tf.reduce_mean((real_scores - 1) ** 2) + tf.reduce_mean(fake_scores**2)) / 2


def adversarial_loss(fake_scores):
    """(D(G(x)) - 1)^2."""
    return tf.reduce_mean((fake_scores - 1) ** 2)


def absolute_error(images, others):
    """|x - y|, averaged over all pixels."""
    return tf.reduce_mean(tf.abs(images - others))


def generator_loss(losses, identity):
    """The adversarial loss + 10 times the cycle loss + the identity loss, if any, weighted."""
    loss = losses["adversarial_loss"] + CYCLE_WEIGHT * losses["cycle_loss"]
    return loss + identity * losses["identity_loss"] if identity else loss


def generator_step(networks, optimizers, a, b, identity):
    """Update both generators in both directions; return the losses and the fakes of a and b."""
    a2b, b2a = networks["generator_a2b"], networks["generator_b2a"]
    d_a, d_b = networks["discriminator_a"], networks["discriminator_b"]
    with tf.GradientTape() as tape:
        fake_a, fake_b = b2a(b), a2b(a)
        losses = {
            "adversarial_loss": adversarial_loss(d_a(fake_a)) + adversarial_loss(d_b(fake_b)),
            "cycle_loss": absolute_error(b2a(fake_b), a) + absolute_error(a2b(fake_a), b),
        }
        if identity:  # an image already in the target domain should stay unchanged
            losses["identity_loss"] = absolute_error(b2a(a), a) + absolute_error(a2b(b), b)
        losses["generator_loss"] = generator_loss(losses, identity)
    variables = (*a2b.trainable_variables, *b2a.trainable_variables)
    gradients = tape.gradient(losses["generator_loss"], variables)
    optimizers["generators"].apply(gradients)
    return losses, fake_a, fake_b


def discriminator_step(networks, optimizers, a, b, fake_a, fake_b):
    """Update both discriminators on real and fake images of their own domain."""
    d_a, d_b = networks["discriminator_a"], networks["discriminator_b"]
    with tf.GradientTape() as tape:
        losses = {
            "discriminator_a_loss": discriminator_loss(d_a(a), d_a(fake_a)),
            "discriminator_b_loss": discriminator_loss(d_b(b), d_b(fake_b)),
        }
        loss = losses["discriminator_a_loss"] + losses["discriminator_b_loss"]
    gradients = tape.gradient(loss, (*d_a.trainable_variables, *d_b.trainable_variables))
    optimizers["discriminators"].apply(gradients)
    return losses


def swap(pool, fakes):
    """Replace some fakes by earlier ones from a pool: (N, H, W, C) -> (N, H, W, C)."""
    # A pool is Python's, not the graph's.
    shown = tf.numpy_function(pool.swap, [fakes], fakes.dtype)
    return tf.ensure_shape(shown, fakes.shape)


@tf.function
def train_step(networks, optimizers, pools, a, b, learning_rate, identity):
    """Update the generators, then the discriminators on fakes from the pools."""
    for optimizer in optimizers.values():
        optimizer.learning_rate.assign(learning_rate)
    g_losses, fake_a, fake_b = generator_step(networks, optimizers, a, b, identity)
    fake_a, fake_b = swap(pools["a"], fake_a), swap(pools["b"], fake_b)
    d_losses = discriminator_step(networks, optimizers, a, b, fake_a, fake_b)
    return g_losses | d_losses


@tf.function
def translate(networks, images, direction):
    """Translate images into the other domain, and back again."""
    there = networks[f"generator_{direction}"](images)
    return there, networks[f"generator_{direction[::-1]}"](there)  # b2a for a2b


def build(config, image_shape):
    """Two generators, two discriminators, and an optimiser for each pair."""
    networks = {
        "generator_a2b": Generator(image_shape, config.width, config.blocks),
        "generator_b2a": Generator(image_shape, config.width, config.blocks),
        "discriminator_a": Discriminator(image_shape, config.width),
        "discriminator_b": Discriminator(image_shape, config.width),
    }
    # A variable: a Python number would become a constant of the graph.
    rate = tf.Variable(config.learning_rate, trainable=False, dtype=bridge.default_dtype())
    adam = {"learning_rate": rate, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}
    optimizers = {
        f"{kind}s": Adam(
            [v for name, n in networks.items() if kind in name for v in n.trainable_variables],
            **adam,
        )
        for kind in ("generator", "discriminator")
    }
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    run.strategy = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape)
    pools = {domain: ImagePool(config.pool_size, run.random) for domain in ("a", "b")}

    def draw(images, direction):
        made = translate(networks, preprocess(images), direction)
        return tuple(postprocess(x) for x in made)

    pictures = DomainTranslations(run.data, draw, config.input, config.direction, run.folder.path)
    run.connect(bridge, networks, optimizers, pictures, pools)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    a = preprocess(batch.sources)
    b = preprocess(batch.images)
    rate = tf.constant(decay(run.config, run.step + 1), bridge.default_dtype())
    inputs = (run.pools, a, b, rate, run.config.identity)
    return run.strategy.run(train_step, (run.networks, run.optimizers, *inputs))


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
