"""Schedules: the updates that make one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import tensorflow as tf

from gan_core.errors import check_positive
from gan_core.gan import Gan
from gan_core.types import Batch, Metrics

Schedule = Callable[[Gan, Iterator[Batch]], Metrics]
"""(gan, batches) -> metrics: one step, which takes the batches it needs; it is traced once.

Use `tf.cond`, or your own `tf.function`, for choices that depend on tensors: as in Keras, AutoGraph
does not rewrite what is traced.
"""


def simultaneous() -> Schedule:
    """One batch per step; one shared pass updates both networks (Goodfellow et al. 2014)."""
    return lambda gan, batches: gan.update_both(next(batches))


def alternating(discriminator_updates: int) -> Schedule:
    """Several discriminator updates, each on its own batch and fakes, then a generator update.

    Goodfellow et al. 2014, algorithm 1. The discriminator's metrics are means over its updates. The
    generator's update gets the last batch, for games that use real images there too.

    Args:
      discriminator_updates: Number of discriminator updates per step.

    Raises:
      ArgumentError: If `discriminator_updates` is not above 0.
    """
    check_positive("discriminator_updates", discriminator_updates, "use 1 or more")

    def schedule(gan: Gan, batches: Iterator[Batch]) -> Metrics:
        taken = [next(batches) for _ in range(discriminator_updates)]
        updates = [gan.update_discriminator(batch) for batch in taken]
        means = {name: tf.reduce_mean(tf.stack([u[name] for u in updates])) for name in updates[0]}
        return means | gan.update_generator(taken[-1])

    return schedule
