"""Keras's optimizers, made for several replicas; Adam in one kernel a variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from gan_core.errors import ArgumentError

_OF_THE_SUM = ("gradient_accumulation_steps", "clipnorm", "global_clipnorm", "clipvalue")
"""What Keras does to each replica's gradients, and means to do to their sum."""


class _OfTheSum(keras.optimizers.Optimizer):
    """Clips and accumulates gradients that are summed over the replicas.

    Keras clips each replica's part of a gradient, so that the result depends on their number, and
    decides within the replicas whether an update is due, where they cannot talk to each other. The
    arguments and the variables are those of Keras.
    """

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates the optimizer's variables.

        Raises:
          ArgumentError: If Keras's own average is asked for together with accumulation.
        """
        if self.use_ema and self.gradient_accumulation_steps:
            raise ArgumentError(
                "use_ema",
                True,
                "does not go with `gradient_accumulation_steps`",
                "have the average made: Gan(average_half_life_images=10_000)",
            )
        super().build(variables)

    def _clip_gradients(self, gradients: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """Leaves a replica's part as it is: `_all_reduce_sum_gradients` clips the sum."""
        return gradients

    def _all_reduce_sum_gradients(
        self, gradients_and_variables: Sequence[tuple[Any, Any]]
    ) -> list[tuple[Any, Any]]:
        pairs = super()._all_reduce_sum_gradients(gradients_and_variables)
        gradients = super()._clip_gradients([gradient for gradient, _ in pairs])
        return [(g, variable) for g, (_, variable) in zip(gradients, pairs, strict=True)]

    def _backend_apply_gradients(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]
    ) -> None:
        if not self.gradient_accumulation_steps:
            super()._backend_apply_gradients(gradients, variables)
            return
        sums = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, [tf.convert_to_tensor(g) for g in gradients]
        )
        own = [v.value if isinstance(v, keras.Variable) else v for v in variables]
        accumulators = [self._accumulated_gradients[self._get_variable_index(v)].value for v in own]
        totals = [a + total for a, total in zip(accumulators, sums, strict=True)]
        means = [total / self.gradient_accumulation_steps for total in totals]
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._apply_or_accumulate,
            self._distribution_strategy,
            own,
            accumulators,
            totals,
            super()._clip_gradients(means),
        )

    def _apply_or_accumulate(
        self,
        distribution: tf.distribute.Strategy,
        variables: Sequence[tf.Variable],
        accumulators: Sequence[tf.Variable],
        totals: Sequence[tf.Tensor],
        means: Sequence[tf.Tensor],
    ) -> None:
        """Applies the means and forgets the totals if an update is due, or keeps the totals."""
        rate = tf.convert_to_tensor(self.learning_rate)

        def apply_means() -> None:
            for variable, accumulator, mean in zip(variables, accumulators, means, strict=True):
                distribution.extended.update(
                    variable, self._decay_and_update, args=(mean, rate), group=False
                )
                distribution.extended.update(
                    accumulator, lambda own: own.assign(tf.zeros_like(own)), group=False
                )

        def keep_totals() -> None:
            for accumulator, total in zip(accumulators, totals, strict=True):
                distribution.extended.update(
                    accumulator, lambda own, total: own.assign(total), args=(total,), group=False
                )

        number = tf.convert_to_tensor(self._iterations) + 1
        tf.cond(number % self.gradient_accumulation_steps == 0, apply_means, keep_totals)

    def _decay_and_update(
        self, variable: tf.Variable, gradient: tf.Tensor, rate: tf.Tensor
    ) -> None:
        if self.weight_decay is not None and self._use_weight_decay(variable):
            variable.assign_sub(variable * tf.cast(self.weight_decay * rate, variable.dtype))
        self.update_step(gradient, variable, rate)


@keras.saving.register_keras_serializable("gan_core")
class Adam(_OfTheSum, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, section 2, last paragraph), as Keras has it, computed in one pass.

    Keras 3 spells the update out in a dozen operations, each of which reads and writes the whole
    variable; TensorFlow's own kernel does the same arithmetic at once. Arguments, variables and
    checkpoints are those of `keras.optimizers.Adam`, and sparse gradients or `amsgrad` go to it.
    `clipnorm`, `global_clipnorm`, `clipvalue` and `gradient_accumulation_steps` are about the
    gradients' sum over the replicas: N replicas do as one.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable and its two moments in place."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        count = tf.cast(tf.convert_to_tensor(self.iterations) + 1, variable.dtype)
        beta_1, beta_2, epsilon = (
            tf.constant(number, variable.dtype)
            for number in (self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, count),
            beta2_power=tf.pow(beta_2, count),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


@keras.saving.register_keras_serializable("gan_core")
class RMSprop(_OfTheSum, keras.optimizers.RMSprop):
    """RMSprop (Hinton 2012, lecture 6e), as Keras has it; sums over the replicas as in `Adam`."""


def check_over_replicas(
    argument: str, optimizer: keras.optimizers.Optimizer, strategy: tf.distribute.Strategy
) -> None:
    """Raises `ArgumentError` if several replicas would not do what one does.

    Args:
      argument: Whose optimizer it is.
      optimizer: Any of Keras's, with loss scaling or without.
      strategy: On whose replicas it shall work.
    """
    num_replicas = strategy.num_replicas_in_sync
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if num_replicas == 1 or isinstance(inner, _OfTheSum):
        return
    for name in _OF_THE_SUM:
        if getattr(inner, name, None):
            raise ArgumentError(
                argument,
                f"{inner.name} with {name}={getattr(inner, name)}",
                f"must do the same on {num_replicas} replicas as on one, which Keras's does not",
                "use gan_core.Adam or gan_core.RMSprop",
            )


def accumulated_updates(
    optimizer: keras.optimizers.Optimizer, iterations_before: tf.Tensor
) -> float | tf.Tensor:
    """How many updates' gradients the newest update has applied to the weights.

    Args:
      optimizer: After its newest update.
      iterations_before: What it counted before that.

    Returns:
      1; with accumulation a float scalar: 0 in an update that only adds to the others.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    steps = inner.gradient_accumulation_steps
    if not steps:
        return 1
    return tf.cast((optimizer.iterations - iterations_before) * steps, keras.config.floatx())


def changing_learning_rates(
    optimizers: Mapping[str, keras.optimizers.Optimizer],
) -> dict[str, tf.Tensor]:
    """The rates of the next update as `<name>/learning_rate`, where they are not always the same.

    Args:
      optimizers: By name.

    Returns:
      Float scalars.
    """
    rates = {name: optimizer.learning_rate for name, optimizer in optimizers.items()}
    return {
        f"{name}/learning_rate": tf.cast(rate, keras.config.floatx())
        for name, rate in rates.items()
        if not isinstance(rate, keras.Variable)
    }
