"""WGAN-GP: a penalty on its gradient bounds the slope of a Wasserstein GAN's critic, in Chainer.

Paper: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville (2017), https://arxiv.org/abs/1704.00028
Run:   python chainer/wgan_gp.py --dataset cifar10
Page:  docs/models/wgan_gp.md
Departures from the paper: DCGAN's layers and initial weights (see dcgan.py) in place of residual
blocks.
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
from common.pictures import Samples
from common.run import Run, Settings, launch

from layers import GroupNormalization
from optimizers import Adam

CRITIC_UPDATES = 5  # per update of the generator
PENALTY_WEIGHT = 10  # weight of the gradient penalty in the critic's loss
TINY = 1e-12  # added under the root to keep its gradient finite at 0


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = None  # sides are 4 to 7 pixels, doubled d times
    batches_per_step = CRITIC_UPDATES

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 1e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 32


# N batch, Z latent, C channels, H height, W width, f filters, d doublings, h = H / 2^d, w = W / 2^d


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


def draw_shares(random, config, *shape):
    """Weights of the real image in a mixture, uniform on [0, 1): (*shape, 1, 1, 1)."""
    return random.random((*shape, 1, 1, 1)).astype(config.dtype)


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
    """Latent vector to image: (N, Z) -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, filters):
        super().__init__()
        side, _, channels = image_shape
        doublings = count_doublings(side)  # 2 for 28 pixels, which are 7 * 2 * 2
        self.base = (filters * 2**doublings, side >> doublings, side >> doublings)
        normal = chainer.initializers.Normal(0.02)
        double = {"ksize": 4, "stride": 2, "pad": 1, "initialW": normal}
        norm = {"eps": 1e-5, "decay": 0.9, "initial_gamma": around_one}
        with self.init_scope():
            self.dense = L.Linear(latent_dim, math.prod(self.base), initialW=normal)
            self.norm = L.BatchNormalization(self.base[0], **norm)
            self.blocks = chainer.ChainList(
                *(UpBlock(self.base[0] // 2**n) for n in range(doublings - 1))
            )
            self.deconv = L.Deconvolution2D(2 * filters, channels, **double)

    def forward(self, z):
        x = F.reshape(self.dense(z), (-1, *self.base))
        x = F.relu(self.norm(x))  # (N, f * 2^d, h, w)
        for block in self.blocks:
            x = block(x)  # (N, 2f, H / 2, W / 2)
        return F.tanh(self.deconv(x))  # (N, C, H, W)


class DownBlock(chainer.Chain):
    """Half the side, twice the channels: (N, C, H, W) -> (N, 2C, H / 2, W / 2)."""

    def __init__(self, channels):
        super().__init__()
        # No batch norm: it would make an image's score and gradient depend on the other images.
        # One group normalises all channels together, so convolutions keep their biases.
        normal = chainer.initializers.Normal(0.02)
        half = {"ksize": 4, "stride": 2, "pad": 1, "initialW": normal}
        with self.init_scope():
            self.conv = L.Convolution2D(channels, 2 * channels, **half)
            self.norm = GroupNormalization(1, 2 * channels, eps=1e-5)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class Critic(chainer.Chain):
    """Image to score, not a probability: (N, C, H, W) -> (N, 1)."""

    def __init__(self, image_shape, filters):
        super().__init__()
        side, _, channels = image_shape
        halvings = count_doublings(side)
        left = (side >> halvings) - 3  # the last convolution is not padded
        width = filters * 2 ** (halvings - 1)
        normal = chainer.initializers.Normal(0.02)
        half = {"ksize": 4, "stride": 2, "pad": 1, "initialW": normal}
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels, filters, **half)
            self.blocks = chainer.ChainList(
                *(DownBlock(filters * 2**n) for n in range(halvings - 1))
            )
            self.conv2 = L.Convolution2D(width, 2 * width, ksize=4, initialW=normal)
            self.norm2 = GroupNormalization(1, 2 * width, eps=1e-5)
            self.dense = L.Linear(2 * width * left * left, 1, initialW=normal)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, H / 2, W / 2)
        for block in self.blocks:
            x = block(x)  # (N, f * 2^(d - 1), h, w)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)  # (N, f * 2^d, h - 3, w - 3)
        return self.dense(x)  # (N, 1); L.Linear flattens


def around_one(array):
    """Scales of batch norm N(1, 0.02), as in DCGAN's code."""
    chainer.initializers.Normal(0.02)(array)
    array += 1


def gradient_norms(critic, x):
    """Length of the critic's gradient at each image: (N, C, H, W) -> (N,)."""
    x = chainer.Variable(x)
    # create_graph: the penalty is differentiated again.
    (gradient,) = chainer.grad([F.sum(critic(x))], [x], enable_double_backprop=True)
    return F.sqrt(F.sum(F.square(gradient), (1, 2, 3)) + TINY)


def gradient_penalty(norms):
    """Mean (|gradient| - 1)^2, weighted: too small a gradient costs as much as too large a one."""
    return PENALTY_WEIGHT * F.mean(F.square(norms - 1))


def critic_loss(real_scores, fake_scores, penalty):
    """Mean f(G(z)) - mean f(x), minus the estimated distance, and the penalty."""
    return F.mean(fake_scores) - F.mean(real_scores) + penalty


def generator_loss(fake_scores):
    """-mean f(G(z))."""
    return -F.mean(fake_scores)


def critic_step(networks, optimizers, images, noise, shares):
    """Update the critic on real and fake images; noise is (N, Z), shares (N, 1, 1, 1)."""
    generator, critic = networks["generator"], networks["critic"]
    with chainer.no_backprop_mode():
        fakes = generator(noise).array
    norms = gradient_norms(critic, shares * images + (1 - shares) * fakes)
    penalty = gradient_penalty(norms)
    loss = critic_loss(critic(images), critic(fakes), penalty)
    critic.cleargrads()
    loss.backward()
    optimizers["critic"].update()
    return {
        "critic_loss": loss.array,
        "wasserstein": (penalty - loss).array,
        "gradient_penalty": penalty.array,
        "gradient_norm": F.mean(norms).array,
    }


def generator_step(networks, optimizers, noise):
    """Update the generator on what the critic says of it; noise is (N, Z)."""
    generator, critic = networks["generator"], networks["critic"]
    loss = generator_loss(critic(generator(noise)))
    generator.cleargrads()
    loss.backward()
    optimizers["generator"].update()
    return loss.array


def train_step(networks, optimizers, images, noise, shares):
    """Update the critic on each batch, then the generator; noise is (batches + 1, N, Z)."""
    for batch, z, share in zip(images, noise[:-1], shares, strict=True):
        losses = critic_step(networks, optimizers, batch, z, share)
    g_loss = generator_step(networks, optimizers, noise[-1])
    return losses | {"generator_loss": g_loss}


def sample(generator, noise):
    """Draw an image from each latent vector, with the running averages of batch norm."""
    with chainer.no_backprop_mode(), chainer.using_config("train", False):
        return generator(noise)


def build(config, image_shape, device):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.latent_dim, config.filters),
        "critic": Critic(image_shape, config.filters),
    }
    adam = {"alpha": config.learning_rate, "beta1": 0.0, "beta2": 0.9, "eps": 1e-8}
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
    noise = run.draw(draw_noise, CRITIC_UPDATES + 1)
    shares = run.draw(draw_shares, CRITIC_UPDATES)
    noise, shares = run.device.send(noise), run.device.send(shares)
    return train_step(run.networks, run.optimizers, images, noise, shares)


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
