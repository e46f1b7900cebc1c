"""How probable a variational autoencoder finds images: two bounds of log p(x), from below.

Kingma, Welling (2013), Auto-encoding variational Bayes, https://arxiv.org/abs/1312.6114
Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders,
https://arxiv.org/abs/1509.00519
"""

from __future__ import annotations

import numpy as np


def log_weights(
    images: np.ndarray, logits: np.ndarray, mean: np.ndarray, logvar: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Of K codes an image, log w = log p(x | z) + log p(z) - log q(z | x).

    p(x | z) is Bernoulli, pixel by pixel; of grey pixels it is the cross-entropy that the model is
    trained with, no logarithm of a probability. p(z) is N(0, 1), q(z | x) is N(mean, exp(logvar)).

    Args:
        images: in [0, 1], shape (N, H, W, C).
        logits: of the codes' images, shape (N, K, H, W, C).
        mean: of the codes, shape (N, Z).
        logvar: logarithm of their variance, shape (N, Z).
        noise: standard normal, shape (N, K, Z); z is mean + exp(logvar / 2) * noise.

    Returns:
        `float64`, shape (N, K).
    """
    x, y = images[:, None].astype(np.float64), logits.astype(np.float64)
    likelihood = (x * y - np.maximum(y, 0) - np.log1p(np.exp(-np.abs(y)))).sum((2, 3, 4))
    mean, logvar = mean[:, None].astype(np.float64), logvar[:, None].astype(np.float64)
    z = mean + np.exp(logvar / 2) * noise
    # The constants of the two normal densities are the same.
    return likelihood + 0.5 * (noise**2 + logvar - z**2).sum(2)


def evidence_lower_bound(weights: np.ndarray) -> float:
    """Mean of log w over codes and images, for log weights (N, K): the ELBO, in nats an image."""
    return float(weights.mean())


def importance_weighted_bound(weights: np.ndarray) -> float:
    """The log of the mean of w over K codes, averaged over images, for log weights (N, K), in nats.

    At least the ELBO, and the closer to log p(x) the larger K.
    """
    largest = weights.max(axis=1)
    means = np.exp(weights - largest[:, None]).mean(axis=1)
    return float((largest + np.log(means)).mean())
