"""Keras with several processes: by what its backend has.

TensorFlow: MultiWorkerMirroredStrategy, as `TF_CONFIG` names the processes; the scope of it holds
for all that is built. JAX: `keras.distribution`, whose arrays are those of all processes, so that
nothing else has to be said. PyTorch: `torchrun`, batch norm and gradients as in the folder
`pytorch/`, for Keras has nothing of its own there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import keras

_SCOPE = contextlib.ExitStack()  # which is open for the rest of the script


def start(backend: str, index: int, device: str) -> None:
    """Meet the other processes."""
    if backend == "tensorflow":
        from common.bridges import tensorflow_parallel

        _SCOPE.enter_context(tensorflow_parallel.start(index).scope())
        _let_be()
    elif backend == "torch":
        import torch

        from common.bridges import pytorch_parallel

        pytorch_parallel.start(device != "cpu" and torch.accelerator.is_available())
    else:
        keras.distribution.initialize()
        devices = keras.distribution.list_devices()
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))


def _let_be() -> None:
    """Have Keras leave losses and results as each process has them.

    It would bring those of all processes together, and fails where they are single numbers
    (https://github.com/keras-team/keras/issues/20585); and it would divide a loss by the number of
    processes where it is made, and once more where `add_loss` takes it.
    """
    from keras.src.backend.tensorflow import trainer
    from keras.src.losses import loss

    trainer.reduce_per_replica = lambda values, strategy, reduction: values
    loss.scale_loss_for_distribution = loss.unscale_loss_for_distribution = lambda value: value


def join(norms: Iterable[Any], trainers: Iterable[keras.Model], count: int) -> None:
    """From now on train as one: batch norm and every update are those of the whole batch."""
    backend = keras.backend.backend()
    if backend == "jax":
        return
    for layer in norms:
        layer.processes = count
        if backend == "tensorflow":
            layer.synchronized = True  # which Keras has for TensorFlow alone
        else:
            layer._moments = _whole_moments
    for trainer in trainers:
        trainer.optimizer.apply = _with_mean(trainer.optimizer.apply, count)
        trainer.jit_compile = False  # XLA cannot bring together what is on several CPUs


def _with_mean(apply: Callable[..., Any], count: int) -> Callable[..., Any]:
    """An optimiser's `apply`, of the mean of the gradients over the processes."""

    def apply_mean(gradients: list[Any], variables: list[Any]) -> Any:
        if keras.backend.backend() == "tensorflow":
            gradients = [gradient / count for gradient in gradients]  # Keras takes their sum
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
