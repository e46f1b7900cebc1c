"""pix2pix: a U-Net translates one image into another and is judged patch by patch, in Chainer.

Paper: Isola, Zhu, Zhou, Efros (2016), https://arxiv.org/abs/1611.07004
Run:   python chainer/pix2pix.py --task edges
Page:  docs/models/pix2pix.md
Departures from the paper: five levels instead of eight, for images of 64 pixels; dropout in two
levels instead of three; no jitter of size and place; patches of 70 pixels, wider than such images;
batches of 4, with batch norm in the innermost level too. No convolution before a batch norm has a
bias: the norm takes it away again, so its gradient is nothing but rounding, which Adam blows up to
full steps. The paper keeps dropout and the batch's own statistics when it translates. Here
translations have no dropout and use the running averages, so that the same source always gives the
same picture.
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

from common.data import TRANSLATIONS
from common.pictures import Translations
from common.run import Run, Settings, launch

from optimizers import Adam

L1_WEIGHT = 100  # weight of the reconstruction loss in the generator's loss


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    size_multiple = 32  # the U-Net halves the image five times

    dataset: Annotated[
        str,
        "newts, imori, cifar10, hymenoptera or folder:PATH; with --task pairs facades, maps, "
        "cityscapes, edges2shoes, edges2handbags or folder:PATH",
    ] = "newts"
    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 1000
    batch_size: Annotated[int, "images per step", 2] = 4
    learning_rate: Annotated[float, "step size of Adam", 0] = 2e-4
    filters: Annotated[int, "channels of the first convolution; the others have multiples", 1] = 64
    dropout: Annotated[float, "share of features dropped, in two levels", 0, 1] = 0.5
    task: Annotated[
        str, "what the source is", ("segmentation", "colorization", "edges", "pairs")
    ] = "segmentation"
    direction: Annotated[
        str, "of --task pairs: into which the other is translated", ("a2b", "b2a")
    ] = "a2b"
    input: Annotated[str | None, "picture or folder to translate with --generate", "PATH"] = None

    def make_task(self):
        """Images and their sources, as --task and --direction say."""
        return TRANSLATIONS[self.task](self.direction)


# N batch, C channels, H height, W width, f filters, h = H / 32, w = W / 32


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = device.xp.moveaxis(device.send(images), -1, -3)
    return x.astype(chainer.config.dtype, order="C") / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x.array + 1) * 127.5).round().clip(0, 255).astype("uint8")
    return chainer.get_device("@numpy").send(images.transpose(0, 2, 3, 1))


class Generator(chainer.Chain):
    """Source to image: (N, C, H, W) -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, image_shape, dropout, filters):
        super().__init__()
        channels = image_shape[-1]
        self.dropout = dropout
        normal = chainer.initializers.Normal(0.02)
        by_two = {"ksize": 4, "stride": 2, "pad": 1, "initialW": normal}  # half the size, or double
        norm = {"eps": 1e-5, "decay": 0.9, "initial_gamma": around_one}
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels, filters, **by_two)
            self.conv2 = L.Convolution2D(filters, 2 * filters, **by_two, nobias=True)
            self.norm2 = L.BatchNormalization(2 * filters, **norm)
            self.conv3 = L.Convolution2D(2 * filters, 4 * filters, **by_two, nobias=True)
            self.norm3 = L.BatchNormalization(4 * filters, **norm)
            self.conv4 = L.Convolution2D(4 * filters, 8 * filters, **by_two, nobias=True)
            self.norm4 = L.BatchNormalization(8 * filters, **norm)
            self.conv5 = L.Convolution2D(8 * filters, 8 * filters, **by_two, nobias=True)
            self.norm5 = L.BatchNormalization(8 * filters, **norm)
            self.deconv1 = L.Deconvolution2D(8 * filters, 8 * filters, **by_two, nobias=True)
            self.norm6 = L.BatchNormalization(8 * filters, **norm)
            # From here on a skip connection joins the encoder's features to the input.
            self.deconv2 = L.Deconvolution2D(16 * filters, 4 * filters, **by_two, nobias=True)
            self.norm7 = L.BatchNormalization(4 * filters, **norm)
            self.deconv3 = L.Deconvolution2D(8 * filters, 2 * filters, **by_two, nobias=True)
            self.norm8 = L.BatchNormalization(2 * filters, **norm)
            self.deconv4 = L.Deconvolution2D(4 * filters, filters, **by_two, nobias=True)
            self.norm9 = L.BatchNormalization(filters, **norm)
            self.deconv5 = L.Deconvolution2D(2 * filters, channels, **by_two)

    def forward(self, sources):
        down1 = self.conv1(sources)  # (N, f, 16h, 16w)
        down2 = self.norm2(self.conv2(F.leaky_relu(down1, 0.2)))  # (N, 2f, 8h, 8w)
        down3 = self.norm3(self.conv3(F.leaky_relu(down2, 0.2)))  # (N, 4f, 4h, 4w)
        down4 = self.norm4(self.conv4(F.leaky_relu(down3, 0.2)))  # (N, 8f, 2h, 2w)
        down5 = self.norm5(self.conv5(F.leaky_relu(down4, 0.2)))  # (N, 8f, h, w)
        x = F.dropout(self.norm6(self.deconv1(F.relu(down5))), self.dropout)
        x = F.concat((x, down4), axis=1)  # (N, 8f + 8f, 2h, 2w)
        x = F.dropout(self.norm7(self.deconv2(F.relu(x))), self.dropout)
        x = F.concat((x, down3), axis=1)  # (N, 4f + 4f, 4h, 4w)
        x = F.concat((self.norm8(self.deconv3(F.relu(x))), down2), axis=1)  # (N, 2f + 2f, 8h, 8w)
        x = F.concat((self.norm9(self.deconv4(F.relu(x))), down1), axis=1)  # (N, f + f, 16h, 16w)
        return F.tanh(self.deconv5(F.relu(x)))  # (N, C, H, W)


class Discriminator(chainer.Chain):
    """Source and image to logits, each high if a patch of 70 x 70 pixels looks real."""

    def __init__(self, image_shape, filters):
        super().__init__()
        channels = image_shape[-1]
        normal = chainer.initializers.Normal(0.02)
        by_two = {"ksize": 4, "stride": 2, "pad": 1, "initialW": normal}
        by_one = {"ksize": 4, "stride": 1, "pad": 1, "initialW": normal}  # a row and a column less
        norm = {"eps": 1e-5, "decay": 0.9, "initial_gamma": around_one}
        with self.init_scope():
            self.conv1 = L.Convolution2D(2 * channels, filters, **by_two)
            self.conv2 = L.Convolution2D(filters, 2 * filters, **by_two, nobias=True)
            self.norm2 = L.BatchNormalization(2 * filters, **norm)
            self.conv3 = L.Convolution2D(2 * filters, 4 * filters, **by_two, nobias=True)
            self.norm3 = L.BatchNormalization(4 * filters, **norm)
            self.conv4 = L.Convolution2D(4 * filters, 8 * filters, **by_one, nobias=True)
            self.norm4 = L.BatchNormalization(8 * filters, **norm)
            self.conv5 = L.Convolution2D(8 * filters, 1, **by_one)

    def forward(self, sources, images):
        x = F.concat((sources, images), axis=1)  # (N, 2C, H, W)
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, 16h, 16w)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)  # (N, 2f, 8h, 8w)
        x = F.leaky_relu(self.norm3(self.conv3(x)), 0.2)  # (N, 4f, 4h, 4w)
        x = F.leaky_relu(self.norm4(self.conv4(x)), 0.2)  # (N, 8f, 4h - 1, 4w - 1)
        return self.conv5(x)  # (N, 1, 4h - 2, 4w - 2)


def around_one(array):
    """Scales of batch norm N(1, 0.02), as in DCGAN's code."""
    chainer.initializers.Normal(0.02)(array)
    array += 1


def discriminator_loss(real_logits, fake_logits):
    """Half of -log D(x, y) - log(1 - D(x, G(x))): real is 1, fake is 0."""
    xp = chainer.backend.get_array_module(real_logits)
    real = F.sigmoid_cross_entropy(real_logits, xp.ones(real_logits.shape, "i"))
    fake = F.sigmoid_cross_entropy(fake_logits, xp.zeros(fake_logits.shape, "i"))
    return (real + fake) / 2


def adversarial_loss(fake_logits):
    """-log D(x, G(x)): the non-saturating loss."""
    xp = chainer.backend.get_array_module(fake_logits)
    return F.sigmoid_cross_entropy(fake_logits, xp.ones(fake_logits.shape, "i"))


def reconstruction_loss(fakes, images):
    """|y - G(x)|, averaged over all pixels."""
    return F.mean_absolute_error(fakes, images)


def generator_loss(fake_logits, fakes, images):
    """-log D(x, G(x)) + 100 |y - G(x)|, and its two parts."""
    adversarial = adversarial_loss(fake_logits)
    reconstruction = reconstruction_loss(fakes, images)
    return {
        "adversarial_loss": adversarial,
        "reconstruction_loss": reconstruction,
        "generator_loss": adversarial + L1_WEIGHT * reconstruction,
    }


def train_step(networks, optimizers, sources, images):
    """Update D on real and translated images beside their sources, then G."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    # G translates once per update, so that each update has its own dropout.
    with chainer.no_backprop_mode():
        fakes = generator(sources).array
    # Real and fake images pass separately, so that batch norm never mixes their statistics.
    d_loss = discriminator_loss(discriminator(sources, images), discriminator(sources, fakes))
    discriminator.cleargrads()
    d_loss.backward()
    optimizers["discriminator"].update()

    fakes = generator(sources)
    g_losses = generator_loss(discriminator(sources, fakes), fakes, images)
    loss = g_losses["generator_loss"]
    generator.cleargrads()
    loss.backward()
    optimizers["generator"].update()
    losses = {"discriminator_loss": d_loss, **g_losses}
    return {name: loss.array for name, loss in losses.items()}


def translate(generator, sources):
    """Translate sources without dropout, with the running averages of batch norm."""
    with chainer.no_backprop_mode(), chainer.using_config("train", False):
        return generator(sources)


def build(config, image_shape, device):
    """Both networks and their optimisers."""
    networks = {
        "generator": Generator(image_shape, config.dropout, config.filters),
        "discriminator": Discriminator(image_shape, config.filters),
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

    def draw(sources):
        return postprocess(translate(networks["generator"], preprocess(sources, device)))

    pictures = Translations(run.data, draw, config.input, run.folder.path)
    run.connect(bridge, networks, optimizers, pictures)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    sources = preprocess(batch.sources, run.device)
    images = preprocess(batch.images, run.device)
    return train_step(run.networks, run.optimizers, sources, images)


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
