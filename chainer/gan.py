"""GAN: a generator and a discriminator, fully connected, learn to draw images, in Chainer.

Paper: Goodfellow and others (2014), https://arxiv.org/abs/1406.2661
Run:   python chainer/gan.py --dataset mnist
Page:  docs/models/gan.md
Departures from the paper: leaky ReLU in place of maxout, no dropout, Adam, and batch norm in the
generator, without which its samples all look alike.
"""

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

from common.pictures import Samples
from common.run import Run, Settings, launch

from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 3000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100


# N batch, Z latent, C channels, H height, W width


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [0, 1]."""
    x = device.xp.moveaxis(device.send(images), -1, -3)
    return x.astype(chainer.config.dtype, order="C") / 255


def postprocess(x):
    """The inverse: (N, C, H, W) in [0, 1] -> (N, H, W, C) in [0, 255]."""
    images = (x.array * 255).round().clip(0, 255).astype("uint8")
    return chainer.get_device("@numpy").send(images.transpose(0, 2, 3, 1))


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class Generator(chainer.Chain):
    """Latent vector to image: (N, Z) -> (N, C, H, W) in [0, 1]."""

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.shape = (channels, height, width)
        glorot = {"initialW": chainer.initializers.GlorotUniform()}
        norm = {"eps": 1e-5, "decay": 0.9}
        with self.init_scope():
            self.dense1 = L.Linear(latent_dim, 128, **glorot)
            self.dense2 = L.Linear(128, 256, **glorot, nobias=True)
            self.norm2 = L.BatchNormalization(256, **norm)
            self.dense3 = L.Linear(256, 512, **glorot, nobias=True)
            self.norm3 = L.BatchNormalization(512, **norm)
            self.dense4 = L.Linear(512, channels * height * width, **glorot)

    def forward(self, z):
        x = F.leaky_relu(self.dense1(z), 0.2)  # (N, 128)
        x = F.leaky_relu(self.norm2(self.dense2(x)), 0.2)  # (N, 256)
        x = F.leaky_relu(self.norm3(self.dense3(x)), 0.2)  # (N, 512)
        x = F.sigmoid(self.dense4(x))  # (N, C * H * W)
        return F.reshape(x, (-1, *self.shape))  # (N, C, H, W)


class Discriminator(chainer.Chain):
    """Image to logit, high if it looks real: (N, C, H, W) -> (N, 1)."""

    def __init__(self, image_shape):
        super().__init__()
        height, width, channels = image_shape
        glorot = {"initialW": chainer.initializers.GlorotUniform()}
        with self.init_scope():
            self.dense1 = L.Linear(channels * height * width, 512, **glorot)
            self.dense2 = L.Linear(512, 256, **glorot)
            self.dense3 = L.Linear(256, 1, **glorot)

    def forward(self, x):
        x = F.leaky_relu(self.dense1(x), 0.2)  # (N, 512); L.Linear flattens
        x = F.leaky_relu(self.dense2(x), 0.2)  # (N, 256)
        return self.dense3(x)  # (N, 1); no sigmoid, for the losses are from logits


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


def train_step(networks, optimizers, images, noise):
    """Update D on real and fake images, then G on fresh noise; noise is (2, N, Z)."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    with chainer.no_backprop_mode():
        fakes = generator(noise[0]).array
    d_loss = discriminator_loss(discriminator(images), discriminator(fakes))
    discriminator.cleargrads()
    d_loss.backward()
    optimizers["discriminator"].update()

    g_loss = generator_loss(discriminator(generator(noise[1])))
    generator.cleargrads()
    g_loss.backward()
    optimizers["generator"].update()
    return {"discriminator_loss": d_loss.array, "generator_loss": g_loss.array}


def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    with chainer.no_backprop_mode(), chainer.using_config("train", False):
        return generator(noise)


def build(config, image_shape, device):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim),
        "discriminator": Discriminator(image_shape),
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
    networks, optimizers = build(config, run.image_shape, device)

    def draw(noise):
        return postprocess(sample(networks["generator"], device.send(noise)))

    pictures = Samples(run.data, config, draw_noise, draw)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images, run.device)
    noise = run.draw(draw_noise, 2)
    return train_step(run.networks, run.optimizers, images, run.device.send(noise))


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
