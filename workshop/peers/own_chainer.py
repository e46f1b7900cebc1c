"""Chainer's peers with their own networks and settings: its examples, by their updaters.

https://github.com/chainer/chainer/tree/master/examples
"""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# Chainer does not say what it exports, nor that its variables can be computed with.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from common.bridges import chainer as bridge  # isort: skip  (it mends Chainer for NumPy 2)
import chainer
import chainer.distributions as D
import chainer.functions as F
import chainer.links as L

from common.bridges import chainer_cpu
from workshop.peers.chainer import DCGANUpdater, NegativeELBO, Same, as_it_is, make_peer
from workshop.peers.learner import Learner, drawing_from

assert bridge

Shape = tuple[int, int, int]
SIGMA = 0.2  # of the noise in DCGAN's discriminator


def seed(number: int) -> None:
    """Seed initial weights and noise."""
    np.random.seed(number)  # noqa: NPY002


def weights_of(**networks: chainer.Chain) -> Callable[[], dict[str, list[np.ndarray]]]:
    """A `Learner.weights`."""

    def weights() -> dict[str, list[np.ndarray]]:
        return {
            name: [np.array(parameter.array) for parameter in network.params()]
            for name, network in networks.items()
        }

    return weights


class Generator(chainer.Chain):
    """Noise to images of 32 pixels in [0, 1]."""

    def __init__(self, latent_dim: int, channels: int, width: int = 512) -> None:
        super().__init__()
        self.base = (width, 4, 4)
        normal = {"initialW": chainer.initializers.Normal(0.02)}
        with self.init_scope():
            self.dense = L.Linear(latent_dim, 16 * width, **normal)
            self.norm = L.BatchNormalization(16 * width)
            self.deconvs = chainer.ChainList(
                *(
                    L.Deconvolution2D(width // n, width // n // 2, 4, 2, 1, **normal)
                    for n in (1, 2, 4)
                )
            )
            self.norms = chainer.ChainList(*(L.BatchNormalization(width // n) for n in (2, 4, 8)))
            self.last = L.Deconvolution2D(width // 8, channels, 3, 1, 1, **normal)

    def forward(self, z: Any) -> Any:
        """Latent vectors (N, Z) to images (N, C, 32, 32)."""
        h = F.reshape(F.relu(self.norm(self.dense(z))), (-1, *self.base))
        for deconv, norm in zip(self.deconvs, self.norms, strict=True):
            h = F.relu(norm(deconv(h)))
        return F.sigmoid(self.last(h))


def with_noise(h: Any) -> Any:
    """In training, h and normal noise; of 32 bits, where the example's turns all into 64."""
    if not chainer.config.train:
        return h
    noise = np.random.standard_normal(h.shape).astype(np.float32)  # noqa: NPY002
    return h + np.float32(SIGMA) * noise


class Discriminator(chainer.Chain):
    """Images of 32 pixels to logits; there is noise before each activation."""

    def __init__(self, channels: int, width: int = 512) -> None:
        super().__init__()
        normal = {"initialW": chainer.initializers.Normal(0.02)}
        sizes = [(width // 8, width // 4), (width // 4, width // 4), (width // 4, width // 2)]
        sizes += [(width // 2, width // 2), (width // 2, width), (width, width)]
        kernels = [(4, 2, 1), (3, 1, 1)] * 3
        with self.init_scope():
            self.first = L.Convolution2D(channels, width // 8, 3, 1, 1, **normal)
            self.convs = chainer.ChainList(
                *(L.Convolution2D(*size, *k, **normal) for size, k in zip(sizes, kernels))  # noqa: B905
            )
            self.norms = chainer.ChainList(
                *(L.BatchNormalization(size[1], use_gamma=False) for size in sizes)
            )
            self.dense = L.Linear(16 * width, 1, **normal)

    def forward(self, x: Any) -> Any:
        """Images (N, C, 32, 32) to logits (N, 1)."""
        h = F.leaky_relu(with_noise(self.first(with_noise(x))))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = F.leaky_relu(with_noise(norm(conv(h))))
        return self.dense(h)


def official_dcgan(shape: Shape, classes: int) -> Learner:
    """DCGAN of Chainer's examples, for 32 pixels: weight decay; D judges fakes once."""
    latent_dim, side = 100, 32
    with chainer_cpu.without():
        generator, discriminator = Generator(latent_dim, shape[-1]), Discriminator(shape[-1])
    optimizers = {}
    for name, network in {"gen": generator, "dis": discriminator}.items():
        optimizers[name] = chainer.optimizers.Adam(alpha=2e-4, beta1=0.5).setup(network)
        optimizers[name].add_hook(chainer.optimizer_hooks.WeightDecay(0.0001))
    batches = Same(np.empty(0))
    updater = DCGANUpdater(
        latent_dim,
        (generator, discriminator),
        iterator=batches,
        optimizer=optimizers,
        converter=as_it_is,
    )
    peer = make_peer(updater, {"discriminator": discriminator, "generator": generator}, list)

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        pixels = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        batches.batch = np.ascontiguousarray(pixels)
        return peer.step()

    def render(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        with chainer.no_backprop_mode(), chainer.using_config("train", False):
            return generator(noise).array.transpose(0, 2, 3, 1) * 255

    draw = drawing_from(render, latent_dim, uniform=True)
    weights = weights_of(generator=generator, discriminator=discriminator)
    return Learner(side, 50, step, draw, weights)


class Encoder(chainer.Chain):
    """Images as vectors to the distribution of their codes."""

    def __init__(self, pixels: int, hidden: int, latent_dim: int) -> None:
        super().__init__()
        with self.init_scope():
            self.dense = L.Linear(pixels, hidden)
            self.mean = L.Linear(hidden, latent_dim)
            self.scale = L.Linear(hidden, latent_dim)

    def heads(self, x: Any) -> tuple[Any, Any]:
        """Mean and logarithm of the deviation."""
        h = F.tanh(self.dense(x))
        return self.mean(h), self.scale(h)

    def forward(self, x: Any) -> Any:
        """The distribution."""
        mean, scale = self.heads(x)
        return D.Independent(D.Normal(loc=mean, log_scale=scale))


class Decoder(chainer.Chain):
    """Codes, with an axis for draws in front, to the distribution of pixels."""

    def __init__(self, pixels: int, hidden: int, latent_dim: int) -> None:
        super().__init__()
        with self.init_scope():
            self.dense = L.Linear(latent_dim, hidden)
            self.output = L.Linear(hidden, pixels)

    def logits(self, z: Any, axes: int) -> Any:
        """Of the pixels; `axes` come before a code's."""
        return self.output(F.tanh(self.dense(z, n_batch_axes=axes)), n_batch_axes=axes)

    def forward(self, z: Any) -> Any:
        """The distribution."""
        bernoulli = D.Bernoulli(logit=self.logits(z, 2))
        return D.Independent(bernoulli, reinterpreted_batch_ndims=1)


def official_vae(shape: Shape, classes: int) -> Learner:
    """VAE of Chainer's examples: 784-500-20 for digits, with tanh."""
    pixels, hidden, latent_dim = int(np.prod(shape)), 500, 20
    encoder, decoder = Encoder(pixels, hidden, latent_dim), Decoder(pixels, hidden, latent_dim)
    loss: Any = NegativeELBO(encoder, decoder, latent_dim)
    adam = chainer.optimizers.Adam().setup(loss)
    batches = Same(np.empty(0))
    updater = chainer.training.updaters.StandardUpdater(
        batches, adam, converter=as_it_is, loss_func=loss
    )
    peer = make_peer(updater, {"loss": loss}, list)

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        batches.batch = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
        return peer.step()

    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with chainer.no_backprop_mode():
            mean, scale = encoder.heads(x.reshape(len(x), -1))
        return mean.array, 2 * scale.array

    def decode(z: np.ndarray) -> np.ndarray:
        with chainer.no_backprop_mode():
            return decoder.logits(z, 1).array.reshape(-1, *shape)

    def render(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return 255 / (1 + np.exp(-decode(noise)))

    draw = drawing_from(render, latent_dim)
    weights = weights_of(encoder=encoder, decoder=decoder)
    return Learner(shape[0], 100, step, draw, weights, encode, decode)
