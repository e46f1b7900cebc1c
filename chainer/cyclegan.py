"""CycleGAN: two generators translate between two sets of images without pairs, in Chainer.

Paper: Zhu, Park, Isola, Efros (2017), https://arxiv.org/abs/1703.10593
Run:   python chainer/cyclegan.py --dataset horse2zebra --image-size 128 --width 64 --blocks 6
Page:  docs/models/cyclegan.md
Departures from the paper: smaller networks and images unless they are asked for; no jitter of size
and place; the learning rate falls with each step, not with each epoch. No convolution before an
instance norm has a bias, which the norm would take away again. Where the paper and its authors'
code differ, or the paper is silent, this is the code: the identity loss everywhere, the generators'
update first, zeros around the image where a stride halves it.
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

from common.data import Domains
from common.data.pool import ImagePool
from common.pictures import DomainTranslations
from common.run import Run, Settings, launch

from layers import instance_norm, reflection_pad
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


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W) in [-1, 1]."""
    x = device.xp.moveaxis(device.send(images), -1, -3)
    return x.astype(chainer.config.dtype, order="C") / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x.array + 1) * 127.5).round().clip(0, 255).astype("uint8")
    return chainer.get_device("@numpy").send(images.transpose(0, 2, 3, 1))


def decay(config, step):
    """Learning rate of a step: constant for half of all steps, then falling linearly to 0."""
    return config.learning_rate * min(1, 2 * (1 - (step - 1) / config.steps))


class ResidualBlock(chainer.Chain):
    """Residual block, two convolutions and the input: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels):
        super().__init__()
        # Reflection padding: zeros would show up as an edge.
        normal = chainer.initializers.Normal(0.02)
        same = {"ksize": 3, "initialW": normal, "nobias": True}
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels, channels, **same)
            self.conv2 = L.Convolution2D(channels, channels, **same)

    def forward(self, x):
        y = F.relu(instance_norm(self.conv1(reflection_pad(x, 1)), eps=1e-5))
        return x + instance_norm(self.conv2(reflection_pad(y, 1)), eps=1e-5)


class Generator(chainer.Chain):
    """Image to its translation into the other domain: (N, C, H, W) -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, image_shape, width, blocks):
        super().__init__()
        channels = image_shape[-1]
        height, breadth, _ = image_shape
        normal = chainer.initializers.Normal(0.02)
        same = {"ksize": 7, "initialW": normal}
        half = {"ksize": 3, "stride": 2, "pad": 1, "initialW": normal, "nobias": True}
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels, width, **same, nobias=True)
            self.conv2 = L.Convolution2D(width, 2 * width, **half)
            self.conv3 = L.Convolution2D(2 * width, 4 * width, **half)
            # Not Sequential, which lists its children in another order.
            self.blocks = chainer.ChainList(*(ResidualBlock(4 * width) for _ in range(blocks)))
            self.deconv1 = L.Deconvolution2D(
                4 * width, 2 * width, **half, outsize=(height // 2, breadth // 2)
            )
            self.deconv2 = L.Deconvolution2D(2 * width, width, **half, outsize=(height, breadth))
            self.conv4 = L.Convolution2D(width, channels, **same)

    def forward(self, x):
        x = F.relu(instance_norm(self.conv1(reflection_pad(x, 3)), eps=1e-5))  # (N, f, H, W)
        x = F.relu(instance_norm(self.conv2(x), eps=1e-5))  # (N, 2f, H / 2, W / 2)
        x = F.relu(instance_norm(self.conv3(x), eps=1e-5))  # (N, 4f, H / 4, W / 4)
        for block in self.blocks:
            x = block(x)  # (N, 4f, H / 4, W / 4)
        x = F.relu(instance_norm(self.deconv1(x), eps=1e-5))  # (N, 2f, H / 2, W / 2)
        x = F.relu(instance_norm(self.deconv2(x), eps=1e-5))  # (N, f, H, W)
        return F.tanh(self.conv4(reflection_pad(x, 3)))  # (N, C, H, W)


class Discriminator(chainer.Chain):
    """Image to scores, one per patch of 70 pixels a side: near 1 for real, near 0 for fake."""

    def __init__(self, image_shape, width):
        super().__init__()
        channels = image_shape[-1]
        normal = chainer.initializers.Normal(0.02)
        by_two = {"ksize": 4, "stride": 2, "pad": 1, "initialW": normal}
        by_one = {"ksize": 4, "stride": 1, "pad": 1, "initialW": normal}  # a row and a column less
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels, width, **by_two)
            self.conv2 = L.Convolution2D(width, 2 * width, **by_two, nobias=True)
            self.conv3 = L.Convolution2D(2 * width, 4 * width, **by_two, nobias=True)
            self.conv4 = L.Convolution2D(4 * width, 8 * width, **by_one, nobias=True)
            self.conv5 = L.Convolution2D(8 * width, 1, **by_one)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, H / 2, W / 2)
        x = F.leaky_relu(instance_norm(self.conv2(x), eps=1e-5), 0.2)  # (N, 2f, H / 4, W / 4)
        x = F.leaky_relu(instance_norm(self.conv3(x), eps=1e-5), 0.2)  # (N, 4f, H / 8, W / 8)
        x = F.leaky_relu(instance_norm(self.conv4(x), eps=1e-5), 0.2)
        return self.conv5(x)  # (N, 1, H / 8 - 2, W / 8 - 2)


def discriminator_loss(real_scores, fake_scores):
    """Half of (D(x) - 1)^2 + D(G(y))^2: real is 1, fake is 0."""
    return (F.mean((real_scores - 1) ** 2) + F.mean(fake_scores**2)) / 2


def adversarial_loss(fake_scores):
    """(D(G(x)) - 1)^2."""
    return F.mean((fake_scores - 1) ** 2)


def absolute_error(images, others):
    """|x - y|, averaged over all pixels."""
    return F.mean_absolute_error(images, others)


def generator_loss(losses, identity):
    """The adversarial loss + 10 times the cycle loss + the identity loss, if any, weighted."""
    loss = losses["adversarial_loss"] + CYCLE_WEIGHT * losses["cycle_loss"]
    return loss + identity * losses["identity_loss"] if identity else loss


def generator_step(networks, optimizers, a, b, identity):
    """Update both generators in both directions; return the losses and the fakes of a and b."""
    a2b, b2a = networks["generator_a2b"], networks["generator_b2a"]
    d_a, d_b = networks["discriminator_a"], networks["discriminator_b"]
    fake_a, fake_b = b2a(b), a2b(a)
    losses = {
        "adversarial_loss": adversarial_loss(d_a(fake_a)) + adversarial_loss(d_b(fake_b)),
        "cycle_loss": absolute_error(b2a(fake_b), a) + absolute_error(a2b(fake_a), b),
    }
    if identity:  # an image already in the target domain should stay unchanged
        losses["identity_loss"] = absolute_error(b2a(a), a) + absolute_error(a2b(b), b)
    losses["generator_loss"] = generator_loss(losses, identity)
    optimizers["generators"].target.cleargrads()
    losses["generator_loss"].backward()
    optimizers["generators"].update()
    return {name: loss.array for name, loss in losses.items()}, fake_a.array, fake_b.array


def discriminator_step(networks, optimizers, a, b, fake_a, fake_b):
    """Update both discriminators on real and fake images of their own domain."""
    d_a, d_b = networks["discriminator_a"], networks["discriminator_b"]
    losses = {
        "discriminator_a_loss": discriminator_loss(d_a(a), d_a(fake_a)),
        "discriminator_b_loss": discriminator_loss(d_b(b), d_b(fake_b)),
    }
    optimizers["discriminators"].target.cleargrads()
    sum(losses.values()).backward()
    optimizers["discriminators"].update()
    return {name: loss.array for name, loss in losses.items()}


def swap(pool, fakes):
    """Replace some fakes by earlier ones from a pool: (N, C, H, W) -> (N, C, H, W)."""
    shown = pool.swap(chainer.get_device("@numpy").send(fakes))
    return chainer.backend.get_device_from_array(fakes).send(shown)


def train_step(networks, optimizers, pools, a, b, learning_rate, identity):
    """Update the generators, then the discriminators on fakes from the pools."""
    for optimizer in optimizers.values():
        optimizer.alpha = learning_rate
    g_losses, fake_a, fake_b = generator_step(networks, optimizers, a, b, identity)
    fake_a, fake_b = swap(pools["a"], fake_a), swap(pools["b"], fake_b)
    d_losses = discriminator_step(networks, optimizers, a, b, fake_a, fake_b)
    return g_losses | d_losses


def translate(networks, images, direction):
    """Translate images into the other domain, and back again."""
    with chainer.no_backprop_mode():
        there = networks[f"generator_{direction}"](images)
        return there, networks[f"generator_{direction[::-1]}"](there)  # b2a for a2b


def build(config, image_shape, device):
    """Two generators, two discriminators, and an optimiser for each pair."""
    networks = {
        "generator_a2b": Generator(image_shape, config.width, config.blocks),
        "generator_b2a": Generator(image_shape, config.width, config.blocks),
        "discriminator_a": Discriminator(image_shape, config.width),
        "discriminator_b": Discriminator(image_shape, config.width),
    }
    adam = {"alpha": config.learning_rate, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8}
    optimizers = {}
    for kind in ("generator", "discriminator"):
        pair = chainer.ChainList(*(n for name, n in networks.items() if kind in name))
        pair.to_device(device)
        optimizers[f"{kind}s"] = Adam(**adam).setup(pair)
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    device = run.device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, device)
    pools = {domain: ImagePool(config.pool_size, run.random) for domain in ("a", "b")}

    def draw(images, direction):
        made = translate(networks, preprocess(images, device), direction)
        return tuple(postprocess(x) for x in made)

    pictures = DomainTranslations(run.data, draw, config.input, config.direction, run.folder.path)
    run.connect(bridge, networks, optimizers, pictures, pools)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    a = preprocess(batch.sources, run.device)
    b = preprocess(batch.images, run.device)
    rate = decay(run.config, run.step + 1)
    return train_step(run.networks, run.optimizers, run.pools, a, b, rate, run.config.identity)


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
