"""Peers in Chainer: a `StandardUpdater`, losses reported each time, Chainer's own convolutions."""

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
from tools.library.scripts import load_script
from workshop.peers.peer import Peer


class Same(chainer.dataset.Iterator):
    """Gives one batch, which is ready, again and again."""

    is_new_epoch = False  # the updater asks after each step

    def __init__(self, batch: np.ndarray) -> None:
        self.batch = batch

    def __next__(self) -> np.ndarray:
        return self.batch

    next = __next__


def as_it_is(batch: np.ndarray, device: Any) -> np.ndarray:
    """In place of the converter: there is nothing to put together."""
    return batch


def make_peer(
    updater: Any, observed: dict[str, chainer.Link], arrays: Callable[[], list[np.ndarray]]
) -> Peer:
    """A peer that takes a step as Chainer's trainer does, by its updater.

    Args:
        updater: of Chainer.
        observed: by name, what reports its losses.
        arrays: see `Peer`.
    """
    reporter = chainer.Reporter()
    for name, link in observed.items():
        reporter.add_observer(name, link)

    def step() -> dict[str, Any]:
        reports: dict[str, Any] = {}
        with chainer_cpu.without(), reporter.scope(reports):
            updater.update()
        return {name.removesuffix("/loss"): value.array for name, value in reports.items()}

    return Peer(step, arrays)


def arrays_of(*networks: chainer.Chain) -> list[np.ndarray]:
    """Weights and running averages."""
    return [array for network in networks for array in bridge.get_arrays(network).values()]


class DCGANUpdater(chainer.training.updaters.StandardUpdater):
    """One pass of G and two of D; D's gradient flows on into G, where nobody uses it."""

    def __init__(self, latent_dim: int, networks: tuple[Any, Any], **named: Any) -> None:
        super().__init__(**named)
        self.latent_dim = latent_dim
        self.networks = networks

    def d_loss(self, discriminator: Any, fake_logits: Any, real_logits: Any) -> Any:
        """Cross-entropy by softplus, reported."""
        real = F.sum(F.softplus(-real_logits)) / len(real_logits)
        loss = real + F.sum(F.softplus(fake_logits)) / len(fake_logits)
        chainer.report({"loss": loss}, discriminator)
        return loss

    def g_loss(self, generator: Any, fake_logits: Any) -> Any:
        """The same for the generator."""
        loss = F.sum(F.softplus(-fake_logits)) / len(fake_logits)
        chainer.report({"loss": loss}, generator)
        return loss

    def update_core(self) -> None:
        """What `update` does: a step."""
        generator, discriminator = self.networks
        images = chainer.Variable(self.converter(self.get_iterator("main").next(), self.device))
        real_logits = discriminator(images)
        noise = np.random.uniform(-1, 1, (len(images), self.latent_dim))  # noqa: NPY002
        fakes = generator(chainer.Variable(noise.astype(images.dtype)))
        fake_logits = discriminator(fakes)
        optimizers = self.get_all_optimizers()
        optimizers["dis"].update(self.d_loss, discriminator, fake_logits, real_logits)
        optimizers["gen"].update(self.g_loss, generator, fake_logits)


def official_dcgan(config: Any, image_shape: tuple[int, ...], images: np.ndarray) -> Peer:
    """DCGAN of Chainer's examples; layers are written as in chainer/dcgan.py, so these are used."""
    script = load_script("chainer", "dcgan")
    with chainer_cpu.without():
        generator = script.Generator(image_shape, config.latent_dim, config.filters)
        discriminator = script.Discriminator(image_shape, config.filters)
    optimizers = {}
    for name, network in {"gen": generator, "dis": discriminator}.items():
        optimizer = chainer.optimizers.Adam(alpha=config.learning_rate, beta1=0.5)
        optimizers[name] = optimizer.setup(network)
        optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(0.0001))
    updater = DCGANUpdater(
        config.latent_dim,
        (generator, discriminator),
        iterator=Same(images),
        optimizer=optimizers,
        converter=as_it_is,
    )
    observed = {"discriminator": discriminator, "generator": generator}
    return make_peer(updater, observed, lambda: arrays_of(generator, discriminator))


class Encoder(chainer.Chain):
    """The encoder of chainer/vae.py, as a distribution."""

    def __init__(self, pixels: int, latent_dim: int) -> None:
        super().__init__()
        with self.init_scope():
            self.dense1 = L.Linear(pixels, 256)
            self.dense2 = L.Linear(256, 128)
            self.mean = L.Linear(128, latent_dim)
            self.scale = L.Linear(128, latent_dim)

    def forward(self, x: Any) -> Any:
        """Images as vectors to the distribution of their codes."""
        h = F.relu(self.dense2(F.relu(self.dense1(x))))
        return D.Independent(D.Normal(loc=self.mean(h), log_scale=self.scale(h)))


class Decoder(chainer.Chain):
    """The decoder of chainer/vae.py, as a distribution; codes have an axis for draws in front."""

    def __init__(self, pixels: int, latent_dim: int) -> None:
        super().__init__()
        with self.init_scope():
            self.dense1 = L.Linear(latent_dim, 128)
            self.dense2 = L.Linear(128, 256)
            self.dense3 = L.Linear(256, pixels)

    def forward(self, z: Any) -> Any:
        """Codes to the distribution of their images' pixels."""
        h = F.relu(self.dense1(z, n_batch_axes=2))
        h = F.relu(self.dense2(h, n_batch_axes=2))
        logits = self.dense3(h, n_batch_axes=2)
        return D.Independent(D.Bernoulli(logit=logits), reinterpreted_batch_ndims=1)


class NegativeELBO(chainer.Chain):
    """Images to the loss, which is reported with its two parts."""

    def __init__(self, encoder: Encoder, decoder: Decoder, latent_dim: int) -> None:
        super().__init__()
        dtype = chainer.get_dtype()
        self.prior = np.zeros(latent_dim, dtype), np.ones(latent_dim, dtype)
        with self.init_scope():
            self.encoder = encoder
            self.decoder = decoder

    def forward(self, x: np.ndarray) -> Any:
        """One draw for each image."""
        posterior = self.encoder(x)
        pixels = self.decoder(posterior.sample(1))
        prior = D.Independent(
            D.Normal(self.prior[0], scale=self.prior[1]), reinterpreted_batch_ndims=1
        )
        likelihood = F.mean(pixels.log_prob(F.broadcast_to(x[None], (1, *x.shape))))
        divergence = F.mean(chainer.kl_divergence(posterior, prior))
        loss = divergence - likelihood
        chainer.report({"loss": loss}, self)
        chainer.report({"likelihood": likelihood}, self)
        chainer.report({"divergence": divergence}, self)
        return loss


def official_vae(config: Any, image_shape: tuple[int, ...], images: np.ndarray) -> Peer:
    """VAE of Chainer's examples: codes and pixels are distributions."""
    vectors = images.reshape(len(images), -1)
    encoder = Encoder(vectors.shape[1], config.latent_dim)
    decoder = Decoder(vectors.shape[1], config.latent_dim)
    loss = NegativeELBO(encoder, decoder, config.latent_dim)
    optimizer = chainer.optimizers.Adam(alpha=config.learning_rate).setup(loss)
    updater = chainer.training.updaters.StandardUpdater(
        Same(vectors), optimizer, converter=as_it_is, loss_func=loss
    )
    return make_peer(updater, {"loss": loss}, lambda: arrays_of(encoder, decoder))
