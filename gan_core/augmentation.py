"""Differentiable augmentation: what the discriminator sees is changed, real and fake alike."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from gan_core.choices import AUGMENTATIONS
from gan_core.draw import Draw
from gan_core.errors import check_known
from gan_core.players import Augment

_SHIFT = 1 / 8
_CUTOUT = 1 / 2


def differentiable_augmentation(*names: str) -> Augment:
    """DiffAugment (Zhao et al. 2020, section 3), image by image.

    It keeps a discriminator from learning few images by heart, and generators do not learn it
    where it comes to real and fake images alike. For digits take translation and cutout.

    Args:
      *names: What is done, in this order. `colour`: brightness by -0.5 to 0.5, saturation times 0
        to 2, contrast times 0.5 to 1.5. `translation`: by up to an eighth of each side, zeros come
        in. `cutout`: a square of half of each side, at a random place, becomes zero.

    Returns:
      (images [b, H, W, C], draw, name of the draws) -> the same shape and type.

    Raises:
      ArgumentError: If there is no such augmentation, or none is named.
    """
    for name in names or ("nothing",):
        check_known("augment", name, AUGMENTATIONS)

    def augment(images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
        for name in names:
            images = _BY_NAME[name](images, draw, f"{stream}/{name}")
        return images

    return augment


def _colour(images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
    shape = (1, 1, 1)
    brightness = draw.uniform(f"{stream}/brightness", shape, -0.5, 0.5)
    saturation = draw.uniform(f"{stream}/saturation", shape, 0.0, 2.0)
    contrast = draw.uniform(f"{stream}/contrast", shape, 0.5, 1.5)
    images += tf.cast(brightness, images.dtype)
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = (images - grey) * tf.cast(saturation, images.dtype) + grey
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return (images - mean) * tf.cast(contrast, images.dtype) + mean


def _translation(images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
    for axis, side in ((1, "down"), (2, "right")):
        size = images.shape[axis]
        most = round(size * _SHIFT)
        shifts = _whole_numbers(draw, f"{stream}/{side}", -most, most)
        # One line of zeros on each side, from which all comes that was not in the image.
        padding = [[0, 0]] * axis + [[1, 1]] + [[0, 0]] * (3 - axis)
        sources = tf.clip_by_value(tf.range(size) - shifts[:, None] + 1, 0, size + 1)
        images = tf.gather(tf.pad(images, padding), sources, axis=axis, batch_dims=1)
    return images


def _cutout(images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
    inside = tf.ones([1, 1, 1, 1], tf.bool)
    for axis, side in ((1, "down"), (2, "right")):
        size = images.shape[axis]
        length = round(size * _CUTOUT)
        centres = _whole_numbers(draw, f"{stream}/{side}", 0, size - (length + 1) % 2)
        offsets = tf.range(size) - centres[:, None] + length // 2
        shape = [-1, size, 1, 1] if axis == 1 else [-1, 1, size, 1]
        inside &= tf.reshape((offsets >= 0) & (offsets < length), shape)
    return tf.where(inside, tf.zeros([], images.dtype), images)


def _whole_numbers(draw: Draw, stream: str, low: int, high: int) -> tf.Tensor:
    """int32 [b], uniform from `low` to `high`, both included."""
    return tf.cast(tf.floor(draw.uniform(stream, (), float(low), high + 1.0)), tf.int32)


_BY_NAME: dict[str, Callable[[tf.Tensor, Draw, str], tf.Tensor]] = {
    "colour": _colour,
    "translation": _translation,
    "cutout": _cutout,
}
