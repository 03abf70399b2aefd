"""What a run reads: an image source in its order, or batches of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from gan_core.data.pipeline import image_batches, read_images
from gan_core.data.source import ImageSource
from gan_core.gan import Gan
from gan_core.run.record import CONTENT
from gan_core.types import Batch

_HASH_DIGITS = 16
MakeBatches = Callable[[int], Iterator[Any]]
"""images_seen -> batches from there on: after a restore the run goes on reading where it stood."""


class SourceData:
    """An image source in the order of a run.

    Args:
      gan: What is trained; its counter says where the run stands, its seed gives the order.
      source: The images.
      image_shape: (H, W, C) of the batches, to which larger images are cropped at random; the
        source's own when None.
      flip: Whether each image is mirrored with probability 1/2.
    """

    def __init__(
        self,
        gan: Gan,
        source: ImageSource,
        image_shape: tuple[int, int, int] | None = None,
        flip: bool = False,
    ):
        self.name = source.name
        self.description = source.describe()
        self.image_shape = image_shape or source.image_shape
        self._gan = gan
        self._source = source
        self._flip = flip

    def identity(self) -> Mapping[str, Any]:
        """What tells these data from others, by name."""
        source = self._source
        return {
            "data": self.name,
            "number of images": len(source.images),
            CONTENT: source.content_hash[:_HASH_DIGITS],
        }

    def batches(self) -> Iterator[Batch]:
        """Batches from where the run stands."""
        return image_batches(
            self._source,
            global_batch_size=self._gan.global_batch_size,
            strategy=self._gan.strategy,
            seed=self._gan.seed,
            first_image=int(self._gan.images_seen.numpy()),
            image_shape=self.image_shape,
            flip=self._flip,
        )

    def read(self, numbers: np.ndarray) -> Batch:
        """The run's images of these numbers, [B] below the number of images that it reads."""
        return read_images(
            self._source,
            tf.constant(numbers, tf.int64),
            seed=self._gan.seed,
            image_shape=self.image_shape,
            flip=self._flip,
        )

    def first(self, count: int) -> Batch:
        """The run's first images, `count` of them or as many as there are."""
        return self.read(np.arange(min(count, len(self._source.images))))


class OwnData:
    """Batches that the user makes.

    Args:
      gan: What is trained.
      make_batches: Called with `images_seen` at each start and after each rollback.
    """

    name = "batches of its own"
    description = name

    def __init__(self, gan: Gan, make_batches: MakeBatches):
        self._gan = gan
        self._make_batches = make_batches

    def identity(self) -> Mapping[str, Any]:
        """Nothing tells such data from others."""
        return {}

    def batches(self) -> Iterator[Any]:
        """Batches from where the run stands."""
        return self._make_batches(int(self._gan.images_seen.numpy()))
