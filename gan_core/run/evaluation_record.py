"""How good a run's samples have been so far."""

from __future__ import annotations

import dataclasses

_SMALLEST_COVERAGE = 0.02


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
