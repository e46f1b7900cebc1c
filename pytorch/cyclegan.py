"""CycleGAN: two generators translate between two sets of images without pairs, in PyTorch.

Paper: Zhu, Park, Isola, Efros (2017), https://arxiv.org/abs/1703.10593
Run:   python pytorch/cyclegan.py --dataset horse2zebra --image-size 128 --width 64 --blocks 6
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

import torch
from torch import nn
from torch.nn import functional as F

from common.bridges import pytorch as bridge
from common.data import Domains
from common.data.pool import ImagePool
from common.pictures import DomainTranslations
from common.run import Run, Settings, launch

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
    x = bridge.send(images, device).movedim(-1, -3).contiguous()
    return x / 127.5 - 1


def postprocess(x):
    """The inverse: (N, C, H, W) in [-1, 1] -> (N, H, W, C) in [0, 255]."""
    images = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return images.movedim(-3, -1).cpu().numpy()


def decay(config, step):
    """Learning rate of a step: constant for half of all steps, then falling linearly to 0."""
    return config.learning_rate * min(1, 2 * (1 - (step - 1) / config.steps))


class ResidualBlock(nn.Module):
    """Residual block, two convolutions and the input: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels):
        super().__init__()
        # Reflection padding: zeros would show up as an edge.
        same = {"kernel_size": 3, "padding": 1, "padding_mode": "reflect", "bias": False}
        self.conv1 = nn.Conv2d(channels, channels, **same)
        self.conv2 = nn.Conv2d(channels, channels, **same)

    def forward(self, x):
        y = F.relu(F.instance_norm(self.conv1(x), eps=1e-5))
        return x + F.instance_norm(self.conv2(y), eps=1e-5)


class Generator(nn.Module):
    """Image to its translation into the other domain: (N, C, H, W) -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, image_shape, width, blocks):
        super().__init__()
        channels = image_shape[-1]
        same = {"kernel_size": 7, "padding": 3, "padding_mode": "reflect"}
        half = {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False}
        double = {**half, "output_padding": 1}
        self.conv1 = nn.Conv2d(channels, width, **same, bias=False)
        self.conv2 = nn.Conv2d(width, 2 * width, **half)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, **half)
        self.blocks = nn.Sequential(*(ResidualBlock(4 * width) for _ in range(blocks)))
        self.deconv1 = nn.ConvTranspose2d(4 * width, 2 * width, **double)
        self.deconv2 = nn.ConvTranspose2d(2 * width, width, **double)
        self.conv4 = nn.Conv2d(width, channels, **same)
        self.apply(initialize)

    def forward(self, x):
        x = F.relu(F.instance_norm(self.conv1(x), eps=1e-5))  # (N, f, H, W)
        x = F.relu(F.instance_norm(self.conv2(x), eps=1e-5))  # (N, 2f, H / 2, W / 2)
        x = F.relu(F.instance_norm(self.conv3(x), eps=1e-5))  # (N, 4f, H / 4, W / 4)
        x = self.blocks(x)  # (N, 4f, H / 4, W / 4)
        x = F.relu(F.instance_norm(self.deconv1(x), eps=1e-5))  # (N, 2f, H / 2, W / 2)
        x = F.relu(F.instance_norm(self.deconv2(x), eps=1e-5))  # (N, f, H, W)
        return torch.tanh(self.conv4(x))  # (N, C, H, W)


class Discriminator(nn.Module):
    """Image to scores, one per patch of 70 pixels a side: near 1 for real, near 0 for fake."""

    def __init__(self, image_shape, width):
        super().__init__()
        channels = image_shape[-1]
        by_two = {"kernel_size": 4, "stride": 2, "padding": 1}
        by_one = {"kernel_size": 4, "stride": 1, "padding": 1}  # a row and a column less
        self.conv1 = nn.Conv2d(channels, width, **by_two)
        self.conv2 = nn.Conv2d(width, 2 * width, **by_two, bias=False)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, **by_two, bias=False)
        self.conv4 = nn.Conv2d(4 * width, 8 * width, **by_one, bias=False)
        self.conv5 = nn.Conv2d(8 * width, 1, **by_one)
        self.apply(initialize)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)  # (N, f, H / 2, W / 2)
        x = F.leaky_relu(F.instance_norm(self.conv2(x), eps=1e-5), 0.2)  # (N, 2f, H / 4, W / 4)
        x = F.leaky_relu(F.instance_norm(self.conv3(x), eps=1e-5), 0.2)  # (N, 4f, H / 8, W / 8)
        x = F.leaky_relu(F.instance_norm(self.conv4(x), eps=1e-5), 0.2)
        return self.conv5(x)  # (N, 1, H / 8 - 2, W / 8 - 2)


def initialize(layer):
    """N(0, 0.02) as in the paper, biases 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def discriminator_loss(real_scores, fake_scores):
    """Half of (D(x) - 1)^2 + D(G(y))^2: real is 1, fake is 0."""
    return ((real_scores - 1).square().mean() + fake_scores.square().mean()) / 2


def adversarial_loss(fake_scores):
    """(D(G(x)) - 1)^2."""
    return (fake_scores - 1).square().mean()


def absolute_error(images, others):
    """|x - y|, averaged over all pixels."""
    return F.l1_loss(images, others)


def generator_loss(losses, identity):
    """The adversarial loss + 10 times the cycle loss + the identity loss, if any, weighted."""
    loss = losses["adversarial_loss"] + CYCLE_WEIGHT * losses["cycle_loss"]
    return loss + identity * losses["identity_loss"] if identity else loss


def generator_step(networks, optimizers, a, b, identity):
    """Update both generators in both directions; return the losses and the fakes of a and b."""
    a2b, b2a = networks["generator_a2b"], networks["generator_b2a"]
    d_a, d_b = networks["discriminator_a"], networks["discriminator_b"]
    d_a.requires_grad_(False)
    d_b.requires_grad_(False)
    fake_a, fake_b = b2a(b), a2b(a)
    losses = {
        "adversarial_loss": adversarial_loss(d_a(fake_a)) + adversarial_loss(d_b(fake_b)),
        "cycle_loss": absolute_error(b2a(fake_b), a) + absolute_error(a2b(fake_a), b),
    }
    if identity:  # an image already in the target domain should stay unchanged
        losses["identity_loss"] = absolute_error(b2a(a), a) + absolute_error(a2b(b), b)
    losses["generator_loss"] = generator_loss(losses, identity)
    optimizers["generators"].zero_grad()
    losses["generator_loss"].backward()
    optimizers["generators"].step()
    d_a.requires_grad_(True)
    d_b.requires_grad_(True)
    return {name: loss.detach() for name, loss in losses.items()}, fake_a.detach(), fake_b.detach()


def discriminator_step(networks, optimizers, a, b, fake_a, fake_b):
    """Update both discriminators on real and fake images of their own domain."""
    d_a, d_b = networks["discriminator_a"], networks["discriminator_b"]
    losses = {
        "discriminator_a_loss": discriminator_loss(d_a(a), d_a(fake_a)),
        "discriminator_b_loss": discriminator_loss(d_b(b), d_b(fake_b)),
    }
    optimizers["discriminators"].zero_grad()
    sum(losses.values()).backward()
    optimizers["discriminators"].step()
    return {name: loss.detach() for name, loss in losses.items()}


def swap(pool, fakes):
    """Replace some fakes by earlier ones from a pool: (N, C, H, W) -> (N, C, H, W)."""
    return bridge.send(pool.swap(fakes.cpu().numpy()), fakes.device)


def train_step(networks, optimizers, pools, a, b, learning_rate, identity):
    """Update the generators, then the discriminators on fakes from the pools."""
    for optimizer in optimizers.values():
        optimizer.param_groups[0]["lr"] = learning_rate
    g_losses, fake_a, fake_b = generator_step(networks, optimizers, a, b, identity)
    fake_a, fake_b = swap(pools["a"], fake_a), swap(pools["b"], fake_b)
    d_losses = discriminator_step(networks, optimizers, a, b, fake_a, fake_b)
    return g_losses | d_losses


@torch.no_grad()
def translate(networks, images, direction):
    """Translate images into the other domain, and back again."""
    there = networks[f"generator_{direction}"](images)
    return there, networks[f"generator_{direction[::-1]}"](there)  # b2a for a2b


def build(config, image_shape, device):
    """Two generators, two discriminators, and an optimiser for each pair."""
    networks = {
        "generator_a2b": Generator(image_shape, config.width, config.blocks).to(device),
        "generator_b2a": Generator(image_shape, config.width, config.blocks).to(device),
        "discriminator_a": Discriminator(image_shape, config.width).to(device),
        "discriminator_b": Discriminator(image_shape, config.width).to(device),
    }
    adam = {"lr": config.learning_rate, "betas": (0.5, 0.999), "eps": 1e-8, "fused": True}
    optimizers = {
        f"{kind}s": torch.optim.Adam(
            [p for name, network in networks.items() if kind in name for p in network.parameters()],
            **adam,
        )
        for kind in ("generator", "discriminator")
    }
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
