"""What one update is given: a batch, latents, and random numbers by name."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from gan_core.computed_once import computed_once
from gan_core.errors import ArgumentError
from gan_core.images import ValueRange, from_uint8
from gan_core.latents import LatentDistribution


class Draw:
    """One replica's share of what an update is given.

    Everything random is drawn for the global batch and shared out by replicas, from the update's
    own seed: it depends neither on the number of replicas nor on what was drawn before, and a run
    that goes on draws what an uninterrupted one would have drawn.

    Args:
      batch: This replica's part of the global batch, of any structure; None in an update that was
        given none.
      seed: Integer [2], the update's own.
      latents: What the generator is fed.
      global_batch_size: Examples of the update over all replicas together.
      replica_batch_size: Examples of this replica, b below.
      value_range: What uint8 0 and 255 mean to the networks.
    """

    def __init__(
        self,
        batch: Any,
        seed: tf.Tensor,
        *,
        latents: LatentDistribution,
        global_batch_size: int,
        replica_batch_size: int,
        value_range: ValueRange,
    ):
        self._batch = batch
        self._seed = seed
        self._latents = latents
        self._global_batch_size = global_batch_size
        self._replica_batch_size = replica_batch_size
        self._value_range = value_range

    @property
    def batch(self) -> Any:
        """This replica's part of the batch.

        Raises:
          ArgumentError: If the update was given none.
        """
        if self._batch is None:
            raise ArgumentError(
                "batch",
                None,
                "is asked for by the game in this update, which was given none",
                "pass it: gan.update_generator(batch)",
            )
        return self._batch

    @computed_once
    def real_images(self) -> tf.Tensor:
        """`batch.images`, scaled if uint8: floats [b, H, W, C] in the model's range."""
        images = self.batch.images
        if images.shape[0] not in (None, self._replica_batch_size):
            raise ArgumentError(
                "batch",
                images.shape[0],
                f"must hold {self._replica_batch_size} examples a replica, of a "
                f"`global_batch_size` of {self._global_batch_size}",
                "give image_batches and GanStep the same",
            )
        return from_uint8(images, self._value_range)

    @computed_once
    def latents(self) -> tf.Tensor:
        """Float [b, Z]."""
        latents = self._latents(self._global_batch_size, self._seed)
        if not latents.dtype.is_floating:
            raise ArgumentError(
                "latents", latents.dtype.name, "must be floats", "cast them to float32"
            )
        return self._share(latents)

    def seed(self, name: str) -> tf.Tensor:
        """Integer [2]: a seed for `tf.random.stateless_*`, the same on all replicas."""
        return tf.random.fold_in(self._seed, zlib.crc32(name.encode()))

    def uniform(
        self, name: str, shape: Sequence[int] = (), minimum: float = 0.0, maximum: float = 1.0
    ) -> tf.Tensor:
        """Floats [b, *shape], uniform in [minimum, maximum); another name, other numbers."""
        numbers = tf.random.stateless_uniform(
            [self._global_batch_size, *shape],
            self.seed(name),
            minimum,
            maximum,
            dtype=keras.config.floatx(),
        )
        return self._share(numbers)

    def normal(self, name: str, shape: Sequence[int] = ()) -> tf.Tensor:
        """Floats [b, *shape], standard normal; another name, other numbers."""
        return self._share(
            tf.random.stateless_normal(
                [self._global_batch_size, *shape], self.seed(name), dtype=keras.config.floatx()
            )
        )

    def _share(self, numbers: tf.Tensor) -> tf.Tensor:
        """This replica's part of what was drawn for the global batch."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        size = self._replica_batch_size
        return numbers[replica * size : (replica + 1) * size]
