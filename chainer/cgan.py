"""Conditional GAN: a generator learns to draw images of a given class, in Chainer.

Paper: Mirza, Osindero (2014), https://arxiv.org/abs/1411.1784
Run:   python chainer/cgan.py --dataset cifar10
Page:  docs/models/cgan.md
Departures from the paper: the networks are DCGAN's (see dcgan.py). The generator sees the
class as a one-hot vector beside its noise, the discriminator as a plane of ones among planes of
zeros, a plane per class, beside the image's channels.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.start import check_flags

if __name__ == "__main__":
    check_flags(__file__)  # before the framework, whose import takes seconds

from common.bridges import chainer as bridge  # isort: skip  (it mends Chainer for NumPy 2)
import chainer
import chainer.functions as F
import chainer.links as L

from common.pictures import ClassSamples
from common.run import Run, Settings, launch

from optimizers import Adam


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; every line is a flag."""

    size_multiple = 16  # both networks halve or double the image four times

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 64
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    latent_dim: Annotated[int, "numbers that an image is drawn from", 1] = 100
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 32
    class_: Annotated[str | None, "with --generate: the one class to draw"] = None


# N batch, Z latent, K classes, C channels, H height, W width, f filters, h = H / 16, w = W / 16


def preprocess(images, device):
    """Images of 0 to 255 as the networks see them: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = device.xp.moveaxis(device.send(images), -1, -3)
    return x.astype(chainer.config.dtype, order="C") / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) of 0 to 255."""
    images = ((x.array + 1) * 127.5).round().clip(0, 255).astype("uint8")
    return chainer.get_device("@numpy").send(images.transpose(0, 2, 3, 1))


def draw_noise(random, config, *shape):
    """Latent vectors, uniform on [-1, 1): (*shape, Z)."""
    return random.uniform(-1, 1, (*shape, config.latent_dim)).astype(config.dtype)


class Generator(chainer.Chain):
    """Latent vector and class to image: (N, Z), (N,) -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, image_shape, latent_dim, classes, filters):
        super().__init__()
        height, width, channels = image_shape
        self.base = (8 * filters, height // 16, width // 16)
        normal = chainer.initializers.Normal(0.02)
        upsample = {"ksize": 5, "stride": 2, "pad": 2, "initialW": normal}
        norm = {"eps": 1e-5, "decay": 0.9, "initial_gamma": around_one}
        self.classes = classes
        sizes = [(height // s, width // s) for s in (8, 4, 2, 1)]
        with self.init_scope():
            size = 8 * filters * self.base[1] * self.base[2]
            self.dense = L.Linear(latent_dim + classes, size, initialW=normal)
            self.norm1 = L.BatchNormalization(8 * filters, **norm)
            self.deconv1 = L.Deconvolution2D(
                8 * filters, 16 * filters, **upsample, outsize=sizes[0], nobias=True
            )
            self.norm2 = L.BatchNormalization(16 * filters, **norm)
            self.deconv2 = L.Deconvolution2D(
                16 * filters, 8 * filters, **upsample, outsize=sizes[1], nobias=True
            )
            self.norm3 = L.BatchNormalization(8 * filters, **norm)
            self.deconv3 = L.Deconvolution2D(
                8 * filters, 4 * filters, **upsample, outsize=sizes[2], nobias=True
            )
            self.norm4 = L.BatchNormalization(4 * filters, **norm)
            self.deconv4 = L.Deconvolution2D(4 * filters, channels, **upsample, outsize=sizes[3])

    def forward(self, z, labels):
        z = F.concat([z, one_hot(labels, self.classes)], 1)  # (N, Z + K)
        x = F.reshape(self.dense(z), (-1, *self.base))  # (N, 8f, h, w)
        x = F.relu(self.norm1(x))
        x = F.relu(self.norm2(self.deconv1(x)))  # (N, 16f, 2h, 2w)
        x = F.relu(self.norm3(self.deconv2(x)))  # (N, 8f, 4h, 4w)
        x = F.relu(self.norm4(self.deconv3(x)))  # (N, 4f, 8h, 8w)
        return F.tanh(self.deconv4(x))  # (N, C, H, W)


class Discriminator(chainer.Chain):
    """Image and class to the logit of its being real: (N, C, H, W), (N,) -> (N, 1)."""

    def __init__(self, image_shape, classes, filters):
        super().__init__()
        height, width, channels = image_shape
        normal = chainer.initializers.Normal(0.02)
        # The same zeros on both sides, where "SAME" of TensorFlow and Keras has (1, 2).
        downsample = {"ksize": 5, "stride": 2, "pad": 2, "initialW": normal}
        norm = {"eps": 1e-5, "decay": 0.9, "initial_gamma": around_one}
        self.classes = classes
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels + classes, filters, **downsample)
            self.conv2 = L.Convolution2D(filters, 2 * filters, **downsample, nobias=True)
            self.norm2 = L.BatchNormalization(2 * filters, **norm)
            self.conv3 = L.Convolution2D(2 * filters, 4 * filters, **downsample, nobias=True)
            self.norm3 = L.BatchNormalization(4 * filters, **norm)
            self.conv4 = L.Convolution2D(4 * filters, 8 * filters, **downsample, nobias=True)
            self.norm4 = L.BatchNormalization(8 * filters, **norm)
            self.dense = L.Linear(8 * filters * (height // 16) * (width // 16), 1, initialW=normal)

    def forward(self, x, labels):
        planes = one_hot(labels, self.classes)[:, :, None, None]  # (N, K, 1, 1)
        planes = F.broadcast_to(planes, (*planes.shape[:2], *x.shape[2:]))
        x = F.concat([x, planes], 1)  # (N, C + K, H, W)
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, 8h, 8w)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)  # (N, 2f, 4h, 4w)
        x = F.leaky_relu(self.norm3(self.conv3(x)), 0.2)  # (N, 4f, 2h, 2w)
        x = F.leaky_relu(self.norm4(self.conv4(x)), 0.2)  # (N, 8f, h, w)
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
    """Update D on real and fake images of the same classes, then G; noise is (2, N, Z)."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    with chainer.no_backprop_mode():
        fakes = generator(noise[0], labels).array
    # Real and fake images pass separately, so that batch norm never mixes their statistics.
    real_logits = discriminator(images, labels)
    d_loss = discriminator_loss(real_logits, discriminator(fakes, labels))
    discriminator.cleargrads()
    d_loss.backward()
    optimizers["discriminator"].update()

    fake_logits = discriminator(generator(noise[1], labels), labels)
    g_loss = generator_loss(fake_logits)
    chainer.grad([g_loss], list(generator.params()), set_grad=True)  # only its gradients
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


def main():
    """Train, or draw from a checkpoint, as the command line says."""
    run = Run(Config, __file__, __doc__)
    config = run.config
    device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, len(run.class_names), device)
    run.connect(bridge, networks, optimizers)

    def make_noise(random, count):
        return draw_noise(random, config, count)

    def draw(noise, labels):
        noise, labels = device.send(noise), device.send(labels)
        return postprocess(sample(networks["generator"], noise, labels))

    samples = ClassSamples(run.data, config.seed, make_noise, draw, config.class_)
    if config.generate:
        run.generate(samples)
        return
    run.begin(samples)
    for step, batch in run.steps():
        images = preprocess(batch.images, device)
        labels = device.send(batch.labels)
        noise = run.share(draw_noise(run.random, config, 2, config.batch_size), axis=1)
        noise = device.send(noise)
        losses = train_step(networks, optimizers, images, labels, noise)
        run.log(step, losses)
        if run.samples_due(step):
            run.save_samples(step, samples)
        if run.checkpoint_due(step):
            run.save_checkpoint(step)


if __name__ == "__main__":
    launch(main)
