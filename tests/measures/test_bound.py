"""The bounds of log p(x), where p(x) is known."""

from __future__ import annotations

import numpy as np
import pytest

from common.measures import bound


def test_bounds_of_a_probability_that_is_known() -> None:
    """A pixel with the logit 3 z: p(x) is an integral over one number."""
    random = np.random.default_rng(0)
    mean, logvar = np.array([[0.7]]), np.array([[-0.4]])
    noise = random.standard_normal((1, 20_000, 1))
    z = mean[:, None] + np.exp(logvar / 2) * noise
    logits = 3 * z[..., None, None]
    weights = bound.log_weights(np.ones((1, 1, 1, 1)), logits, mean, logvar, noise)
    places = np.linspace(-9, 9, 100_001)
    prior = np.exp(-(places**2) / 2) / np.sqrt(2 * np.pi)
    truth = np.log(np.trapezoid(prior / (1 + np.exp(-3 * places)), places))
    assert bound.importance_weighted_bound(weights) == pytest.approx(truth, abs=0.01)
    by_50 = bound.importance_weighted_bound(weights.reshape(-1, 50))
    divergence = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar).item()
    posterior = np.exp(-((places - 0.7) ** 2) / 2 / np.exp(-0.4)) / np.sqrt(
        2 * np.pi * np.exp(-0.4)
    )
    likelihood = -np.trapezoid(posterior * np.log1p(np.exp(-3 * places)), places)
    lower = bound.evidence_lower_bound(weights)
    assert lower == pytest.approx(likelihood - divergence, abs=0.01)
    assert lower < by_50 < truth + 0.01


def test_where_the_codes_do_not_matter_only_the_elbo_pays_for_them() -> None:
    """Two pixels of the same logits for every code: the ELBO is less by the divergence."""
    random = np.random.default_rng(0)
    images = np.array([[1, 0], [0.5, 1]]).reshape(2, 1, 2, 1)
    logits = np.array([2.0, -40.0]).reshape(1, 1, 1, 2, 1).repeat(2, 0).repeat(50_000, 1)
    mean, logvar = np.array([[0.3, 0.0], [-0.2, 0.1]]), np.array([[-0.5, 0.2], [0.0, 0.0]])
    noise = random.standard_normal((2, 50_000, 2))
    weights = bound.log_weights(images, logits, mean, logvar, noise)
    assert weights.shape == (2, 50_000)
    shares = np.array([[1, 0], [0.5, 1]])
    ones, zeros = np.log1p(np.exp([-2.0, 40.0])), np.log1p(np.exp([2.0, -40.0]))
    truth = -(shares * ones + (1 - shares) * zeros).sum(1).mean()
    divergence = (0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)).sum(1).mean()
    assert bound.importance_weighted_bound(weights) == pytest.approx(truth, abs=0.01)
    assert bound.evidence_lower_bound(weights) == pytest.approx(truth - divergence, abs=0.01)
