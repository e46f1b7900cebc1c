"""Layers of Chainer that lack something, and functions that it lacks."""

import chainer
import chainer.functions as F
import chainer.links as L


class GroupNormalization(L.GroupNormalization):
    """Chainer's own, which cannot be differentiated twice, made of functions that can."""

    def forward(self, x):
        groups = F.reshape(x, (len(x), self.groups, -1))
        mean = F.broadcast_to(F.mean(groups, 2, keepdims=True), groups.shape)
        away = groups - mean
        variance = F.mean(F.square(away), 2, keepdims=True)
        normal = away / F.broadcast_to(F.sqrt(variance + self.eps), groups.shape)
        return F.bias(F.scale(F.reshape(normal, x.shape), self.gamma), self.beta)


class InstanceNorm(chainer.FunctionNode):
    """Each channel of each image, less its mean, over its standard deviation."""

    def __init__(self, eps):
        self.eps = eps

    def forward(self, inputs):
        (x,) = inputs
        away = x - x.mean((2, 3), keepdims=True)
        variance = (away * away).mean((2, 3), keepdims=True)
        self.factor = (variance + self.eps) ** -0.5
        self.retain_outputs((0,))
        return (away * self.factor,)

    def backward(self, indexes, grad_outputs):
        return InstanceNormGrad(self.factor).apply((*self.get_retained_outputs(), *grad_outputs))


class InstanceNormGrad(chainer.FunctionNode):
    """Its gradient: less what would change the mean or the variance, which stay what they are."""

    def __init__(self, factor):
        self.factor = factor

    def forward(self, inputs):
        y, gy = inputs
        gx = gy - gy.mean((2, 3), keepdims=True)
        gx -= y * (gy * y).mean((2, 3), keepdims=True)
        return (gx * self.factor,)


def instance_norm(x, eps):
    """Normalise each channel of each image, without scale and shift: (N, C, H, W).

    Chainer's batch norm, of one image with all of these channels, would be one, but does more, such
    as gradients of a scale and a shift.
    """
    return InstanceNorm(eps).apply((x,))[0]


class ReflectionPad(chainer.FunctionNode):
    """Images mirrored at their edges, which are not repeated."""

    def __init__(self, padding):
        self.padding = padding

    def forward(self, inputs):
        (x,) = inputs
        xp, p = chainer.backend.get_array_module(x), self.padding
        count, channels, height, width = x.shape
        y = xp.empty((count, height + 2 * p, width + 2 * p, channels), x.dtype)
        y = y.transpose(0, 3, 1, 2)  # channels last in memory, as convolutions on a CPU want them
        y[:, :, p:-p, p:-p] = x
        for axis in (2, 3):
            lines = y.swapaxes(axis, 0)
            lines[:p] = lines[2 * p : p : -1]
            lines[-p:] = lines[-p - 2 : -2 * p - 2 : -1]
        return (y,)

    def backward(self, indexes, grad_outputs):
        return ReflectionPadGrad(self.padding).apply(grad_outputs)


class ReflectionPadGrad(chainer.FunctionNode):
    """Its gradient: what the mirrored pixels get is added to those that they mirror."""

    def __init__(self, padding):
        self.padding = padding

    def forward(self, inputs):
        (gy,) = inputs
        p = self.padding
        for axis in (2, 3):
            gy = gy.swapaxes(axis, 0)
            gx = gy[p:-p].copy(order="K")
            gx[1 : p + 1] += gy[p - 1 :: -1]
            gx[-p - 1 : -1] += gy[: -p - 1 : -1]
            gy = gx.swapaxes(axis, 0)
        return (gy,)


def reflection_pad(x, padding):
    """Mirror images at their edges, which are not repeated: (N, C, H, W).

    `F.pad(x, ..., "reflect")` gives the same images, but a wrong gradient: it takes the mirrored
    pixels for constants.
    """
    return ReflectionPad(padding).apply((x,))[0]
