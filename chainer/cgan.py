"""Conditional GAN: a generator learns to draw images of a given class, in Chainer.

Paper: Mirza, Osindero (2014), https://arxiv.org/abs/1411.1784
Run:   python chainer/cgan.py --dataset cifar10
Page:  docs/models/cgan.md
Departures from the paper: the networks are DCGAN's (see dcgan.py). The generator sees the
class as a one-hot vector beside its noise, the discriminator as a plane of ones among planes of
zeros, a plane per class, beside the image's channels.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.start import check_flags

if __name__ == "__main__":
    check_flags(__file__)  # before the framework, whose import takes seconds

# The bridge mends Chainer for NumPy 2; on a CPU it replaces what is slow: see chainer_cpu.py.
from common.bridges import chainer as bridge  # isort: skip
import chainer
import chainer.functions as F
import chainer.links as L

from common.data import count_doublings
from common.pictures import ClassSamples
from common.run import Run, Settings, launch

from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 10_000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 32
    class_: Annotated[str | None, "with --generate: the one class to draw"] = None


# N batch, Z latent, K classes, C channels, H height, W width, f filters, d doublings,
# h = H / 2^d, w = W / 2^d


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = device.xp.moveaxis(device.send(images), -1, -3)
    return x.astype(chainer.config.dtype, order="C") / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x.array + 1) * 127.5).round().clip(0, 255).astype("uint8")
    return chainer.get_device("@numpy").send(images.transpose(0, 2, 3, 1))


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class UpBlock(chainer.Chain):
    """Twice the side, half the channels: (N, C, H, W) -> (N, C / 2, 2H, 2W)."""

    def __init__(self, channels):
        super().__init__()
        normal = chainer.initializers.Normal(0.02)
        double = {"ksize": 4, "stride": 2, "pad": 1, "nobias": True, "initialW": normal}
        norm = {"eps": 1e-5, "decay": 0.9, "initial_gamma": around_one}
        with self.init_scope():
            self.deconv = L.Deconvolution2D(channels, channels // 2, **double)
            self.norm = L.BatchNormalization(channels // 2, **norm)

    def forward(self, x):
        return F.relu(self.norm(self.deconv(x)))


class Generator(chainer.Chain):
    """Latent vector and class to image: (N, Z), (N,) -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, classes, filters):
        super().__init__()
        side, _, channels = image_shape
        doublings = count_doublings(side)  # 2 for 28 pixels, which are 7 * 2 * 2
        self.base = (filters * 2**doublings, side >> doublings, side >> doublings)
        self.classes = classes
        normal = chainer.initializers.Normal(0.02)
        double = {"ksize": 4, "stride": 2, "pad": 1, "initialW": normal}
        norm = {"eps": 1e-5, "decay": 0.9, "initial_gamma": around_one}
        with self.init_scope():
            self.dense = L.Linear(latent_dim + classes, math.prod(self.base), initialW=normal)
            self.norm = L.BatchNormalization(self.base[0], **norm)
            self.blocks = chainer.ChainList(
                *(UpBlock(self.base[0] // 2**n) for n in range(doublings - 1))
            )
            self.deconv = L.Deconvolution2D(2 * filters, channels, **double)

    def forward(self, z, labels):
        z = F.concat([z, one_hot(labels, self.classes)], 1)  # (N, Z + K)
        x = F.reshape(self.dense(z), (-1, *self.base))
        x = F.relu(self.norm(x))  # (N, f * 2^d, h, w)
        for block in self.blocks:
            x = block(x)  # (N, 2f, H / 2, W / 2)
        return F.tanh(self.deconv(x))  # (N, C, H, W)


class DownBlock(chainer.Chain):
    """Half the side, twice the channels: (N, C, H, W) -> (N, 2C, H / 2, W / 2)."""

    def __init__(self, channels):
        super().__init__()
        normal = chainer.initializers.Normal(0.02)
        half = {"ksize": 4, "stride": 2, "pad": 1, "nobias": True, "initialW": normal}
        norm = {"eps": 1e-5, "decay": 0.9, "initial_gamma": around_one}
        with self.init_scope():
            self.conv = L.Convolution2D(channels, 2 * channels, **half)
            self.norm = L.BatchNormalization(2 * channels, **norm)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class Discriminator(chainer.Chain):
    """Image and class to logit, high if it looks real: (N, C, H, W), (N,) -> (N, 1)."""

    def __init__(self, image_shape, classes, filters):
        super().__init__()
        side, _, channels = image_shape
        halvings = count_doublings(side)
        left = (side >> halvings) - 3  # the last convolution is not padded
        width = filters * 2 ** (halvings - 1)
        self.classes = classes
        normal = chainer.initializers.Normal(0.02)
        half = {"ksize": 4, "stride": 2, "pad": 1, "initialW": normal}
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels + classes, filters, **half)
            self.blocks = chainer.ChainList(
                *(DownBlock(filters * 2**n) for n in range(halvings - 1))
            )
            self.conv2 = L.Convolution2D(width, 2 * width, ksize=4, initialW=normal)
            self.dense = L.Linear(2 * width * left * left, 1, initialW=normal)

    def forward(self, x, labels):
        planes = one_hot(labels, self.classes)[:, :, None, None]  # (N, K, 1, 1)
        planes = F.broadcast_to(planes, (*planes.shape[:2], *x.shape[2:]))
        x = F.concat([x, planes], 1)  # (N, C + K, H, W)
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, H / 2, W / 2)
        for block in self.blocks:
            x = block(x)  # (N, f * 2^(d - 1), h, w)
        x = F.leaky_relu(self.conv2(x), 0.2)  # (N, f * 2^d, h - 3, w - 3)
        return self.dense(x)  # (N, 1); L.Linear flattens


def one_hot(labels, classes):
    """Class indices to vectors: (N,) -> (N, K)."""
    xp = chainer.backend.get_array_module(labels)
    return xp.eye(classes, dtype=chainer.config.dtype)[labels]


def around_one(array):
    """Scales of batch norm N(1, 0.02), as in DCGAN's code."""
    chainer.initializers.Normal(0.02)(array)
    array += 1


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(G(z))): real is 1, fake is 0."""
    xp = chainer.backend.get_array_module(real_logits)
    real = F.sigmoid_cross_entropy(real_logits, xp.ones(real_logits.shape, "i"))
    fake = F.sigmoid_cross_entropy(fake_logits, xp.zeros(fake_logits.shape, "i"))
    return real + fake


def generator_loss(fake_logits):
    """-log D(G(z)): the non-saturating loss."""
    xp = chainer.backend.get_array_module(fake_logits)
    return F.sigmoid_cross_entropy(fake_logits, xp.ones(fake_logits.shape, "i"))


def train_step(networks, optimizers, images, labels, noise):
    """Update D on real images and on fakes, then G on what D now says of these; noise is (N, Z)."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    fakes = generator(noise, labels)
    # Real and fake images pass separately, so that batch norm never mixes their statistics.
    real_logits = discriminator(images, labels)
    d_loss = discriminator_loss(real_logits, discriminator(fakes.array, labels))
    discriminator.cleargrads()
    d_loss.backward()
    optimizers["discriminator"].update()

    g_loss = generator_loss(discriminator(fakes, labels))
    generator.cleargrads()
    g_loss.backward()
    optimizers["generator"].update()
    return {"discriminator_loss": d_loss.array, "generator_loss": g_loss.array}


def sample(generator, noise, labels):
    """Draw an image of each class, with the running averages of batch norm."""
    with chainer.no_backprop_mode(), chainer.using_config("train", False):
        return generator(noise, labels)


def build(config, image_shape, classes, device):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, classes, config.filters),
        "discriminator": Discriminator(image_shape, classes, config.filters),
    }
    adam = {"alpha": config.learning_rate, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8}
    optimizers = {}
    for name, network in networks.items():
        network.to_device(device)
        optimizers[name] = Adam(**adam).setup(network)
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    device = run.device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, len(run.class_names), device)

    def draw(noise, labels):
        noise, labels = device.send(noise), device.send(labels)
        return postprocess(sample(networks["generator"], noise, labels))

    pictures = ClassSamples(run.data, config, draw_noise, draw, config.class_)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images, run.device)
    labels = run.device.send(batch.labels)
    noise = run.device.send(run.draw(draw_noise))
    return train_step(run.networks, run.optimizers, images, labels, noise)


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = start()
    if run.config.generate:
        run.generate()
        return
    for batch in run.batches():
        run.log(learn(run, batch))


if __name__ == "__main__":
    launch(main)
