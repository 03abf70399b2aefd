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
    """The length of a run, and the intervals at which it writes.

    Attributes:
      total_steps: The last step, counted from the run's start.
      steps_per_call: Steps in one call of the `tf.function`; it must divide the intervals.
      log_every_steps: Interval of the lines of metrics.
      sample_every_steps: Interval of the grids of samples, and of the curves.
      checkpoint_every_steps: Interval of the checkpoints.
      total_minutes: Ends the run earlier, after so many minutes of training in all its starts
        together, evaluations excluded; never when None.
      keep_checkpoints: Number of newest checkpoints to keep; the best is kept as well.
      on_nan: Reaction to a NaN or infinite loss or gradient. `stop`: end the run. `rollback`:
        resume from the newest checkpoint with other random numbers.
      maximum_rollbacks: Limit of rollbacks, those after a collapse included.
      learning_rate_decay_steps: The step from which the learning rates stay at their lowest; 0 if
        they do not fall. A run that `total_minutes` will end much earlier prints a warning.
      learning_rate_warm_up_steps: The steps in which they rise first.

    Raises:
      ArgumentError: If a number is out of its range or an interval is not a multiple of
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
    learning_rate_decay_steps: int = 0
    learning_rate_warm_up_steps: int = 0

    def __post_init__(self) -> None:
        for name in ("total_steps", "learning_rate_decay_steps", "learning_rate_warm_up_steps"):
            if getattr(self, name) < 0:
                raise ArgumentError(name, getattr(self, name), "must not be negative", "raise it")
        if self.total_minutes is not None and not 0 < self.total_minutes < float("inf"):
            rule = "must be above 0, and finite"
            raise ArgumentError("total_minutes", self.total_minutes, rule, "use 10, for example")
        for name in ("steps_per_call", "keep_checkpoints", "maximum_rollbacks"):
            check_positive(name, getattr(self, name))
        for name in ("log_every_steps", "sample_every_steps", "checkpoint_every_steps"):
            check_positive(name, getattr(self, name))
            check_divides("steps_per_call", self.steps_per_call, name, getattr(self, name))
        check_known("on_nan", self.on_nan, ON_NAN)

    @property
    def early_samples(self) -> list[int]:
        """Steps of additional grids in the first interval, where samples change fastest."""
        return [step for step in _EARLY_SAMPLES if step < self.sample_every_steps]


class Ending(enum.Enum):
    """The reason why a run ended."""

    DONE = "the last step was reached"
    STOPPED = "stopped by a signal or a hook, and saved"
    TIME_IS_UP = "trained for the requested minutes"
    NO_IMPROVEMENT = "early stopping: no better samples in the requested evaluations"
    COLLAPSED = "samples became much worse than the best"
    NOT_FINITE = "a loss or a gradient was NaN or infinite"
    CANNOT_WRITE = "the folder could no longer be written to"
    WORKER_GONE = "another worker was lost"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
      ending: The reason.
      step: The step at which it ended; -1 where it is not known.
      words: Both in one line for people, with what to do next.
    """

    ending: Ending
    step: int
    words: str

    @property
    def is_failure(self) -> bool:
        """True if the run ended otherwise than it was asked to."""
        as_asked = (Ending.DONE, Ending.STOPPED, Ending.TIME_IS_UP, Ending.NO_IMPROVEMENT)
        return self.ending not in as_asked


def done(step: int, workdir: Path) -> Outcome:
    """The outcome at the last step, with all files written."""
    where = f"{workdir}/samples and {workdir}/curves.png"
    return Outcome(Ending.DONE, step, f"done: step {step:,}; look at {where}")


def nothing_to_do(step: int) -> Outcome:
    """The outcome of a start after the last step."""
    words = f"nothing to do: step {step:,} is reached; to continue give a larger total_steps"
    return Outcome(Ending.DONE, step, words)


def stopped(step: int) -> Outcome:
    """The outcome of a stop by a signal or a hook."""
    words = f"saved at step {step:,}; run the same command to resume"
    return Outcome(Ending.STOPPED, step, words)


def time_is_up(step: int, minutes: float | None) -> Outcome:
    """The outcome after `minutes` of training."""
    words = f"done: step {step:,}, after {minutes:g} minutes of training"
    return Outcome(Ending.TIME_IS_UP, step, f"{words}; to continue give a larger total_minutes")


def no_improvement(step: int, record: EvaluationRecord) -> Outcome:
    """The outcome of early stopping."""
    words = (
        f"done: step {step:,}, no better in {record.since_best} evaluations; the best "
        f"checkpoint is of step {record.best_step:,}; to continue give a larger "
        "stop_after_no_improvement"
    )
    return Outcome(Ending.NO_IMPROVEMENT, step, words)


def collapsed(step: int, words: str) -> Outcome:
    """The outcome when samples became much worse, as `words` describe."""
    remedy = "the best checkpoint is kept; try lower learning rates, or R1"
    return Outcome(Ending.COLLAPSED, step, f"{words}; {remedy}")


def not_finite(step: int, words: str, on_nan: str) -> Outcome:
    """The outcome when a loss or gradient was NaN or infinite, as `words` describe."""
    remedy = "try lower learning rates" + (", or on_nan=rollback" if on_nan == "stop" else "")
    return Outcome(Ending.NOT_FINITE, step, f"{words}; {remedy}")


def cannot_write(step: int, error: OSError, newest: Path | None) -> Outcome:
    """The outcome when the disk refused a necessary write; `newest` is the newest checkpoint."""
    kept = f"the newest checkpoint is {newest}" if newest else "there is no checkpoint yet"
    words = f"cannot write ({error}); {kept}; free some space and run the same command to resume"
    return Outcome(Ending.CANNOT_WRITE, step, words)


def worker_gone(message: str) -> Outcome:
    """The outcome when another worker does not answer, as TensorFlow's `message` says."""
    words = (
        f"another worker is gone ({message.strip().splitlines()[0]}); run the same command on all "
        "workers to resume from the newest checkpoint"
    )
    return Outcome(Ending.WORKER_GONE, -1, words)
