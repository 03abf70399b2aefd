"""Which updates make one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gan_core.step import GanStep
from gan_core.types import Batch, Metrics

Schedule = Callable[[GanStep, Iterator[Batch]], Metrics]
"""One step: takes the batches it needs and returns the metrics of its updates, as traced."""


def simultaneous() -> Schedule:
    """One batch a step; both networks are updated from one shared pass (Goodfellow et al. 2014)."""
    return lambda gan, batches: gan.update_both(next(batches))
