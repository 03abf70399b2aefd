"""The data of a run: an image source in a resumable order, or your own batches."""

from __future__ import annotations

import dataclasses
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
"""images_seen -> batches from that position: a restored run continues reading where it stood."""


@dataclasses.dataclass(frozen=True)
class SourceData:
    """An image source, read in an order that depends on the gan's seed and position only.

    Attributes:
      source: The images.
      image_shape: (H, W, C) of the batches, to which larger images are cropped at random; the
        source's own when None.
      flip: Whether each image is mirrored with probability 1/2.
    """

    source: ImageSource
    image_shape: tuple[int, int, int] | None = None
    flip: bool = False

    @property
    def name(self) -> str:
        """Name for captions."""
        return self.source.name

    def describe(self) -> str:
        """One line for people."""
        return self.source.describe()

    @property
    def batch_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the batches."""
        return self.image_shape or self.source.image_shape

    def identity(self) -> Mapping[str, Any]:
        """Facts that identify these data, by name."""
        return {
            "data": self.name,
            "number of images": len(self.source.images),
            CONTENT: self.source.content_hash[:_HASH_DIGITS],
        }

    def batches(self, gan: Gan) -> Iterator[Batch]:
        """Batches from the gan's position."""
        return image_batches(
            self.source,
            global_batch_size=gan.global_batch_size,
            strategy=gan.strategy,
            seed=gan.seed,
            first_image=int(gan.images_seen.numpy()),
            image_shape=self.batch_shape,
            flip=self.flip,
        )

    def read(self, gan: Gan, numbers: np.ndarray) -> Batch:
        """The images at these positions of the gan's order, int64 [N]."""
        return read_images(
            self.source,
            tf.constant(numbers, tf.int64),
            seed=gan.seed,
            image_shape=self.batch_shape,
            flip=self.flip,
        )


@dataclasses.dataclass(frozen=True)
class OwnData:
    """Batches that the user makes.

    Attributes:
      make_batches: Called with `images_seen` at each start and after each rollback.
    """

    make_batches: MakeBatches
    name = "custom batches"

    def describe(self) -> str:
        """One line for people."""
        return self.name

    def identity(self) -> Mapping[str, Any]:
        """Empty: nothing identifies such data."""
        return {}

    def batches(self, gan: Gan) -> Iterator[Any]:
        """Batches from the gan's position."""
        return self.make_batches(int(gan.images_seen.numpy()))


RunData = SourceData | OwnData
