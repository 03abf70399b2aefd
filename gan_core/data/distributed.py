"""Distribution of tf.data batches among replicas; pipelines without an autotune thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.strategies import per_replica_batch_size

_PREFETCHED_BATCHES = 4


def distribute(
    dataset: tf.data.Dataset, strategy: tf.distribute.Strategy, global_batch_size: int
) -> Iterator[Any]:
    """A distributed iterator over the batches of a custom dataset.

    Each batch is divided evenly and in order: replica r of n receives the r-th of n equal parts of
    each tensor. So if the dataset is deterministic, the batches of a run do not depend on the
    number of replicas. With several workers each reads all batches and keeps its own part, so all
    must read the same batches: give `shuffle` a seed. Iteration starts at the beginning of the
    dataset; to resume a run, skip the batches it has seen: `dataset.skip(updates)`.

    Args:
      dataset: Endless, and batched at the global size: any nest of tensors whose leading dimension
        is `global_batch_size`, for example `dataset.repeat().batch(global_batch_size)`.
      strategy: Strategy that the batches are distributed by.
      global_batch_size: Examples per batch over all replicas.

    Raises:
      ArgumentError: If it is not a dataset, is not batched at the global size or ends, or if the
        number of replicas does not divide the batch.
    """
    _check(dataset, global_batch_size)
    per_replica_batch_size(global_batch_size, strategy)

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        if context.num_replicas_in_sync == 1:
            parts = dataset
        else:
            parts = _share(dataset, context, global_batch_size)
        return without_autotune(parts.prefetch(_PREFETCHED_BATCHES))

    return distributed_iterator(strategy, make_dataset)


def distributed_iterator(
    strategy: tf.distribute.Strategy,
    make_dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset],
) -> Iterator[Any]:
    """An iterator over global batches, without the device-side buffer of strategies.

    That buffer is another dataset with its own autotune thread, which options cannot disable, and
    which delays whoever drops the iterator. Images are bytes: copying them to the device on use
    takes no measurable time. Only several workers with several GPUs each still have the buffer.
    """
    made: list[tuple[int, tf.data.Dataset]] = []

    def keep(context: tf.distribute.InputContext) -> tf.data.Dataset:
        num_replicas = context.num_replicas_in_sync // context.num_input_pipelines
        made.append((num_replicas, make_dataset(context)))
        return made[-1][1]

    options = None
    if isinstance(strategy, tf.distribute.MirroredStrategy) and strategy.num_replicas_in_sync > 1:
        options = tf.distribute.InputOptions(
            experimental_fetch_to_device=False,
            experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
        )
    distributed = strategy.distribute_datasets_from_function(keep, options)
    if len(made) == 1 and made[0][0] == 1:
        return iter(made[0][1])
    return iter(distributed)


def _share(
    dataset: tf.data.Dataset, context: tf.distribute.InputContext, global_batch_size: int
) -> tf.data.Dataset:
    """The part of each batch for one pipeline: an element per replica, in turn."""
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    size = context.get_per_replica_batch_size(global_batch_size)
    first = context.input_pipeline_id * replicas * size

    def cut(tensor: tf.Tensor) -> tf.Tensor:
        part = tensor[first : first + replicas * size]
        return tf.reshape(part, [replicas, size, *tensor.shape[1:]])

    @tf.autograph.experimental.do_not_convert
    def share(*element: Any) -> Any:
        # `map` unpacks named tuples.
        parts = [cut(tensor) for tensor in tf.nest.flatten(element)]
        return tf.nest.pack_sequence_as(dataset.element_spec, parts)

    return dataset.map(share).unbatch()


def _check(dataset: tf.data.Dataset, global_batch_size: int) -> None:
    if not isinstance(dataset, tf.data.Dataset):
        raise ArgumentError(
            "dataset",
            type(dataset).__name__,
            "must be a tf.data.Dataset",
            "make one, or use image_batches for an ImageSource",
        )
    batched = f"dataset.repeat().batch({global_batch_size}, drop_remainder=True)"
    for spec in tf.nest.flatten(dataset.element_spec):
        is_tensor = isinstance(spec, tf.TensorSpec)
        if not is_tensor or not spec.shape.rank or spec.shape[0] != global_batch_size:
            raise ArgumentError(
                "dataset",
                f"elements {spec.shape}" if is_tensor else type(spec).__name__,
                f"must hold tensors batched at the global size, {global_batch_size}",
                f"use {batched}",
            )
        if not spec.shape.is_fully_defined():
            raise ArgumentError(
                "dataset",
                f"elements {spec.shape}",
                "must be of known sizes",
                "resize the images, or set their size by tf.ensure_shape in a map",
            )
    num_batches = int(dataset.cardinality())
    if num_batches >= 0:
        raise ArgumentError(
            "dataset",
            f"{num_batches} batches",
            "must not end before training does",
            f"use {batched}",
        )


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same dataset without tf.data's autotune thread.

    The thread sleeps for up to a minute at a time, and dropping an iterator waits until it wakes,
    at the end of a run or in a rollback. AUTOTUNE parallelism then stays at its initial value, the
    number of cores.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
