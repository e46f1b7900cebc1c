"""Keras in several processes, by the means of its backend.

TensorFlow: `TF_CONFIG` names the processes, and everything is built in the scope of
MultiWorkerMirroredStrategy. JAX: the arrays of `keras.distribution` span all processes, so nothing
else is needed. PyTorch: `torchrun` starts the processes; batch norm and gradients are averaged as
in `pytorch_parallel`, because Keras offers nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import keras

_SCOPE = contextlib.ExitStack()  # stays open for the rest of the script


def start(backend: str, index: int, device: str) -> None:
    """Join the other processes."""
    if backend == "tensorflow":
        from common.bridges import tensorflow_parallel

        _SCOPE.enter_context(tensorflow_parallel.start(index).scope())
        _keep_losses_local()
    elif backend == "torch":
        import torch

        from common.bridges import pytorch_parallel

        pytorch_parallel.start(device != "cpu" and torch.accelerator.is_available())
    else:
        keras.distribution.initialize()
        devices = keras.distribution.list_devices()
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))


def _keep_losses_local() -> None:
    """Stop Keras from combining the losses and results of the processes.

    Keras would concatenate results over processes, which fails for scalars
    (https://github.com/keras-team/keras/issues/20585). It would also divide a loss by the number of
    processes twice: when the loss is computed, and when `add_loss` takes it.
    """
    from keras.src.backend.tensorflow import trainer
    from keras.src.losses import loss

    trainer.reduce_per_replica = lambda values, strategy, reduction: values
    loss.scale_loss_for_distribution = loss.unscale_loss_for_distribution = lambda value: value


def join(norms: Iterable[Any], trainers: Iterable[keras.Model], count: int) -> None:
    """Train as one from now on: batch norm and updates are those of the whole batch."""
    backend = keras.backend.backend()
    if backend == "jax":
        return
    for layer in norms:
        layer.processes = count
        if backend == "tensorflow":
            layer.synchronized = True  # Keras supports this on TensorFlow only
        else:
            layer._moments = _whole_moments
    for trainer in trainers:
        trainer.optimizer.apply = _with_mean(trainer.optimizer.apply, count)
        trainer.jit_compile = False  # XLA cannot communicate between CPUs


def _with_mean(apply: Callable[..., Any], count: int) -> Callable[..., Any]:
    """An optimiser's `apply`, with gradients averaged over the processes."""

    def apply_mean(gradients: list[Any], variables: list[Any]) -> Any:
        if keras.backend.backend() == "tensorflow":
            gradients = [gradient / count for gradient in gradients]  # Keras sums them
        else:
            from common.bridges import pytorch_parallel

            pytorch_parallel.average_tensors(gradients)
        return apply(gradients, variables)

    return apply_mean


def _whole_moments(inputs: Any, mask: None) -> tuple[Any, Any]:
    """Mean and variance of images (N, H, W, C) or vectors (N, C), of all processes."""
    from common.bridges import pytorch_parallel

    return pytorch_parallel.whole_moments(inputs, list(range(inputs.ndim - 1)))


def average(values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        from common.bridges import tensorflow_parallel

        return tensorflow_parallel.average(tf.distribute.get_strategy(), values)
    if backend == "torch":
        from common.bridges import pytorch_parallel

        return pytorch_parallel.average(values)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values)).mean(axis=0)
