"""Shuffled batches of an image source, in an order that can start at any image."""

from __future__ import annotations

import os
from collections.abc import Iterator

import tensorflow as tf

from gan_core.data.distributed import distributed_iterator, without_autotune
from gan_core.data.source import ImageSource, shape_text
from gan_core.errors import ArgumentError
from gan_core.types import Batch

_LARGEST_NUMBER = 2**62 - 1
_ROUNDS = 16
_PREFETCHED_BATCHES = 4
_ORDER_STREAM, _TOP_STREAM, _LEFT_STREAM, _FLIP_STREAM = range(4)


def image_batches(
    source: ImageSource,
    *,
    global_batch_size: int,
    strategy: tf.distribute.Strategy,
    seed: int = 0,
    first_image: int = 0,
    image_shape: tuple[int, int, int] | None = None,
    flip: bool = False,
) -> Iterator[Batch]:
    """An endless distributed iterator of uint8 batches, shuffled over the whole source.

    The images of a run are numbered 0, 1, 2, ...: number n is the source's image
    permutation(seed, n // N)[n % N]. So each image occurs once per epoch, a batch may extend over
    the end of an epoch, starting at any number costs nothing, and the order does not depend on the
    number of replicas or on earlier reads.

    Args:
      source: The images.
      global_batch_size: Examples per batch over all replicas.
      strategy: Strategy that the batches are distributed by.
      seed: Seed of the permutations, crops and flips.
      first_image: Number of the first image, `Gan.images_seen` of the run.
      image_shape: (H, W, C) of the batches; larger images of the source are cropped to it at a new
        random position each time. The source's own shape when None.
      flip: Mirror each image left to right with probability 1/2.

    Raises:
      ArgumentError: If `first_image` is negative or the source's images are smaller than
        `image_shape`.
    """
    image_shape = _checked_shape(source, image_shape)
    if first_image < 0:
        raise ArgumentError("first_image", first_image, "must not be negative", "start at 0")

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        pipeline_replicas = replicas // context.num_input_pipelines
        first_replica = context.input_pipeline_id * pipeline_replicas
        replica_batch_size = context.get_per_replica_batch_size(global_batch_size)

        @tf.autograph.experimental.do_not_convert  # conversion adds half a second to each start
        def read(element: tf.Tensor) -> Batch:
            # Elements of one pipeline go to its replicas in turn.
            replica = first_replica + element % pipeline_replicas
            start = first_image + element // pipeline_replicas * global_batch_size
            numbers = start + replica * replica_batch_size
            numbers += tf.range(replica_batch_size, dtype=tf.int64)
            return read_images(source, numbers, seed=seed, image_shape=image_shape, flip=flip)

        dataset = tf.data.Dataset.counter().map(read, num_parallel_calls=_parallel_reads())
        return without_autotune(dataset.prefetch(_PREFETCHED_BATCHES))

    return distributed_iterator(strategy, make_dataset)


def _parallel_reads() -> int:
    """Number of batches assembled in parallel; more would compete for the same cores."""
    return min(os.cpu_count() or 1, _PREFETCHED_BATCHES)


def read_images(
    source: ImageSource,
    numbers: tf.Tensor,
    *,
    seed: int = 0,
    image_shape: tuple[int, int, int] | None = None,
    flip: bool = False,
) -> Batch:
    """The images of a run with the given numbers, as in `image_batches`.

    Args:
      source: The images.
      numbers: Int64 [B].
      seed: As in `image_batches`.
      image_shape: As in `image_batches`.
      flip: As in `image_batches`.

    Returns:
      Images, uint8 [B, H, W, C], and labels, int64 [B].
    """
    height, width, channels = _checked_shape(source, image_shape)
    source_height, source_width, _ = source.image_shape
    rows = shuffled_indices(numbers, len(source.images), seed)
    tops = _random_integers(numbers, seed, _TOP_STREAM, source_height - height)
    lefts = _random_integers(numbers, seed, _LEFT_STREAM, source_width - width)
    mirrored = _random_integers(numbers, seed, _FLIP_STREAM, int(flip))

    # TensorFlow only: dropping an iterator whose pipeline runs Python, for example in a rollback,
    # waits for Python while holding Python's lock.
    all_images, all_labels = source.tensors()
    images = tf.gather(all_images, rows)
    if flip or source.image_shape != (height, width, channels):
        ys = tops[:, None] + tf.range(height, dtype=tf.int64)
        columns = tf.range(width, dtype=tf.int64)
        columns = tf.where(mirrored[:, None] == 1, width - 1 - columns, columns)
        images = tf.gather(images, ys, axis=1, batch_dims=1)
        images = tf.gather(images, lefts[:, None] + columns, axis=2, batch_dims=1)
    return Batch(images, tf.gather(all_labels, rows))


def shuffled_indices(numbers: tf.Tensor, num_images: int, seed: int) -> tf.Tensor:
    """Indices in the source of the run's images of the given numbers: int64 [B] -> int64 [B].

    The op computes single elements of a pseudo-random permutation, without a buffer; its public
    wrapper, `tf.random.experimental.index_shuffle`, mishandles one seed per element.
    """
    epochs, offsets = numbers // num_images, numbers % num_images
    return _permuted(offsets, epochs, seed, _ORDER_STREAM, num_images - 1)


def _random_integers(numbers: tf.Tensor, seed: int, stream: int, maximum: int) -> tf.Tensor:
    """A uniform integer from 0 to `maximum` for each number."""
    keys = tf.zeros_like(numbers)
    return _permuted(numbers, keys, seed, stream, _LARGEST_NUMBER) % (maximum + 1)


def _permuted(
    index: tf.Tensor, keys: tf.Tensor, seed: int, stream: int, max_index: int
) -> tf.Tensor:
    """Images of indices under the permutations of [0, max_index] keyed by (seed, key, stream)."""
    seeds = [tf.fill(tf.shape(keys), tf.constant(part, tf.int64)) for part in (seed, stream)]
    return tf.raw_ops.RandomIndexShuffle(
        index=index,
        seed=tf.stack([seeds[0], keys, seeds[1]], axis=-1),
        max_index=tf.constant(max_index, tf.int64),
        rounds=_ROUNDS,
    )


def _checked_shape(
    source: ImageSource, image_shape: tuple[int, int, int] | None
) -> tuple[int, int, int]:
    image_shape = image_shape or source.image_shape
    if image_shape[2] != source.image_shape[2] or any(
        wanted > has for wanted, has in zip(image_shape, source.image_shape, strict=True)
    ):
        raise ArgumentError(
            "image_shape",
            shape_text(image_shape),
            f"must fit into the images of {source.name}, {shape_text(source.image_shape)}",
            "fit the source to it",
        )
    return image_shape
