"""Penalties on the discriminator, per example."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from gan_core.draw import Draw
from gan_core.errors import check_positive
from gan_core.players import Augment, Outputs

Penalty = Callable[[Outputs, Draw], tf.Tensor]
"""(outputs, draw) -> floats [B]. What it puts through `outputs.discriminate` meets the same
augmentation and conditions as the losses' images, and moves no moving averages."""


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


def r1(outputs: Outputs, draw: Draw) -> tf.Tensor:
    """|gradient of the logit by the image|^2 at real images (Mescheder et al. 2018, eq. 9).

    Each example's own gradient, unless batch normalization in the discriminator mixes them.
    """
    del draw
    return _squared_gradient_norms(outputs, outputs.real_images)


def r2(outputs: Outputs, draw: Draw) -> tf.Tensor:
    """As `r1`, at fake images (Mescheder et al. 2018, eq. 10)."""
    del draw
    return _squared_gradient_norms(outputs, tf.stop_gradient(outputs.fake_images))


def wgan_gp(outputs: Outputs, draw: Draw) -> tf.Tensor:
    """(|gradient of the logit by the image| - 1)^2 between real and fake images.

    Gulrajani et al. 2017, equation 3; each pair is mixed by a number of its own. The paper's
    weight is 10.
    """
    mix = draw.uniform("wgan_gp", (1, 1, 1))
    real = outputs.real_images
    fake = tf.cast(tf.stop_gradient(outputs.fake_images), real.dtype)
    norms = tf.sqrt(_squared_gradient_norms(outputs, real + mix * (fake - real)) + 1e-12)
    return (norms - 1.0) ** 2


def consistency(augment: Augment) -> Penalty:
    """(logit of a real image - logit of it augmented)^2 (Zhang et al. 2020, CR-GAN, equation 6).

    The paper's weight is 10.

    Args:
      augment: What should not change the logit.
    """

    def penalty(outputs: Outputs, draw: Draw) -> tf.Tensor:
        augmented = augment(outputs.real_images, draw, "consistency")
        return (outputs.real_logits - outputs.discriminate(augmented)) ** 2

    return penalty


def _squared_gradient_norms(outputs: Outputs, images: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(outputs.discriminate(images))
    gradients = tf.cast(tape.gradient(total, images), keras.config.floatx())
    return tf.reduce_sum(gradients**2, axis=[1, 2, 3])
