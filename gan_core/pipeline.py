"""From an image source to batches, in an order that can start at any image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from gan_core.datasets import ImageSource
from gan_core.errors import ArgumentError
from gan_core.types import Batch


def image_batches(
    source: ImageSource,
    *,
    global_batch_size: int,
    strategy: tf.distribute.Strategy,
    seed: int = 0,
    first_image: int = 0,
) -> Iterator[Batch]:
    """An endless distributed iterator of uint8 batches, shuffled over the whole source.

    The run's images are numbered 0, 1, 2, ...: number n is the source's image
    permutation(seed, n // N)[n % N]. So each image comes once an epoch, a batch may run across
    the end of an epoch, starting at any number costs nothing, and the order does not depend on
    the number of replicas or on what was read before.

    Args:
      source: The images.
      global_batch_size: Examples a batch, over all replicas together.
      strategy: What the batches are distributed by.
      seed: Seed of the permutations.
      first_image: Number of the first image, `GanStep.images_seen` of the run.

    Raises:
      ArgumentError: If `first_image` is negative.
    """
    if first_image < 0:
        raise ArgumentError("first_image", first_image, "must not be negative", "start at 0")

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        pipeline_replicas = replicas // context.num_input_pipelines
        first_replica = context.input_pipeline_id * pipeline_replicas
        replica_batch_size = context.get_per_replica_batch_size(global_batch_size)

        def read(element: tf.Tensor) -> Batch:
            # The elements of one pipeline go to its replicas in turn.
            replica = first_replica + element % pipeline_replicas
            start = first_image + element // pipeline_replicas * global_batch_size
            numbers = start + replica * replica_batch_size
            numbers += tf.range(replica_batch_size, dtype=tf.int64)
            return _gather(source, shuffled_indices(numbers, len(source.images), seed))

        dataset = tf.data.Dataset.counter().map(read, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.prefetch(4)

    return iter(strategy.distribute_datasets_from_function(make_dataset))


def shuffled_indices(numbers: tf.Tensor, num_images: int, seed: int) -> tf.Tensor:
    """Which image of the source is the run's image number n: int64 [B] -> int64 [B].

    The op computes single elements of a pseudo-random permutation, without a buffer; its public
    wrapper, `tf.random.experimental.index_shuffle`, mishandles one seed an element.
    """
    epochs, offsets = numbers // num_images, numbers % num_images
    run = tf.fill(tf.shape(epochs), tf.constant(seed, tf.int64))
    return tf.raw_ops.RandomIndexShuffle(
        index=offsets,
        seed=tf.stack([run, epochs, tf.zeros_like(epochs)], axis=-1),
        max_index=tf.constant(num_images - 1, tf.int64),
        rounds=4,
    )


def _gather(source: ImageSource, indices: tf.Tensor) -> Batch:
    # NumPy reads from memory and from a memory map alike, and nothing is copied into the graph.
    images, labels = tf.numpy_function(
        lambda rows: (np.ascontiguousarray(source.images[rows]), source.labels[rows]),
        [indices],
        (tf.uint8, tf.int64),
    )
    batch_size = indices.shape[0]
    images.set_shape([batch_size, *source.image_shape])
    labels.set_shape([batch_size])
    return Batch(images, labels)
