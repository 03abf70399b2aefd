"""The shapes of what passes between the floors.

Floats are of the type that Keras is told to compute in, `keras.config.floatx()`: float32, unless a
program sets another before it builds anything.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Batch(NamedTuple):
    """One batch of real examples.

    Attributes:
      images: [B, H, W, C], uint8 in [0, 255], or floats that are already in the model's range.
      labels: [B], int64 class numbers; -1 where the class is unknown.
    """

    images: tf.Tensor
    labels: tf.Tensor


Terms = dict[str, tf.Tensor]
"""Per-example values by name, each floats [B]; the sum of a network's terms is its loss."""

Metrics = dict[str, tf.Tensor]
"""Scalars by name, floats: means over a global batch, or over several of them."""

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


def gradient_check(network: str) -> str:
    """The metric that is 0 if all gradients of a network are finite, and NaN otherwise."""
    return f"{network}/gradient"
