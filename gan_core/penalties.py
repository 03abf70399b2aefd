"""Penalties on the discriminator's gradient, per example."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from gan_core.errors import check_positive

Discriminate = Callable[[tf.Tensor], tf.Tensor]
"""Images [B, H, W, C] -> logits [B]."""

Penalty = Callable[[Discriminate, tf.Tensor, tf.Tensor], tf.Tensor]
"""(discriminate, real images, fake images) -> [B] float32."""


@dataclasses.dataclass(frozen=True)
class Regularizer:
    """A penalty that the discriminator minimises beside its loss.

    With `every_steps` above 1 it is lazy (Karras et al. 2020, StyleGAN2, section 3.1): computed in
    every so many updates, that many times as strong, so that the mean is the same.

    Attributes:
      name: Its name among the terms.
      penalty: What is penalised.
      weight: Its factor; for R1 half of the paper's gamma.
      every_steps: Discriminator updates from one to the next.

    Raises:
      ArgumentError: If `weight` or `every_steps` is not above 0.
    """

    name: str
    penalty: Penalty
    weight: float
    every_steps: int = 1

    def __post_init__(self) -> None:
        check_positive("weight", self.weight, "leave the regularizer out instead")
        check_positive("every_steps", self.every_steps, "use 1 for every update")


def r1(discriminate: Discriminate, real_images: tf.Tensor, fake_images: tf.Tensor) -> tf.Tensor:
    """|gradient of the logit by the image|^2 at real images (Mescheder et al. 2018, eq. 9).

    Each example's own gradient, unless batch normalization in the discriminator mixes them.
    """
    del fake_images
    return _squared_gradient_norms(discriminate, real_images)


def r2(discriminate: Discriminate, real_images: tf.Tensor, fake_images: tf.Tensor) -> tf.Tensor:
    """As `r1`, at fake images (Mescheder et al. 2018, eq. 10)."""
    del real_images
    return _squared_gradient_norms(discriminate, tf.stop_gradient(fake_images))


def _squared_gradient_norms(discriminate: Discriminate, images: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(discriminate(images))
    gradients = tf.cast(tape.gradient(total, images), tf.float32)
    return tf.reduce_sum(gradients**2, axis=[1, 2, 3])
