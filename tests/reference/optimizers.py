"""Optimisers in plain NumPy, from the papers' formulas; see reference.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tests.reference.autograd import Value, gradients

EPS = 1e-8
PIECE = 1 << 14


class Optimizer:
    """Changes weights in place so that a loss falls.

    Args:
        weights: what it changes.
        learning_rate: size of a step.
    """

    def __init__(self, weights: Iterable[Value], learning_rate: float) -> None:
        self.weights = list(weights)
        self.learning_rate = learning_rate

    def minimize(self, loss: Value) -> None:
        """One step."""
        self.update([gradient.data for gradient in gradients(loss, self.weights)])

    def update(self, slopes: list[np.ndarray]) -> None:
        """One step, given the gradient of each weight."""
        raise NotImplementedError


class Adam(Optimizer):
    """Kingma, Ba (2014), https://arxiv.org/abs/1412.6980, algorithm 1.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    weight <- weight - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).
    """

    def __init__(
        self, weights: Iterable[Value], learning_rate: float, beta1: float, beta2: float = 0.999
    ) -> None:
        super().__init__(weights, learning_rate)
        self.beta1, self.beta2 = beta1, beta2
        self.steps = 0
        self.first = [np.zeros(weight.shape) for weight in self.weights]
        self.second = [np.zeros(weight.shape) for weight in self.weights]

    def update(self, slopes: list[np.ndarray]) -> None:
        self.steps += 1
        beta1, beta2 = self.beta1, self.beta2
        for weight, g, m, v in _pieces(self.weights, slopes, self.first, self.second):
            m[:] = beta1 * m + (1 - beta1) * g
            v[:] = beta2 * v + (1 - beta2) * g**2
            first = m / (1 - beta1**self.steps)
            second = v / (1 - beta2**self.steps)
            weight -= self.learning_rate * first / (np.sqrt(second) + EPS)


class RMSProp(Optimizer):
    """Tieleman, Hinton (2012), lecture 6.5; eps outside the root, as models of the suite have it.

    v <- 0.99 v + 0.01 g^2;  weight <- weight - rate g / (sqrt(v) + eps).
    """

    KEEPS = 0.99

    def __init__(self, weights: Iterable[Value], learning_rate: float) -> None:
        super().__init__(weights, learning_rate)
        self.squares = [np.zeros(weight.shape) for weight in self.weights]

    def update(self, slopes: list[np.ndarray]) -> None:
        for weight, g, v in _pieces(self.weights, slopes, self.squares):
            v[:] = self.KEEPS * v + (1 - self.KEEPS) * g**2
            weight -= self.learning_rate * g / (np.sqrt(v) + EPS)


class SGD(Optimizer):
    """Gradient descent with momentum; Sutskever and others (2013), with the rate outside v.

    v <- momentum v + g;  weight <- weight - rate v.
    """

    def __init__(self, weights: Iterable[Value], learning_rate: float, momentum: float) -> None:
        super().__init__(weights, learning_rate)
        self.momentum = momentum
        self.velocities = [np.zeros(weight.shape) for weight in self.weights]

    def update(self, slopes: list[np.ndarray]) -> None:
        for weight, g, v in _pieces(self.weights, slopes, self.velocities):
            v[:] = self.momentum * v + g
            weight -= self.learning_rate * v


def _pieces(weights: list[Value], *others: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Each weight with what belongs to it, in pieces that fit into the processor's cache."""
    for weight, *rest in zip(weights, *others, strict=True):
        assert weight.data.flags.c_contiguous  # else the pieces would be copies
        flat = [array.reshape(-1) for array in (weight.data, *rest)]
        for start in range(0, weight.data.size, PIECE):
            yield [array[start : start + PIECE] for array in flat]


def clip(weights: Iterable[Value], limit: float) -> None:
    """Cut every weight to [-limit, limit] (Arjovsky and others 2017, algorithm 1)."""
    for weight in weights:
        np.clip(weight.data, -limit, limit, out=weight.data)
