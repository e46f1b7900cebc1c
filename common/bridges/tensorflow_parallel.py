"""TensorFlow in several processes named by `TF_CONFIG`: MultiWorkerMirroredStrategy.

Each process has its own variables. They start equal because the seed is, and stay equal because the
updates are. `tensorflow/layers.py` and `optimizers.py` take the means over the processes.
"""

from __future__ import annotations

import numpy as np

import tensorflow as tf


def start(index: int) -> tf.distribute.Strategy:
    """Join the cluster; on GPUs, each process takes the one of its index, modulo their number."""
    if gpus := tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices(gpus[index % len(gpus)], "GPU")
    return tf.distribute.MultiWorkerMirroredStrategy()


def average(strategy: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
    """The mean of an array over the processes."""
    return strategy.run(_mean, (tf.constant(values),)).numpy()


@tf.function
def _mean(values: tf.Tensor) -> tf.Tensor:
    # `identity` puts the argument on a device, which `all_reduce` needs.
    return tf.distribute.get_replica_context().all_reduce("MEAN", tf.identity(values))
