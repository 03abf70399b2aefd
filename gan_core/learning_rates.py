"""Learning-rate schedules: decay and warm-up."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gan_core.choices import LEARNING_RATES
from gan_core.errors import ArgumentError, check_known, check_positive


def learning_rate(
    peak: float,
    decay: str = "constant",
    *,
    decay_steps: int = 0,
    final_share: float = 0.0,
    warm_up_steps: int = 0,
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate for a Keras optimizer: a number, or a function of its count of updates.

    With n updates done, W of warm-up and D in total, p = clip((n - W) / (D - W), 0, 1) and final
    share s, the next update's rate is `peak` times

        (n + 1) / W                              while n < W
        1                                        constant
        s + (1 - s) (1 - p)                      linear
        s + (1 - s) (1 + cos(pi p)) / 2          cosine (Loshchilov & Hutter 2017, equation 5)

    The only state is the optimizer's own count of updates, so a resumed run has the same rates.

    Args:
      peak: The highest rate.
      decay: `constant`, `linear` or `cosine`.
      decay_steps: The update from which the rate stays at `final_share` times `peak`; updates that
        only accumulate gradients count too.
      final_share: In [0, 1].
      warm_up_steps: The first updates, in which the rate rises to `peak`.

    Raises:
      ArgumentError: If the decay is not recognised, or a number is out of its range.
    """
    check_known("decay", decay, LEARNING_RATES)
    check_positive("peak", peak)
    if not 0 <= final_share <= 1:
        raise ArgumentError("final_share", final_share, "must be in [0, 1]", "use 0.1, for example")
    if warm_up_steps < 0:
        raise ArgumentError("warm_up_steps", warm_up_steps, "must not be negative", "use 0")
    after: float | keras.optimizers.schedules.LearningRateSchedule = peak
    if decay != "constant":
        if decay_steps <= warm_up_steps:
            raise ArgumentError(
                "decay_steps",
                decay_steps,
                f"must be above `warm_up_steps` ({warm_up_steps})",
                "use the steps of the run",
            )
        length = decay_steps - warm_up_steps
        if decay == "cosine":
            after = keras.optimizers.schedules.CosineDecay(peak, length, final_share)
        else:
            after = keras.optimizers.schedules.PolynomialDecay(peak, length, final_share * peak)
    return WarmUp(peak, warm_up_steps, after) if warm_up_steps else after


@keras.saving.register_keras_serializable("gan_core")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises linearly to `peak` in `steps` updates, and then follows `after`."""

    def __init__(
        self,
        peak: float,
        steps: int,
        after: float | keras.optimizers.schedules.LearningRateSchedule,
    ):
        super().__init__()
        self.peak = peak
        self.steps = steps
        self.after = after

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate, a float scalar, after `step` updates."""
        step = tf.convert_to_tensor(step)
        rising = self.peak * (tf.cast(step + 1, keras.config.floatx()) / float(self.steps))
        if not callable(self.after):
            return tf.where(step < self.steps, rising, self.after)
        # Keras's schedules always compute in float32.
        after = tf.cast(self.after(tf.maximum(step - self.steps, 0)), rising.dtype)
        return tf.where(step < self.steps, rising, after)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        after = keras.saving.serialize_keras_object(self.after)
        return {"peak": self.peak, "steps": self.steps, "after": after}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """The schedule of a `get_config`."""
        after = keras.saving.deserialize_keras_object(config["after"])
        return cls(**config | {"after": after})
