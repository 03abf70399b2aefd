"""Conversion of images between uint8 and a network's range."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

ValueRange = tuple[float, float]
"""The values of uint8 0 and 255 for a network: (-1, 1) for tanh outputs, (0, 1) for sigmoid."""


def from_uint8(images: tf.Tensor, value_range: ValueRange = (-1.0, 1.0)) -> tf.Tensor:
    """Scales uint8 images to floats in `value_range`; floats are returned unchanged.

    Args:
      images: [B, H, W, C], uint8 in [0, 255], or floats already in range.
      value_range: The results for 0 and 255.

    Returns:
      Floats [B, H, W, C] of the type `keras.config.floatx()`.
    """
    floats = tf.cast(images, keras.config.floatx())
    if images.dtype != tf.uint8:
        return floats
    low, high = value_range
    return floats * ((high - low) / 255.0) + low


def to_uint8(images: tf.Tensor | np.ndarray, value_range: ValueRange = (-1.0, 1.0)) -> np.ndarray:
    """The inverse of `from_uint8`: rounds to the nearest of 256 levels, and clips.

    Args:
      images: [..., H, W, C] floats in `value_range`.
      value_range: The values that become 0 and 255.

    Returns:
      uint8 of the same shape.
    """
    low, high = value_range
    levels = (np.asarray(images, np.float32) - low) * (255.0 / (high - low))
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)
