"""The JSON record of a run in its checkpoints: identity, settings, progress, evaluations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gan_core.errors import ArgumentError
from gan_core.run.checkpoint_files import Facts

CONTENT = "content of the data"
"""The fact that tells data by what they hold; runs of earlier versions have none."""

_OTHER_FACTS = {"step", "score", "protocol", "settings", "outputs"}


@dataclasses.dataclass(frozen=True)
class WindowRecord:
    """What was collected since the last line of metrics.

    Attributes:
      start_step: The step of that line.
      seconds: Of training in the whole run so far.
      sums: Sums over the steps since, by metric.
      notes: What is said besides in the next line, by name.
    """

    start_step: int = 0
    seconds: float = 0.0
    sums: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class EvaluationRecord:
    """How good a run's samples have been so far, as its checkpoints keep it.

    Attributes:
      protocol: How they were measured; distances under another are not compared with these.
      count: Evaluations so far.
      best: The smallest Fréchet distance; None before the first.
      best_step: Where it was measured.
      best_coverage: The largest coverage, 0 to 1.
      since_best: Evaluations since the smallest distance.
      much_worse: Evaluations in a row that were much worse than the best.
      last: The newest distance; None before the first.
      last_step: Where it was measured.
      seconds: That all took together.
      last_seconds: That the last took.
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
    seconds: float = 0.0
    last_seconds: float = 0.0

    def after(
        self, step: int, distance: float, coverage: float, *, collapse_factor: float
    ) -> EvaluationRecord:
        """With one evaluation more.

        Args:
          step: Where it was.
          distance: The Fréchet distance.
          coverage: 0 to 1.
          collapse_factor: Much worse is a distance so many times the smallest, or a coverage below
            the largest divided by it, if that one was 0.02 or more: less is a matter of chance.
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
    """Where a run stands, for the start that goes on with it.

    Attributes:
      identity: What makes it this run and no other, by name.
      settings: What it was started with.
      window: What was collected since its last line of metrics.
      last_picture: The step of its newest grid of samples.
      evaluation: How good its samples have been so far.
    """

    identity: Mapping[str, Any]
    settings: Mapping[str, Any]
    window: WindowRecord = WindowRecord()
    last_picture: int = 0
    evaluation: EvaluationRecord = dataclasses.field(default_factory=EvaluationRecord)

    @property
    def training_seconds(self) -> float:
        """Of the whole run so far, evaluations left out."""
        return self.window.seconds - self.evaluation.seconds

    def facts(self) -> Facts:
        """As a checkpoint keeps it."""
        window = dataclasses.asdict(self.window)
        outputs = {
            "metrics_window": window,
            "last_picture": self.last_picture,
            "evaluation": dataclasses.asdict(self.evaluation),
        }
        return {**self.identity, "settings": dict(self.settings), "outputs": outputs}

    @classmethod
    def from_facts(cls, facts: Facts) -> RunRecord:
        """From a checkpoint's facts.

        Raises:
          ArgumentError: If they are not those of a run.
        """
        identity = {name: value for name, value in facts.items() if name not in _OTHER_FACTS}
        try:
            outputs = facts["outputs"]
            window = WindowRecord(**outputs["metrics_window"])
            evaluation = EvaluationRecord(**outputs.get("evaluation", {}))
            settings = dict(facts["settings"])
            return cls(identity, settings, window, int(outputs["last_picture"]), evaluation)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArgumentError(
                "checkpoint",
                f"step {facts.get('step')}",
                f"must hold the record of a run ({type(error).__name__}: {error})",
                "go on in the folder of a run, or choose an empty one",
            ) from error


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs by name, as `<name>: was <value>, now <value>`.

    Runs of earlier versions did not keep the content of their data; theirs is not compared.
    """
    before = {CONTENT: now[CONTENT], **before} if CONTENT in now else before
    return [
        f"{name}: was {before.get(name)}, now {value}"
        for name, value in now.items()
        if before.get(name) != value
    ]


_SMALLEST_COVERAGE = 0.02
