"""The JSON record of a run in its checkpoints: settings, progress, evaluations, seconds."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gan_core.errors import ArgumentError
from gan_core.run.checkpoint_files import Facts

CONTENT = "content of the data"
"""Name of the fact that identifies data by their content; runs of early versions have none."""

_OTHER_FACTS = {"step", "score", "protocol", "settings", "outputs"}
_SECONDS = ("seconds", "last_seconds")
_SMALLEST_COVERAGE = 0.02


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Seconds of a run over all its starts.

    Attributes:
      total: Of training and evaluations together.
      evaluations: Of evaluations.
      last_evaluation: Of the newest evaluation.
    """

    total: float = 0.0
    evaluations: float = 0.0
    last_evaluation: float = 0.0

    @property
    def training(self) -> float:
        """Seconds of training, without evaluations."""
        return self.total - self.evaluations


class SecondsLedger:
    """The one place where a run's seconds are counted, from `start` on.

    Args:
      before: Seconds of earlier starts.
      clock: Seconds from any origin.
    """

    def __init__(self, before: Seconds | None = None, clock: Callable[[], float] = time.monotonic):
        before = before or Seconds()
        self._clock = clock
        self._total = before.total
        self._started: float | None = None
        self._evaluations = before.evaluations
        self._last_evaluation = before.last_evaluation

    def start(self) -> SecondsLedger:
        """Starts to count; returns the ledger."""
        self._started = self._clock()
        return self

    def now(self) -> Seconds:
        """The seconds so far."""
        since = 0.0 if self._started is None else self._clock() - self._started
        total = self._total + since
        return Seconds(total, self._evaluations, self._last_evaluation)

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Counts the time within it as an evaluation."""
        start = self._clock()
        yield
        self._last_evaluation = self._clock() - start
        self._evaluations += self._last_evaluation


@dataclasses.dataclass(frozen=True)
class WindowRecord:
    """The metrics collected since the last line of the log.

    Attributes:
      start_step: The step of that line.
      sums: Sums over the steps since, by metric.
      notes: Further values of the next line, by name.
    """

    start_step: int = 0
    sums: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class EvaluationRecord:
    """The results of a run's evaluations so far.

    Attributes:
      protocol: Short name of how they were measured; other protocols are not compared with it.
      count: Number of evaluations.
      best: The smallest Fréchet distance; None before the first evaluation.
      best_step: Its step.
      best_coverage: The largest coverage, 0 to 1.
      since_best: Evaluations since the smallest distance.
      much_worse: Latest evaluations in a row that were much worse than the best.
      last: The newest distance; None before the first evaluation.
      last_step: Its step.
    """

    protocol: str = ""
    count: int = 0
    best: float | None = None
    best_step: int = 0
    best_coverage: float = 0.0
    since_best: int = 0
    much_worse: int = 0
    last: float | None = None
    last_step: int = 0

    def after(
        self, step: int, distance: float, coverage: float, *, collapse_factor: float
    ) -> EvaluationRecord:
        """The record with one more evaluation.

        Args:
          step: The step of the evaluation.
          distance: The Fréchet distance.
          coverage: 0 to 1.
          collapse_factor: Much worse is a distance above the smallest times this factor, or a
            coverage below the largest divided by it if that was at least 0.02: less is noise.
        """
        is_better = self.best is None or distance < self.best
        is_far = self.best is not None and distance > collapse_factor * self.best
        is_narrow = coverage * collapse_factor < self.best_coverage >= _SMALLEST_COVERAGE
        return dataclasses.replace(
            self,
            count=self.count + 1,
            best=distance if is_better else self.best,
            best_step=step if is_better else self.best_step,
            best_coverage=max(coverage, self.best_coverage),
            since_best=0 if is_better else self.since_best + 1,
            much_worse=self.much_worse + 1 if is_far or is_narrow else 0,
            last=distance,
            last_step=step,
        )


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The state of a run that a later start needs besides its variables.

    Attributes:
      identity: Facts that must match on resume, by name.
      settings: The settings that the run was last started with.
      window: Metrics since the last line of the log.
      last_picture: The step of the newest grid of samples.
      evaluation: Results of its evaluations.
      seconds: Seconds over all starts.
    """

    identity: Mapping[str, Any]
    settings: Mapping[str, Any]
    window: WindowRecord = WindowRecord()
    last_picture: int = 0
    evaluation: EvaluationRecord = EvaluationRecord()
    seconds: Seconds = Seconds()

    @property
    def training_seconds(self) -> float:
        """Seconds of training over all starts, without evaluations."""
        return self.seconds.training

    def facts(self) -> Facts:
        """The record as the JSON object of a checkpoint."""
        seconds = (self.seconds.evaluations, self.seconds.last_evaluation)
        evaluation = dataclasses.asdict(self.evaluation)
        outputs = {
            "metrics_window": {**dataclasses.asdict(self.window), "seconds": self.seconds.total},
            "last_picture": self.last_picture,
            "evaluation": evaluation | dict(zip(_SECONDS, seconds, strict=True)),
        }
        return {**self.identity, "settings": dict(self.settings), "outputs": outputs}

    @classmethod
    def from_facts(cls, facts: Facts) -> RunRecord:
        """The record that a checkpoint's facts hold.

        Raises:
          ArgumentError: If they are not those of a run.
        """
        identity = {name: value for name, value in facts.items() if name not in _OTHER_FACTS}
        try:
            outputs = facts["outputs"]
            window = dict(outputs["metrics_window"])
            evaluation = dict(outputs.get("evaluation", {}))
            seconds = Seconds(
                window.pop("seconds", 0.0), *(evaluation.pop(name, 0.0) for name in _SECONDS)
            )
            return cls(
                identity,
                dict(facts["settings"]),
                WindowRecord(**window),
                int(outputs["last_picture"]),
                EvaluationRecord(**evaluation),
                seconds,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArgumentError(
                "checkpoint",
                f"step {facts.get('step')}",
                f"must hold the record of a run ({type(error).__name__}: {error})",
                "resume in the folder of a run, or choose an empty one",
            ) from error


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences by name, as `<name>: was <value>, now <value>`.

    Runs of early versions did not record the content of their data; it is not compared then.
    """
    before = {CONTENT: now[CONTENT], **before} if CONTENT in now else before
    return [
        f"{name}: was {before.get(name)}, now {value}"
        for name, value in now.items()
        if before.get(name) != value
    ]
