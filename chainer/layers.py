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


def instance_norm(x, eps):
    """Normalise each channel of each image, without scale and shift: (N, C, H, W).

    It is the batch norm of one image that has all of these channels.
    """
    count, channels, height, width = x.shape
    planes = F.reshape(x, (1, count * channels, height, width))
    xp = chainer.backend.get_array_module(x)
    ones, zeros = (make(count * channels, x.dtype) for make in (xp.ones, xp.zeros))
    return F.reshape(F.batch_normalization(planes, ones, zeros, eps=eps), x.shape)


class ReflectionPad(chainer.Function):
    """Images mirrored at their edges, which are not repeated."""

    def __init__(self, padding):
        self.padding = padding

    def forward(self, inputs):
        (x,) = inputs
        xp, p = chainer.backend.get_array_module(x), self.padding
        return (xp.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), "reflect"),)

    def backward(self, inputs, grad_outputs):
        """What the mirrored pixels get is added to those that they mirror."""
        (gy,) = grad_outputs
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
    return ReflectionPad(padding)(x)
