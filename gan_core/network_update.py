"""One network's update on each replica: gradients applied and checked."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from gan_core.players import ModulePlayer, Player


def apply_gradients(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    player: Player | ModulePlayer,
    optimizer: keras.optimizers.Optimizer,
) -> tf.Tensor:
    """Updates one network by the gradients of its loss, summed over the replicas.

    Args:
      tape: What recorded the loss.
      loss: This replica's share of it, a scalar.
      player: Whose trainable variables are updated; the tape watched its weights.
      optimizer: By what.

    Returns:
      Scalar: 0 if all of this replica's gradients are finite, NaN otherwise. With loss
      scaling, which skips such updates itself, always 0.
    """
    variables = player.network.trainable_variables
    # Loss scaling multiplies all gradients by one number: it is what the loss's own starts from.
    scale = optimizer.scale_loss(tf.ones_like(loss))
    of_passes = tape.gradient(loss, player.passes or [player.weights], output_gradients=scale)
    gradients = [_sum_in_order(parts) for parts in zip(*of_passes, strict=True)]
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # To loss scaling an overflow is a matter of course: it leaves the update out.
        optimizer.apply(_spread_overflow(gradients), variables)
        return tf.zeros([], loss.dtype)
    optimizer.apply(gradients, variables)
    return _nothing_or_nan(gradients)


def _sum_in_order(parts: Sequence[tf.Tensor | None]) -> tf.Tensor | None:
    """The sum, with the same bits in each run and each trace; None where nothing is there.

    TensorFlow's AddN, by which tapes add and which Grappler makes of a chain of additions, starts
    with whichever term's memory happens to be free. Of two terms each order gives the same bits;
    more are stacked, which costs a copy and keeps their order.
    """
    # Of an embedding's gradient TensorFlow keeps the rows that were looked up; Adam's update is
    # defined for all of them.
    there = [tf.convert_to_tensor(part) for part in parts if part is not None]
    if len(there) > 2:
        return tf.reduce_sum(tf.stack(there), axis=0)
    return functools.reduce(tf.add, there) if there else None


def _spread_overflow(gradients: list[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Makes gradients non-finite on all replicas where they are on one.

    Loss scaling skips such updates, but Keras looks at the first replica alone.
    """
    context = tf.distribute.get_replica_context()
    everywhere = context.all_reduce(tf.distribute.ReduceOp.SUM, _nothing_or_nan(gradients))
    return [None if gradient is None else gradient + everywhere for gradient in gradients]


def _nothing_or_nan(gradients: list[tf.Tensor | None]) -> tf.Tensor:
    """0 if all gradients are finite, NaN otherwise; one pass over them, in one kernel each."""
    sums = [tf.reduce_sum(gradient) for gradient in gradients if gradient is not None]
    total = tf.add_n([tf.cast(each, keras.config.floatx()) for each in sums])
    return tf.where(tf.math.is_finite(total), tf.zeros([], total.dtype), float("nan"))
