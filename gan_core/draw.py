"""Inputs of one update: batch, latents and named random numbers."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.images import ValueRange, from_uint8
from gan_core.latents import LatentDistribution
from gan_core.types import computed_once

_SLACK = 0.1
"""Tolerance of the range check, as a share of the range: resizing overshoots a little."""

_OUTSIDE = "float images outside of the range: from"


class Draw:
    """One replica's share of the inputs of an update.

    Random numbers are drawn for the global batch from the update's own seed, and each replica takes
    its share: they depend neither on the number of replicas nor on earlier draws, and a resumed run
    draws the same numbers as an uninterrupted one.

    Args:
      batch: This replica's part of the global batch, of any structure; None in an update without.
      seed: Integer [2], the update's own.
      latents: Distribution of the generator's inputs; None if it has none.
      global_batch_size: Examples of the update over all replicas together.
      replica_batch_size: Examples of this replica, b below.
      value_range: The values of uint8 0 and 255 for the networks.
      images_seen: The run's counter: during the run's first batch, float images are checked to be
        in the range. Never checked when None.
      state: The game's numbers, by name.

    Attributes:
      state: Float scalars by name: see `GameState`.
      update_seed: Integer [2], the update's own.
    """

    def __init__(
        self,
        batch: Any,
        seed: tf.Tensor,
        *,
        latents: LatentDistribution | None,
        global_batch_size: int,
        replica_batch_size: int,
        value_range: ValueRange,
        images_seen: tf.Variable | None = None,
        state: Mapping[str, tf.Tensor] | None = None,
    ):
        self.state = state or {}
        self._batch = batch
        self.update_seed = seed
        self._latents = latents
        self.global_batch_size = global_batch_size
        self.replica_batch_size = replica_batch_size
        self._value_range = value_range
        self._images_seen = images_seen

    @property
    def batch(self) -> Any:
        """This replica's part of the batch.

        Raises:
          ArgumentError: If the update has none.
        """
        if self._batch is None:
            raise ArgumentError(
                "batch",
                None,
                "is needed by this game, but none was passed",
                "call gan.update_generator(batch)",
            )
        return self._batch

    @computed_once
    def real_images(self) -> tf.Tensor:
        """The batch's images, scaled if uint8: floats [b, H, W, C] in the value range.

        They are `batch.images`, `batch["images"]`, `batch["image"]`, or the batch itself.

        Raises:
          ArgumentError: If the batch holds none of these, or as in `scaled`.
        """
        batch = self.batch
        images = getattr(batch, "images", batch)
        if isinstance(batch, Mapping):
            images = batch.get("images", batch.get("image"))
        if not tf.is_tensor(images):
            names = ", ".join(map(str, batch)) if isinstance(batch, Mapping) else None
            raise ArgumentError(
                "batch",
                names or type(batch).__name__,
                "must name its images",
                'use a dict with "images", or a game whose `forward` unpacks draw.batch',
            )
        return self.scaled(images)

    def scaled(self, images: tf.Tensor) -> tf.Tensor:
        """Images of the batch in the value range, floats [b, H, W, C].

        Args:
          images: uint8 [b, H, W, C], which are scaled, or floats already in the range.

        Raises:
          ArgumentError: If there are not b of them, if they are integers other than uint8, or if
            floats of a run's first batch are not in the range. In your own `tf.function` the last
            is an `InvalidArgumentError`; an update that XLA compiles does not check it.
        """
        if images.dtype != tf.uint8 and not images.dtype.is_floating:
            raise ArgumentError(
                "batch",
                f"images of {images.dtype.name}",
                "must be uint8, which is scaled, or floats in `value_range`",
                "cast them to uint8 if they are from 0 to 255",
            )
        if images.shape[0] not in (None, self.replica_batch_size):
            raise ArgumentError(
                "batch",
                images.shape[0],
                f"must hold {self.replica_batch_size} examples a replica, of a "
                f"`global_batch_size` of {self.global_batch_size}",
                "use the same size for the batches and Gan",
            )
        if images.dtype.is_floating and self._images_seen is not None:
            self._check_range(images)
        return from_uint8(images, self._value_range)

    @computed_once
    def latents(self) -> tf.Tensor:
        """Latents, floats [b, Z].

        Raises:
          ArgumentError: If the gan has no distribution of latents, or it does not draw floats.
        """
        if self._latents is None:
            raise ArgumentError(
                "latents",
                None,
                "are needed by the game",
                "give Gan a distribution, for example latents=gan_core.NormalLatents(100)",
            )
        latents = self._latents(self.global_batch_size, self.update_seed)
        if not latents.dtype.is_floating:
            raise ArgumentError(
                "latents", latents.dtype.name, "must be floats", "cast them to float32"
            )
        return self._share(latents)

    def seed(self, name: str) -> tf.Tensor:
        """A seed for `tf.random.stateless_*` by name, integer [2], equal on all replicas."""
        return tf.random.fold_in(self.update_seed, zlib.crc32(name.encode()))

    def uniform(
        self, name: str, shape: Sequence[int] = (), minimum: float = 0.0, maximum: float = 1.0
    ) -> tf.Tensor:
        """Floats [b, *shape], uniform in [minimum, maximum); each name gives other numbers."""
        numbers = tf.random.stateless_uniform(
            [self.global_batch_size, *shape],
            self.seed(name),
            minimum,
            maximum,
            dtype=keras.config.floatx(),
        )
        return self._share(numbers)

    def normal(self, name: str, shape: Sequence[int] = ()) -> tf.Tensor:
        """Floats [b, *shape], standard normal; each name gives other numbers."""
        return self._share(
            tf.random.stateless_normal(
                [self.global_batch_size, *shape], self.seed(name), dtype=keras.config.floatx()
            )
        )

    def _check_range(self, images: tf.Tensor) -> None:
        """Refuses floats out of range, in the run's first batch only, since checks cost time."""
        assert self._images_seen is not None
        is_later = self._images_seen > self.global_batch_size
        low, high = self._value_range
        slack = _SLACK * (high - low)
        if tf.executing_eagerly():
            if is_later:
                return
            lowest, highest = (float(edge(images)) for edge in (tf.reduce_min, tf.reduce_max))
            if not low - slack <= lowest <= highest <= high + slack:
                raise _range_error(f"{lowest:g} to {highest:g}")
            return

        def check() -> tf.Tensor:
            lowest, highest = tf.reduce_min(images), tf.reduce_max(images)
            fits = (lowest >= low - slack) & (highest <= high + slack)
            found = tf.strings.format(_OUTSIDE + " {} to {}.", (lowest, highest))
            tf.debugging.Assert(fits, [found])
            return fits

        tf.cond(is_later, lambda: True, check)

    def _share(self, numbers: tf.Tensor) -> tf.Tensor:
        """This replica's share of numbers that were drawn for the global batch."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        size = self.replica_batch_size
        return numbers[replica * size : (replica + 1) * size]


def range_error_in(error: tf.errors.InvalidArgumentError) -> ArgumentError | None:
    """The `ArgumentError` for float images out of range that a graph has found; None for others."""
    found = re.search(f"{_OUTSIDE} (.*?)\\.\\W*$", error.message, re.MULTILINE)
    return _range_error(found[1]) if found else None


def _range_error(found: str) -> ArgumentError:
    return ArgumentError(
        "batch",
        f"float images from {found}",
        "must be in `value_range`",
        "use uint8 images, which are scaled for you, or scale them, for example images / 127.5 - 1",
    )


DRAWS_BETWEEN_ROLLBACKS = 2**48
"""More draws than a run can make, so that draws after a rollback never repeat earlier ones."""


def stream_seed(seed: int, stream: str, index: tf.Tensor | int) -> tf.Tensor:
    """The seed of one draw, for the `tf.random.stateless_*` functions.

    Args:
      seed: The run's seed, from 0 to 2**32 - 1.
      stream: Name of the stream; draws of different streams are unrelated.
      index: Scalar integer, number of the draw in its stream.

    Returns:
      int64 [2].
    """
    base = tf.constant([seed, zlib.crc32(stream.encode())], tf.uint32)
    return tf.random.fold_in(tf.bitcast(base, tf.int32), tf.cast(index, tf.int64))


def seed_for_xla(seed: tf.Tensor) -> tf.Tensor:
    """A seed int64 [2] folded into int32 [2]: XLA ignores the upper half of each number.

    The draws differ from those of the original seed, and are as unrelated between seeds.
    """
    (first, first_high), (second, second_high) = (
        tf.unstack(halves) for halves in tf.unstack(tf.bitcast(seed, tf.int32))
    )
    folded = tf.stack([first, first_high])
    for half in (second_high, second):
        folded = tf.random.fold_in(folded, half)
    return folded
