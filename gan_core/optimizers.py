"""Keras optimizers that treat several replicas as one; Adam in one kernel per variable."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from gan_core import internals
from gan_core.errors import ArgumentError

_OF_THE_SUM = ("gradient_accumulation_steps", "clipnorm", "global_clipnorm", "clipvalue")
"""Arguments that Keras applies to each replica's gradients instead of their sum."""


@keras.saving.register_keras_serializable("gan_core")
class Adam(internals.SummedGradients, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, section 2, last paragraph) as in Keras, computed in one pass.

    Keras 3 makes a dozen operations of an update, each of which reads and writes the whole
    variable; one kernel of TensorFlow does the same arithmetic. Arguments, variables and
    checkpoints are those of `keras.optimizers.Adam`, which handles sparse gradients and `amsgrad`.
    `clipnorm`, `global_clipnorm`, `clipvalue` and `gradient_accumulation_steps` apply to the
    gradients' sum over the replicas, so N replicas compute the same as one.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates a variable and its two moments in place."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        first_moment, second_moment = internals.adam_moments(self, variable)
        count = tf.cast(tf.convert_to_tensor(self.iterations) + 1, variable.dtype)
        beta_1, beta_2, epsilon = (
            tf.constant(number, variable.dtype)
            for number in (self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first_moment.handle,
            v=second_moment.handle,
            beta1_power=tf.pow(beta_1, count),
            beta2_power=tf.pow(beta_2, count),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


@keras.saving.register_keras_serializable("gan_core")
class RMSprop(internals.SummedGradients, keras.optimizers.RMSprop):
    """RMSprop (Hinton 2012, lecture 6e) as in Keras; sums over the replicas as in `Adam`."""


def check_over_replicas(
    argument: str, optimizer: keras.optimizers.Optimizer, strategy: tf.distribute.Strategy
) -> None:
    """Raises `ArgumentError` if several replicas would not compute the same as one.

    Args:
      argument: Name of the argument that holds the optimizer.
      optimizer: Any Keras optimizer, with or without loss scaling.
      strategy: The strategy of the replicas.
    """
    num_replicas = strategy.num_replicas_in_sync
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if num_replicas == 1 or isinstance(inner, internals.SummedGradients):
        return
    for name in _OF_THE_SUM:
        if getattr(inner, name, None):
            raise ArgumentError(
                argument,
                f"{inner.name} with {name}={getattr(inner, name)}",
                f"must compute the same on {num_replicas} replicas as on one, unlike that of Keras",
                "use gan_core.Adam or gan_core.RMSprop",
            )


def accumulated_updates(
    optimizer: keras.optimizers.Optimizer, iterations_before: tf.Tensor
) -> float | tf.Tensor:
    """The number of updates whose gradients the newest update has applied to the weights.

    Args:
      optimizer: The optimizer after its newest update.
      iterations_before: Its `iterations` before that.

    Returns:
      1; with accumulation a float scalar: 0 for an update that only accumulates.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    steps = inner.gradient_accumulation_steps
    if not steps:
        return 1
    return tf.cast((optimizer.iterations - iterations_before) * steps, keras.config.floatx())


def changing_learning_rates(
    optimizers: Mapping[str, keras.optimizers.Optimizer],
) -> dict[str, tf.Tensor]:
    """The learning rates of the next update as `<name>/learning_rate`; constant ones are left out.

    Args:
      optimizers: Optimizers by name.

    Returns:
      Float scalars.
    """
    rates = {name: optimizer.learning_rate for name, optimizer in optimizers.items()}
    return {
        f"{name}/learning_rate": tf.cast(rate, keras.config.floatx())
        for name, rate in rates.items()
        if not isinstance(rate, keras.Variable)
    }
