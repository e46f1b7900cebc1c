"""Two lower bounds of log p(x) for a variational autoencoder.

Kingma, Welling (2013), Auto-encoding variational Bayes, https://arxiv.org/abs/1312.6114
Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders,
https://arxiv.org/abs/1509.00519
"""

from __future__ import annotations

import numpy as np


def log_weights(
    images: np.ndarray, logits: np.ndarray, mean: np.ndarray, logvar: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Log weights, log p(x | z) + log p(z) - log q(z | x), of K latent vectors per image.

    p(x | z) is Bernoulli, pixel by pixel. For grey pixels its logarithm is the cross-entropy of
    training, which is no log probability. p(z) is N(0, 1), q(z | x) is N(mean, exp(logvar)).

    Args:
        images: in [0, 1], shape (N, H, W, C).
        logits: decoded from the latent vectors, shape (N, K, H, W, C).
        mean: mean of q(z | x), shape (N, Z).
        logvar: logarithm of the variance of q(z | x), shape (N, Z).
        noise: standard normal, shape (N, K, Z); z is mean + exp(logvar / 2) * noise.

    Returns:
        `float64`, shape (N, K).
    """
    x, y = images[:, None].astype(np.float64), logits.astype(np.float64)
    likelihood = (x * y - np.maximum(y, 0) - np.log1p(np.exp(-np.abs(y)))).sum((2, 3, 4))
    mean, logvar = mean[:, None].astype(np.float64), logvar[:, None].astype(np.float64)
    z = mean + np.exp(logvar / 2) * noise
    # The constants of the two normal densities cancel.
    return likelihood + 0.5 * (noise**2 + logvar - z**2).sum(2)


def evidence_lower_bound(weights: np.ndarray) -> float:
    """The ELBO in nats per image: the mean of log weights (N, K)."""
    return float(weights.mean())


def importance_weighted_bound(weights: np.ndarray) -> float:
    """The importance-weighted bound in nats per image, for log weights (N, K).

    It is the logarithm of the mean of w over K, averaged over images. It is at least the ELBO, and
    approaches log p(x) as K grows.
    """
    largest = weights.max(axis=1)
    means = np.exp(weights - largest[:, None]).mean(axis=1)
    return float((largest + np.log(means)).mean())
