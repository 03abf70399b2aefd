"""Latent distributions: the random inputs of a generator."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from etils import epy

from gan_core.errors import ArgumentError, check_positive

with epy.lazy_imports():
    import keras
    import tensorflow as tf


class LatentDistribution(Protocol):
    """A distribution of latents [Z], drawn from a stateless seed."""

    @property
    def size(self) -> int:
        """Z, the length of one latent."""
        ...

    def __call__(self, num_latents: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws floats [num_latents, size]; `seed` is an integer [2]."""


@dataclasses.dataclass(frozen=True)
class NormalLatents:
    """Independent standard normal latents.

    Raises:
      ArgumentError: If `size` is not above 0.
    """

    size: int

    def __post_init__(self) -> None:
        check_positive("size", self.size)

    def __call__(self, num_latents: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws floats [num_latents, size]; `seed` is an integer [2]."""
        return tf.random.stateless_normal(
            [num_latents, self.size], seed, dtype=keras.config.floatx()
        )


@dataclasses.dataclass(frozen=True)
class UniformLatents:
    """Independent latents, uniform in [low, high).

    Raises:
      ArgumentError: If `size` is not above 0 or `low` is not below `high`.
    """

    size: int
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_positive("size", self.size)
        if not self.low < self.high:
            raise ArgumentError(
                "low", self.low, f"must be below `high` ({self.high})", "swap the two"
            )

    def __call__(self, num_latents: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws floats [num_latents, size]; `seed` is an integer [2]."""
        return tf.random.stateless_uniform(
            [num_latents, self.size],
            seed,
            minval=self.low,
            maxval=self.high,
            dtype=keras.config.floatx(),
        )
