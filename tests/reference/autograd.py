"""Gradients in plain NumPy: the independent truth that every framework is compared with.

A `Value` remembers what it was computed from; `gradients` goes back from a loss by the chain rule.
Each operation's derivative is written by hand, itself in these operations, so that a gradient can
be differentiated once more. All numbers are float64. Layers stand in reference_layers.py,
optimisers in reference_optimizers.py, the models in models/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np


class Value:
    """An array, and how a gradient passes from it to the values it was computed from.

    Args:
        data: the array; it is shared, not copied.
        sources: each operand, and the function that takes the gradient of the result to that of
            the operand.
    """

    __array_ufunc__ = None  # an array left of an operator leaves the operation to the Value

    def __init__(
        self, data: np.ndarray | float, *sources: tuple[Value, Callable[[Value], Value]]
    ) -> None:
        self.data = np.asarray(data, np.float64)
        self.sources = sources

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def T(self) -> Value:  # noqa: N802
        return self.transpose(1, 0)

    def detach(self) -> Value:
        """The same array as a constant: no gradient passes through."""
        return Value(self.data)

    # Arithmetic, with broadcasting: d(a b) = b da + a db, and so on.

    def __add__(self, other: Operand) -> Value:
        a, b = self, as_value(other)
        return Value(
            a.data + b.data,
            (a, lambda g: sum_to(g, a.shape)),
            (b, lambda g: sum_to(g, b.shape)),
        )

    def __sub__(self, other: Operand) -> Value:
        a, b = self, as_value(other)
        return Value(
            a.data - b.data,
            (a, lambda g: sum_to(g, a.shape)),
            (b, lambda g: sum_to(-g, b.shape)),
        )

    def __mul__(self, other: Operand) -> Value:
        a, b = self, as_value(other)
        return Value(
            a.data * b.data,
            (a, lambda g: sum_to(g * b, a.shape)),
            (b, lambda g: sum_to(g * a, b.shape)),
        )

    def __truediv__(self, other: Operand) -> Value:
        a, b = self, as_value(other)
        return Value(
            a.data / b.data,
            (a, lambda g: sum_to(g / b, a.shape)),
            (b, lambda g: sum_to(-g * a / (b * b), b.shape)),
        )

    def __pow__(self, exponent: float) -> Value:
        """d(x^n) = n x^(n - 1) dx, for a constant n."""
        return Value(self.data**exponent, (self, lambda g: g * exponent * self ** (exponent - 1)))

    def __neg__(self) -> Value:
        return Value(-self.data, (self, lambda g: -g))

    def __matmul__(self, other: Value) -> Value:
        """d(A B) = dA B + A dB, for matrices."""
        a, b = self, other
        return Value(a.data @ b.data, (a, lambda g: g @ b.T), (b, lambda g: a.T @ g))

    def __radd__(self, other: Operand) -> Value:
        return as_value(other) + self

    def __rsub__(self, other: Operand) -> Value:
        return as_value(other) - self

    def __rmul__(self, other: Operand) -> Value:
        return as_value(other) * self

    def __rtruediv__(self, other: Operand) -> Value:
        return as_value(other) / self

    # Shapes: a gradient is put back where its numbers came from.

    def reshape(self, *shape: int) -> Value:
        return Value(self.data.reshape(shape), (self, lambda g: g.reshape(*self.shape)))

    def transpose(self, *axes: int) -> Value:
        """Axes in another order."""
        back = np.argsort(axes).tolist()
        return Value(self.data.transpose(axes), (self, lambda g: g.transpose(*back)))


Operand: TypeAlias = Value | np.ndarray | float


def as_value(x: Operand) -> Value:
    return x if isinstance(x, Value) else Value(x)


def gradients(loss: Value, values: Sequence[Value]) -> list[Value]:
    """The derivative of a loss, a single number, with respect to each of the values.

    The chain rule from the loss back (reverse mode): a value's gradient is the sum of what comes
    from everything computed from it.

    Raises:
        KeyError: the loss does not depend on one of the values.
    """
    order = _sources_first(loss)
    leading = set(values)  # what a wanted gradient has to pass through
    for value in order:
        if any(source in leading for source, _ in value.sources):
            leading.add(value)
    found = {loss: Value(np.ones(loss.shape))}
    for value in reversed(order):
        if value in leading:
            for source, derivative in value.sources:
                if source in leading:
                    more = derivative(found[value])
                    found[source] = found[source] + more if source in found else more
    return [found[value] for value in values]


def _sources_first(loss: Value) -> list[Value]:
    """All that a loss was computed from, each value after its sources."""
    order: dict[Value, None] = {}
    opened: set[Value] = set()
    stack = [loss]
    while stack:
        value = stack[-1]
        if value in opened:
            order.setdefault(stack.pop())
        else:
            opened.add(value)
            stack += [source for source, _ in value.sources if source not in opened]
    return list(order)


# Sums and their opposite.


def sum_to(x: Value, shape: tuple[int, ...]) -> Value:
    """The sum over the axes along which an array of `shape` would be repeated to x's shape."""
    if x.shape == shape:
        return x
    lead = len(x.shape) - len(shape)
    repeated = [lead + axis for axis, size in enumerate(shape) if size == 1]
    data = x.data.sum((*range(lead), *repeated), keepdims=True).reshape(shape)
    return Value(data, (x, lambda g: broadcast_to(g, x.shape)))


def broadcast_to(x: Value, shape: tuple[int, ...]) -> Value:
    return Value(np.broadcast_to(x.data, shape), (x, lambda g: sum_to(g, x.shape)))


def total(x: Value) -> Value:
    """The sum of all numbers."""
    return sum_to(x, ())


def mean(x: Value) -> Value:
    """The mean of all numbers."""
    return total(x) / x.data.size


def concatenate(values: Sequence[Value], axis: int = 1) -> Value:
    """Arrays joined along an axis; each gets its own stretch of the gradient."""
    ends = np.cumsum([value.shape[axis] for value in values]).tolist()
    sources = [
        (value, lambda g, end=end, size=value.shape[axis]: _stretch(g, axis, end - size, end))
        for value, end in zip(values, ends, strict=True)
    ]
    return Value(np.concatenate([value.data for value in values], axis), *sources)


def _stretch(x: Value, axis: int, start: int, end: int) -> Value:
    """The part of an array from `start` to `end` on an axis; all else has a gradient of 0."""

    def zeros(size: int) -> Value:
        return Value(np.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :])))

    part = (slice(None),) * axis + (slice(start, end),)
    before, after = zeros(start), zeros(x.shape[axis] - end)
    return Value(x.data[part], (x, lambda g: concatenate([before, g, after], axis)))


# Functions of each number.


def exp(x: Value) -> Value:
    """The exponential; its slope is itself."""
    return Value(np.exp(x.data), (x, lambda g: g * exp(x)))


def log(x: Value) -> Value:
    """The natural logarithm; its slope is 1 / x."""
    return Value(np.log(x.data), (x, lambda g: g / x))


def absolute(x: Value) -> Value:
    """|x|; its slope at 0 is taken to be 0."""
    return Value(np.abs(x.data), (x, lambda g: g * np.sign(x.data)))


def leaky_relu(x: Value, slope: float = 0.2) -> Value:
    """The positive part as it is, the negative times a slope (Maas and others 2013)."""
    factor = np.where(x.data > 0, 1.0, slope)
    return Value(x.data * factor, (x, lambda g: g * factor))


def relu(x: Value) -> Value:
    """max(x, 0); its slope at 0 is taken to be 0."""
    return leaky_relu(x, 0.0)


def tanh(x: Value) -> Value:
    """The hyperbolic tangent t; its slope is 1 - t^2."""
    return Value(np.tanh(x.data), (x, lambda g: g * (1 - tanh(x) ** 2)))


def softplus(x: Value) -> Value:
    """log(1 + exp(x)), without overflow; its slope is the sigmoid."""
    return Value(np.logaddexp(0, x.data), (x, lambda g: g * sigmoid(x)))


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)), without overflow; its slope is s (1 - s), and 1 - s(x) = s(-x)."""
    data = np.exp(-np.logaddexp(0, -x.data))
    return Value(data, (x, lambda g: g * sigmoid(x) * sigmoid(-x)))


# Losses.


def cross_entropy(logits: Value, target: Operand) -> Value:
    """-t log s - (1 - t) log(1 - s) of each number, where s is the sigmoid of its logit.

    As -log s = softplus(-x) = softplus(x) - x, this is softplus(x) - t x, which does not overflow.
    Goodfellow and others (2014) for t = 1 and 0; Kingma, Welling (2013), appendix C.1, for pixels.
    """
    return softplus(logits) - target * logits


def class_cross_entropy(logits: Value, labels: np.ndarray) -> Value:
    """-log softmax(logits) at the label, the mean of (N, K) over N.

    It is log sum_k exp(x_k) - x_label; the largest x is taken out of the sum, against overflow.
    """
    count, classes = logits.shape
    largest = logits.data.max(1, keepdims=True)
    total_of_each = log(sum_to(exp(logits - largest), (count, 1))) + largest
    chosen = sum_to(logits * np.eye(classes)[labels], (count, 1))
    return mean(total_of_each - chosen)
