"""The length and intervals of a run, and the outcomes in which it can end."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

from gan_core.choices import ON_NAN
from gan_core.errors import ArgumentError, check_divides, check_known, check_positive
from gan_core.run.record import EvaluationRecord

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


class Ending(enum.Enum):
    """Why a run came to its end."""

    DONE = "done"
    STOPPED = "stopped by a signal or a hook, and saved"
    TIME_IS_UP = "it has trained for as many minutes as asked for"
    NO_IMPROVEMENT = "samples have not become better for as long as asked for"
    COLLAPSED = "samples have become much worse than the best"
    NOT_FINITE = "a loss or a gradient was NaN or infinite"
    CANNOT_WRITE = "the folder could no longer be written to"
    WORKER_GONE = "another worker of the run is gone"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
      ending: Why.
      step: Where.
      words: The same for people, in one line, with what to do now.
    """

    ending: Ending
    step: int
    words: str

    @property
    def is_failure(self) -> bool:
        """Whether something went wrong: it did not end as it was asked to."""
        as_asked = (Ending.DONE, Ending.STOPPED, Ending.TIME_IS_UP, Ending.NO_IMPROVEMENT)
        return self.ending not in as_asked


def done(step: int, workdir: Path) -> Outcome:
    """The last step is reached, and everything written."""
    where = f"{workdir}/samples and {workdir}/curves.png"
    return Outcome(Ending.DONE, step, f"done: step {step:,}; look at {where}")


def nothing_to_do(step: int) -> Outcome:
    """The last step was reached before."""
    words = f"nothing to do: step {step:,} is reached; to go on give a larger total_steps"
    return Outcome(Ending.DONE, step, words)


def stopped(step: int) -> Outcome:
    """By a signal or a hook."""
    words = f"saved at step {step:,}; run the same command to go on"
    return Outcome(Ending.STOPPED, step, words)


def time_is_up(step: int, minutes: float | None) -> Outcome:
    """After `minutes` of training."""
    words = f"done: step {step:,}, after {minutes:g} minutes of training"
    return Outcome(Ending.TIME_IS_UP, step, f"{words}; to go on give a larger total_minutes")


def no_improvement(step: int, record: EvaluationRecord) -> Outcome:
    """After as many evaluations without a better one as asked for."""
    words = (
        f"done: step {step:,}, no better in {record.since_best} evaluations; the best "
        f"checkpoint is of step {record.best_step:,}; to go on give a larger "
        "stop_after_no_improvement"
    )
    return Outcome(Ending.NO_IMPROVEMENT, step, words)


def collapsed(step: int, words: str) -> Outcome:
    """Samples became much worse, as `words` say."""
    remedy = "the best checkpoint is kept; try lower learning rates, or R1"
    return Outcome(Ending.COLLAPSED, step, f"{words}; {remedy}")


def not_finite(step: int, words: str, on_nan: str) -> Outcome:
    """A loss or gradient was NaN or infinite, as `words` say."""
    remedy = "try lower learning rates" + (", or on_nan=rollback" if on_nan == "stop" else "")
    return Outcome(Ending.NOT_FINITE, step, f"{words}; {remedy}")


def cannot_write(step: int, error: OSError, newest: Path | None) -> Outcome:
    """The folder refuses what must be written; `newest` is the newest checkpoint."""
    kept = f"the newest checkpoint is {newest}" if newest else "there is no checkpoint yet"
    words = f"cannot write ({error}); {kept}; make room and run the same command to go on"
    return Outcome(Ending.CANNOT_WRITE, step, words)


def worker_gone(message: str) -> Outcome:
    """Another worker does not answer, as TensorFlow's `message` says."""
    words = (
        f"another worker is gone ({message.strip().splitlines()[0]}); start all of them again with "
        "the same command to go on from the newest checkpoint"
    )
    return Outcome(Ending.WORKER_GONE, -1, words)
