"""Functions run on every replica, and what they return summed over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.types import Metrics


class OnReplicas:
    """A function that runs on every replica; its metrics are summed in one message.

    Args:
      function: Gives scalars by name, each one replica's share of a sum.
      strategy: Where it runs.
      jit_compile: Whether XLA compiles it into one program.

    Raises:
      ArgumentError: If it shall be compiled for several replicas.
    """

    def __init__(
        self,
        function: Callable[..., Metrics],
        strategy: tf.distribute.Strategy,
        jit_compile: bool = False,
    ):
        if jit_compile and strategy.num_replicas_in_sync > 1:
            raise ArgumentError(
                "jit_compile",
                jit_compile,
                "needs a single replica: replicas talk to each other within an update",
                "train on one device, or leave it out",
            )
        self._strategy = strategy
        self._function = function
        if jit_compile:
            self._function = tf.function(function, jit_compile=True, autograph=False)

    def __call__(self, *arguments: Any) -> Metrics:
        """The sums, scalars by name; called outside of a replica."""
        names: list[str] = []

        def run_on_replica(*arguments: Any) -> tf.Tensor:
            metrics = self._function(*arguments)
            names[:] = metrics
            return tf.stack(list(metrics.values()))

        per_replica = self._strategy.run(run_on_replica, args=arguments)
        sums = self._strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return dict(zip(names, tf.unstack(sums, num=len(names)), strict=True))


def variable_on_replicas(value: Any, name: str, dtype: tf.DType | None = None) -> tf.Variable:
    """A variable that is no network's, assigned to alike on all replicas."""
    return tf.Variable(
        value,
        dtype=dtype,
        trainable=False,
        name=name,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
