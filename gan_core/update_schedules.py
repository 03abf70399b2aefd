"""Which updates make one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import tensorflow as tf

from gan_core.errors import check_positive
from gan_core.gan import Gan
from gan_core.types import Batch, Metrics

Schedule = Callable[[Gan, Iterator[Batch]], Metrics]
"""One step: takes the batches it needs and returns the metrics of its updates, as traced.

Choices that depend on tensors are made with `tf.cond`, or in a `tf.function` of one's own: as in
Keras, AutoGraph does not rewrite what is traced.
"""


def simultaneous() -> Schedule:
    """One batch a step; both networks are updated from one shared pass (Goodfellow et al. 2014)."""
    return lambda gan, batches: gan.update_both(next(batches))


def alternating(discriminator_updates: int) -> Schedule:
    """Discriminator updates, each on a batch and fakes of its own, then a generator update.

    Goodfellow et al. 2014, algorithm 1. The discriminator's metrics are means over its updates. The
    generator's update is given the last of the batches, for games that look at real images there
    too.

    Args:
      discriminator_updates: How many a step.

    Raises:
      ArgumentError: If `discriminator_updates` is not above 0.
    """
    check_positive("discriminator_updates", discriminator_updates, "use 1 at least")

    def schedule(gan: Gan, batches: Iterator[Batch]) -> Metrics:
        taken = [next(batches) for _ in range(discriminator_updates)]
        updates = [gan.update_discriminator(batch) for batch in taken]
        means = {name: tf.reduce_mean(tf.stack([u[name] for u in updates])) for name in updates[0]}
        return means | gan.update_generator(taken[-1])

    return schedule
