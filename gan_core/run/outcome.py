"""How a run ends."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

from gan_core.run.evaluation_record import EvaluationRecord


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
