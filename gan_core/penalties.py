"""Penalties on the discriminator, per example."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable

import keras
import tensorflow as tf

from gan_core.draw import Draw
from gan_core.errors import ArgumentError, check_positive
from gan_core.game_state import GameState, Numbers
from gan_core.players import Augment, Outputs

Penalty = Callable[[Outputs, Draw], tf.Tensor]
"""(outputs, draw) -> floats [B]. Images that it passes to `outputs.discriminate` get the same
augmentation and conditions as those of the losses, and move no moving averages."""


@dataclasses.dataclass(frozen=True)
class Regularizer:
    """A weighted penalty that the discriminator minimises in addition to its loss.

    With `every_updates` above 1 it is lazy (Karras et al. 2020, StyleGAN2, section 3.1): computed
    in every k-th update with k times the weight, which keeps its mean.

    Attributes:
      name: Its name among the discriminator's terms.
      penalty: The penalty, per example.
      weight: Its factor; for R1 and R2 half of the papers' gamma, see `of_gamma`.
      every_updates: Interval in discriminator updates. Among a game's regularizers, each further
        interval that is not a multiple of another doubles the number of traced updates.
      state: Numbers that the penalty keeps from update to update; None for none.

    Raises:
      ArgumentError: If `weight` or `every_updates` is not above 0, or `every_updates` is not whole.
    """

    name: str
    penalty: Penalty
    weight: float
    every_updates: int = 1
    state: GameState | None = None

    @classmethod
    def of_gamma(
        cls, name: str, penalty: Penalty, gamma: float, every_updates: int = 1
    ) -> Regularizer:
        """A regularizer by gamma, as papers state R1 and R2: gamma / 2 times the squared norm."""
        return cls(name, penalty, gamma / 2, every_updates)

    @property
    def weight_when_due(self) -> float:
        """Its factor in those updates in which it is computed."""
        return self.weight * self.every_updates

    def __post_init__(self) -> None:
        if not isinstance(self.every_updates, numbers.Integral):
            rule = "must be a whole number"
            raise ArgumentError("every_updates", self.every_updates, rule, "use 16, for example")
        check_positive("weight", self.weight, "leave the regularizer out instead")
        check_positive("every_updates", self.every_updates, "use 1 for every update")


def r1(outputs: Outputs, draw: Draw) -> tf.Tensor:
    """R1: |gradient of the logit by the image|^2 at real images (Mescheder et al. 2018, eq. 9).

    The gradient is each example's own, unless the discriminator's batch normalization mixes them.
    """
    del draw
    return _squared_gradient_norms(outputs, outputs.real_images)


def r2(outputs: Outputs, draw: Draw) -> tf.Tensor:
    """R2: as `r1`, at fake images (Mescheder et al. 2018, eq. 10)."""
    del draw
    return _squared_gradient_norms(outputs, tf.stop_gradient(outputs.fake_images))


def wgan_gp(outputs: Outputs, draw: Draw) -> tf.Tensor:
    """WGAN-GP: (|gradient of the logit by the image| - 1)^2 between real and fake images.

    Gulrajani et al. 2017, equation 3; each pair has its own mixing ratio. The paper's weight is 10.
    """
    mix = draw.uniform("wgan_gp", (1, 1, 1))
    real = outputs.real_images
    fake = tf.cast(tf.stop_gradient(outputs.fake_images), real.dtype)
    norms = tf.sqrt(_squared_gradient_norms(outputs, real + mix * (fake - real)) + 1e-12)
    return (norms - 1.0) ** 2


def lecam(weight: float, decay: float = 0.99) -> Regularizer:
    """LeCam regularization (Tseng et al. 2021, R_LC), for small data sets.

        (d_real - anchor_fake)^2 + (d_fake - anchor_real)^2

    An anchor is the running mean of the real or the fake logits: over all updates at first, and
    exponential once that is the shorter memory. The term of the first update, which has no anchor,
    is 0. Anchors are logged as `game/lecam_real` and `game/lecam_fake`.

    Args:
      weight: 0.3 in the paper with a hinge loss; larger logits need a smaller weight.
      decay: Decay of the running means per discriminator update.

    Raises:
      ArgumentError: If `weight` is not above 0, or `decay` not in [0, 1).
    """
    if not 0 <= decay < 1:
        raise ArgumentError("decay", decay, "must be in [0, 1)", "use 0.99")

    def penalty(outputs: Outputs, draw: Draw) -> tf.Tensor:
        real = (outputs.real_logits - draw.state["lecam_fake"]) ** 2
        fake = (outputs.fake_logits - draw.state["lecam_real"]) ** 2
        return tf.where(draw.state["lecam_updates"] > 0, real + fake, 0.0)

    def update(numbers: Numbers, means: Numbers, num_images: int) -> Numbers:
        del num_images
        updates = numbers["lecam_updates"] + 1.0
        share = tf.maximum(1.0 / updates, 1.0 - decay)
        real = (1.0 - share) * numbers["lecam_real"] + share * means["real_logit"]
        fake = (1.0 - share) * numbers["lecam_fake"] + share * means["fake_logit"]
        return {"lecam_real": real, "lecam_fake": fake, "lecam_updates": updates}

    state = GameState(
        {"lecam_real": 0.0, "lecam_fake": 0.0, "lecam_updates": 0.0},
        update,
        lambda outputs: {"real_logit": outputs.real_logits, "fake_logit": outputs.fake_logits},
    )
    return Regularizer("lecam", penalty, weight, state=state)


def consistency(augment: Augment) -> Penalty:
    """Consistency: (logit of a real image - logit of it augmented)^2.

    Zhang et al. 2020, CR-GAN, equation 6; the paper's weight is 10.

    Args:
      augment: The augmentation that should not change the logit.
    """

    def penalty(outputs: Outputs, draw: Draw) -> tf.Tensor:
        augmented = augment(outputs.real_images, draw, "consistency")
        return (outputs.real_logits - outputs.discriminate(augmented)) ** 2

    return penalty


def _squared_gradient_norms(outputs: Outputs, images: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = outputs.discriminate(images)
        if logits.shape.rank == 2:  # of patches
            logits = tf.reduce_mean(logits, axis=1)
        total = tf.reduce_sum(logits)
    gradients = tf.cast(tape.gradient(total, images), keras.config.floatx())
    return tf.reduce_sum(gradients**2, axis=[1, 2, 3])
