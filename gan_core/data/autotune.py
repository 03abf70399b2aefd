"""tf.data without its tuning thread."""

from __future__ import annotations

import tensorflow as tf


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same dataset without tf.data's tuning thread.

    The thread sleeps for up to a minute at a time, and whoever drops an iterator waits until it
    wakes: a run that has ended, or one that goes back to a checkpoint. Parallelism that is left to
    AUTOTUNE is then what tf.data starts with, the number of cores.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
