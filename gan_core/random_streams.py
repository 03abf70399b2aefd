"""Every random number as a pure function of (seed, stream, index).

Nothing here holds state, so a run that goes on from saved counters draws exactly what an
uninterrupted run would have drawn, on any number of replicas.
"""

from __future__ import annotations

import zlib

import tensorflow as tf

DRAWS_BETWEEN_ROLLBACKS = 2**48
"""More than a run can count, so that draws after a rollback are none of those before it."""


def stream_seed(seed: int, stream: str, index: tf.Tensor | int) -> tf.Tensor:
    """The seed of one draw, for the `tf.random.stateless_*` functions.

    Args:
      seed: The run's seed, from 0 to 2**32 - 1.
      stream: What the draw is for; draws of different streams are unrelated.
      index: Scalar integer; which draw of the stream this is.

    Returns:
      int64 [2].
    """
    base = tf.constant([seed, zlib.crc32(stream.encode())], tf.uint32)
    return tf.random.fold_in(tf.bitcast(base, tf.int32), tf.cast(index, tf.int64))


def seed_for_xla(seed: tf.Tensor) -> tf.Tensor:
    """A seed int64 [2] as int32 [2], by all of its bits: XLA takes the lower half of each number.

    The draws are other ones, as unrelated between different seeds.
    """
    (first, first_high), (second, second_high) = (
        tf.unstack(halves) for halves in tf.unstack(tf.bitcast(seed, tf.int32))
    )
    folded = tf.stack([first, first_high])
    for half in (second_high, second):
        folded = tf.random.fold_in(folded, half)
    return folded
