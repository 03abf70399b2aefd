"""Samples from fixed inputs: arrays of images, and pictures for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from gan_core.draw import stream_seed
from gan_core.errors import ArgumentError, check_positive
from gan_core.gan import Gan
from gan_core.images import to_uint8
from gan_core.run.pictures import grid

MakePicture = Callable[[], np.ndarray]
"""() -> uint8 [H, W, C], a picture of the generator's present samples."""

_AT_ONCE = 64


def generate_samples(
    gan: Gan,
    num_images: int,
    stream: str,
    conditions: Callable[[int, int], Mapping[str, Any]] = lambda start, count: {},
) -> np.ndarray:
    """Images of latents from a random stream: a pure function of the weights and the seed.

    Args:
      gan: Its generator is used, with averaged weights if there are any.
      num_images: Number of images.
      stream: Name of the random stream.
      conditions: (number of the first image, count) -> further inputs of the generator, by name.

    Returns:
      uint8 [num_images, H, W, C].

    Raises:
      ArgumentError: If the gan draws no latents.
    """
    return np.concatenate(list(generate_sample_batches(gan, num_images, stream, conditions)))


def generate_sample_batches(
    gan: Gan,
    num_images: int,
    stream: str,
    conditions: Callable[[int, int], Mapping[str, Any]] = lambda start, count: {},
) -> Iterator[np.ndarray]:
    """The images of `generate_samples` in batches, for more than fit into memory."""
    for start in range(0, num_images, _AT_ONCE):
        latents = _latents(gan, _AT_ONCE, stream, start)[: num_images - start]
        made = gan.sample(latents, **conditions(start, len(latents)))
        yield to_uint8(made, gan.value_range)


def samples_of(
    gan: Gan, inputs: Any, *, num_columns: int | None = None, **conditions: Any
) -> MakePicture:
    """A function that makes a grid of the generator's outputs for these inputs.

    Args:
      gan: Its generator is used, with averaged weights if there are any.
      inputs: [N, ...], the generator's first inputs, for example images to translate.
      num_columns: Images in a row; the square root of N, rounded up, when None.
      **conditions: Further inputs of the generator, by name.
    """

    def make_picture() -> np.ndarray:
        return grid(to_uint8(gan.sample(inputs, **conditions), gan.value_range), num_columns)

    return make_picture


def samples_of_latents(gan: Gan, num_images: int, **conditions: Any) -> MakePicture:
    """A function that makes a square grid from latents that are drawn once.

    Args:
      gan: As in `samples_of`.
      num_images: Number of images.
      **conditions: As in `samples_of`.

    Raises:
      ArgumentError: If the gan draws no latents.
    """
    return samples_of(gan, _latents(gan, num_images, "sample_latents"), **conditions)


def samples_by_class(
    gan: Gan, num_classes: int, *, num_columns: int = 8, name: str = "labels"
) -> MakePicture:
    """A function that makes a grid with a class in each row and the same latent in each column.

    Args:
      gan: As in `samples_of`; its generator takes class numbers, int64 [N], by `name`.
      num_classes: Number of rows, for classes 0, 1, ...
      num_columns: Number of latents.
      name: The generator's input of class numbers.

    Raises:
      ArgumentError: If a number is not above 0, or the gan draws no latents.
    """
    check_positive("num_classes", num_classes)
    check_positive("num_columns", num_columns)
    latents = tf.tile(_latents(gan, num_columns, "sample_latents"), [num_classes, 1])
    labels = tf.repeat(tf.range(num_classes, dtype=tf.int64), num_columns)
    return samples_of(gan, latents, num_columns=num_columns, **{name: labels})


def _latents(gan: Gan, count: int, stream: str, start: int = 0) -> tf.Tensor:
    if gan.latents is None:
        raise ArgumentError(
            "latents",
            None,
            "must be a distribution to draw samples from",
            "give the run's Program `make_picture`, for example gan_core.run.samples_of(gan, "
            "images), and its Evaluation `make_samples`",
        )
    return gan.latents(count, stream_seed(gan.seed, stream, start))
