"""What the generator makes of the same inputs, time after time: images, and pictures of them."""

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
"""() -> uint8 [H, W, C], a picture of what the generator makes now."""

_AT_ONCE = 64


def generate_samples(
    gan: Gan,
    num_images: int,
    stream: str,
    conditions: Callable[[int, int], Mapping[str, Any]] = lambda start, count: {},
) -> np.ndarray:
    """Images of latents from a stream of their own: a pure function of the weights and the seed.

    Args:
      gan: Whose generator; where there is an average of its weights, that is used.
      num_images: How many.
      stream: Name of the stream of random numbers.
      conditions: (number of the first, how many) -> what the generator takes besides, by name.

    Returns:
      Uint8 [num_images, H, W, C].

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
    """The same images as `generate_samples`, some at a time, for more than fit into memory."""
    for start in range(0, num_images, _AT_ONCE):
        latents = _latents(gan, _AT_ONCE, stream, start)[: num_images - start]
        made = gan.sample(latents, **conditions(start, len(latents)))
        yield to_uint8(made, gan.value_range)


def samples_of(
    gan: Gan, inputs: Any, *, num_columns: int | None = None, **conditions: Any
) -> MakePicture:
    """A grid of what the generator makes of these inputs.

    Args:
      gan: Whose generator; where there is an average of its weights, that is used.
      inputs: [N, ...], what the generator takes first: images to translate, say.
      num_columns: Images in a row; the square root of N, rounded up, when None.
      **conditions: What the generator takes besides, by name.
    """

    def make_picture() -> np.ndarray:
        return grid(to_uint8(gan.sample(inputs, **conditions), gan.value_range), num_columns)

    return make_picture


def samples_of_latents(gan: Gan, num_images: int, **conditions: Any) -> MakePicture:
    """A square grid of the same latents, drawn once.

    Args:
      gan: As in `samples_of`.
      num_images: How many.
      **conditions: As in `samples_of`.

    Raises:
      ArgumentError: If the gan draws no latents.
    """
    return samples_of(gan, _latents(gan, num_images, "sample_latents"), **conditions)


def samples_by_class(
    gan: Gan, num_classes: int, *, num_columns: int = 8, name: str = "labels"
) -> MakePicture:
    """A grid with one class in each row, and the same latent in all classes of a column.

    Args:
      gan: As in `samples_of`; its generator takes class numbers, int64 [N], by `name`.
      num_classes: Rows: classes 0, 1, ...
      num_columns: Latents.
      name: What the generator calls the class numbers.

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
            "must be drawn to make samples of them",
            "give a run `make_picture` (gan_core.run.samples_of(gan, images), say) and its "
            "evaluation `make_samples`",
        )
    return gan.latents(count, stream_seed(gan.seed, stream, start))
