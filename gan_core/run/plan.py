"""How far a run goes, and what it writes when."""

from __future__ import annotations

import dataclasses

from gan_core.choices import ON_NAN
from gan_core.errors import ArgumentError, check_divides, check_known, check_positive

_EARLY_SAMPLES = (10, 25, 50, 100)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How far a run goes, and what it writes when.

    Attributes:
      total_steps: Its last step, counted from its start.
      steps_per_call: Steps in one call into the graph; it must divide the intervals.
      log_every_steps: Interval of the lines of metrics.
      sample_every_steps: Interval of the grids of samples, and of the curves.
      checkpoint_every_steps: Interval of the checkpoints.
      total_minutes: The run ends earlier after so many minutes of training, evaluations left out,
        of all its starts together; never when None.
      keep_checkpoints: How many of the newest are kept; the best is kept besides.
      on_nan: What to do where a loss or gradient is NaN or infinite. `stop`: end. `rollback`: go
        on from the newest checkpoint with other random numbers.
      maximum_rollbacks: How often a run may go back, also from a collapse.

    Raises:
      ArgumentError: If a number is out of its range or an interval is no multiple of
        `steps_per_call`.
    """

    total_steps: int
    steps_per_call: int = 10
    log_every_steps: int = 50
    sample_every_steps: int = 500
    checkpoint_every_steps: int = 500
    total_minutes: float | None = None
    keep_checkpoints: int = 3
    on_nan: str = "stop"
    maximum_rollbacks: int = 3

    def __post_init__(self) -> None:
        if self.total_steps < 0:
            raise ArgumentError("total_steps", self.total_steps, "must not be negative", "raise it")
        if self.total_minutes is not None and not 0 < self.total_minutes < float("inf"):
            raise ArgumentError(
                "total_minutes", self.total_minutes, "must be above 0, and finite", "use 10, say"
            )
        for name in ("steps_per_call", "keep_checkpoints", "maximum_rollbacks"):
            check_positive(name, getattr(self, name))
        for name in ("log_every_steps", "sample_every_steps", "checkpoint_every_steps"):
            check_positive(name, getattr(self, name))
            check_divides("steps_per_call", self.steps_per_call, name, getattr(self, name))
        check_known("on_nan", self.on_nan, ON_NAN)

    @property
    def early_samples(self) -> list[int]:
        """Steps with grids before the first interval ends: the first minute is worth more looks."""
        return [step for step in _EARLY_SAMPLES if step < self.sample_every_steps]
