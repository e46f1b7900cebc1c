"""TensorFlow with several processes, which `TF_CONFIG` names: MultiWorkerMirroredStrategy.

Variables are each process's own, alike from the start because the seed is, and kept so by updates
that are the same. `tensorflow/layers.py` and `optimizers.py` take the mean over the processes.
"""

from __future__ import annotations

import numpy as np

import tensorflow as tf


def start(index: int) -> tf.distribute.Strategy:
    """Meet the other processes; on GPUs, each takes the one of its number, or the next after it."""
    if gpus := tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices(gpus[index % len(gpus)], "GPU")
    return tf.distribute.MultiWorkerMirroredStrategy()


def average(strategy: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    return strategy.run(_mean, (tf.constant(values),)).numpy()


@tf.function
def _mean(values: tf.Tensor) -> tf.Tensor:
    # An argument is on no device yet, and TensorFlow asks where the result is to be.
    return tf.distribute.get_replica_context().all_reduce("MEAN", tf.identity(values))
