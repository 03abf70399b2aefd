"""One network's update on each replica: gradients applied and checked, replicas kept alike."""

from __future__ import annotations

import keras
import tensorflow as tf


def apply_gradients(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
) -> tf.Tensor:
    """Updates one network by the gradients of its loss, summed over the replicas.

    Args:
      tape: What recorded the loss.
      loss: This replica's share of it, a scalar.
      network: Whose trainable variables are updated.
      optimizer: By what.

    Returns:
      float32 scalar: 0 if all of this replica's gradients are finite, NaN otherwise. With loss
      scaling, which skips such updates itself, always 0.
    """
    variables = network.trainable_variables
    # Loss scaling multiplies all gradients by one number: it is what the loss's own starts from.
    scale = optimizer.scale_loss(tf.ones_like(loss))
    gradients = tape.gradient(loss, [v.value for v in variables], output_gradients=scale)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # To loss scaling an overflow is a matter of course: it leaves the update out.
        optimizer.apply(_spread_overflow(gradients), variables)
        return tf.zeros([])
    optimizer.apply(gradients, variables)
    return _nothing_or_nan(gradients)


def average_over_replicas(*networks: keras.Model) -> None:
    """Gives all replicas the mean of what their layers keep: moving averages, say.

    Each replica's batch normalization moves its averages towards its own part of the batch. In
    the mean, which is linear, they move towards the mean of the parts.
    """
    context = tf.distribute.get_replica_context()
    variables = [
        variable
        for network in networks
        for variable in network.non_trainable_variables
        if variable.dtype == "float32"
    ]
    if context.num_replicas_in_sync == 1 or not variables:
        return
    values = [tf.identity(variable.value) for variable in variables]
    means = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
    for variable, mean in zip(variables, means, strict=True):
        variable.assign(mean)


def _spread_overflow(gradients: list[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Makes gradients non-finite on all replicas where they are on one.

    Loss scaling skips such updates, but Keras looks at the first replica alone.
    """
    context = tf.distribute.get_replica_context()
    everywhere = context.all_reduce(tf.distribute.ReduceOp.SUM, _nothing_or_nan(gradients))
    return [None if gradient is None else gradient + everywhere for gradient in gradients]


def _nothing_or_nan(gradients: list[tf.Tensor | None]) -> tf.Tensor:
    """0 if all gradients are finite, NaN otherwise; one pass over them, in one kernel each."""
    squares = [tf.nn.l2_loss(gradient) for gradient in gradients if gradient is not None]
    return 0.0 * tf.add_n([tf.cast(square, tf.float32) for square in squares])
