"""Evaluations of a run: when to judge the samples; when to stop or roll back."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

import numpy as np

from gan_core.choices import ON_COLLAPSE
from gan_core.errors import ArgumentError, check_known, check_positive
from gan_core.evaluation.judge import Judge
from gan_core.evaluation.protocol import Protocol
from gan_core.gan import Gan
from gan_core.run.record import EvaluationRecord, SecondsLedger
from gan_core.run.samples import generate_samples
from gan_core.types import computed_once

MakeSamples = Callable[[int], np.ndarray]
"""N -> uint8 [N, H, W, C], samples of the present weights, always from the same inputs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The schedule of a run's evaluations, and the reactions to their results.

    The checkpoint with the smallest Fréchet distance is kept besides the newest. Samples to judge
    come from their own random stream: a run trains the same with evaluations as without.

    A run has collapsed when `collapse_evaluations` in a row were much worse than the best before:
    a distance above the best times `collapse_factor`, or a coverage below the best divided by it
    where that was at least 0.02.

    Attributes:
      make_judge: Makes the judge, which may take minutes the first time; called once, by the
        chief, before the first step.
      every_steps: Interval.
      time_share: Limit of the share of time spent on evaluations since the run's start, above 0
        and up to 1; an evaluation that would exceed it is skipped. Only with 1, which skips none,
        do two runs evaluate at the same steps.
      stop_after_no_improvement: Early stopping: number of evaluations in a row without a better
        one after which the run ends; None for never.
      on_collapse: `warn`: print a line. `stop`: end. `rollback`: resume from the best checkpoint
        with other random numbers, at most `maximum_rollbacks` times (see `Plan`).
      collapse_factor: The factor of "much worse"; above 1.
      collapse_evaluations: The number in a row.
      make_samples: Makes the samples to judge; samples of latents when None.

    Raises:
      ArgumentError: If a number is out of its range, or `on_collapse` is not recognised.
    """

    make_judge: Callable[[], Judge]
    every_steps: int
    time_share: float = 0.05
    stop_after_no_improvement: int | None = None
    on_collapse: str = "warn"
    collapse_factor: float = 3.0
    collapse_evaluations: int = 3
    make_samples: MakeSamples | None = None

    def __post_init__(self) -> None:
        check_positive("every_steps", self.every_steps)
        if not 0 < self.time_share <= 1:
            raise ArgumentError(
                "time_share", self.time_share, "must be above 0 and at most 1", "use 0.05"
            )
        if self.stop_after_no_improvement is not None:
            check_positive("stop_after_no_improvement", self.stop_after_no_improvement)
        check_known("on_collapse", self.on_collapse, ON_COLLAPSE)
        if not 1 < self.collapse_factor < float("inf"):
            raise ArgumentError(
                "collapse_factor", self.collapse_factor, "must be above 1, and finite", "use 3"
            )
        check_positive("collapse_evaluations", self.collapse_evaluations)

    def has_stalled(self, record: EvaluationRecord) -> bool:
        """True if early stopping is due."""
        patience = self.stop_after_no_improvement
        return patience is not None and record.since_best >= patience

    @computed_once
    def judge(self) -> Judge:
        """The judge, made on first use."""
        return self.make_judge()


class Verdict(enum.IntEnum):
    """The consequence of an evaluation, as a number that the chief can send to the workers."""

    GO_ON = 0
    NO_IMPROVEMENT = 1
    ROLL_BACK = 2
    COLLAPSED = 3


class Evaluator:
    """Judges samples when it is due, and keeps the results.

    Args:
      gan: The gan that is trained.
      evaluation: The schedule and the reactions.
      record: Results of earlier starts.
      ledger: Counts the run's seconds.
      say: Prints a line for people.

    Attributes:
      record: Results so far.

    Raises:
      ArgumentError: If the judge cannot be made.
    """

    def __init__(
        self,
        gan: Gan,
        evaluation: Evaluation,
        record: EvaluationRecord,
        ledger: SecondsLedger,
        say: Callable[[str], None],
    ):
        self._gan = gan
        self._evaluation = evaluation
        self._ledger = ledger
        self._say = say
        self._has_skipped = False
        self._judge = evaluation.judge
        self._judge.prepare()  # now, while nothing is lost if its cache cannot be written
        protocol = self._judge.protocol.short()
        if record.protocol not in ("", protocol):
            say(f"evaluation: {protocol} from now on; results of {record.protocol} are dropped")
            record = EvaluationRecord()
        self.record = dataclasses.replace(record, protocol=protocol)

    @property
    def protocol(self) -> Protocol:
        """The protocol of the judge."""
        return self._judge.protocol

    def is_due(self, step: int) -> bool:
        """True if an evaluation is due; the first skipped evaluation is announced."""
        if step % self._evaluation.every_steps:
            return False
        record, seconds = self.record, self._ledger.now()
        share = self._evaluation.time_share
        needed = seconds.evaluations + seconds.last_evaluation
        fits = share == 1 or needed <= share * seconds.total
        if not fits and record.count and not self._has_skipped:
            self._has_skipped = True
            self._say(
                f"an evaluation takes {seconds.last_evaluation:.1f} s: some are skipped, to stay "
                f"within {share:.0%} of the time"
            )
        return fits or not record.count

    def evaluate(self, step: int) -> dict[str, float]:
        """Judges samples; returns the values for the log."""
        make_samples = self._evaluation.make_samples or self._samples_of_latents
        with self._ledger.evaluation():
            values = self._judge.score(make_samples(self._judge.protocol.num_samples))
        distance, coverage = (values[self._key(name)] for name in ("frechet_distance", "coverage"))
        self.record = self.record.after(
            step, distance, coverage, collapse_factor=self._evaluation.collapse_factor
        )
        self._say(self._words(step, values))
        is_new = self.record.much_worse == self._evaluation.collapse_evaluations
        is_told = {"warn": is_new, "rollback": self.has_collapsed, "stop": False}
        if is_told[self._evaluation.on_collapse]:  # the run announces an end itself
            self._say(self.collapse_words())
        about = {"step": step, "seconds": self._ledger.now().last_evaluation}
        about |= {"best_step": self.record.best_step, "best": self.record.best or 0.0}
        return {f"evaluation/{name}": value for name, value in (about | values).items()}

    @property
    def has_collapsed(self) -> bool:
        """True if the newest evaluations in a row were all much worse than the best."""
        return self.record.much_worse >= self._evaluation.collapse_evaluations

    def collapse_words(self) -> str:
        """The collapse in one line for people."""
        record = self.record
        best = f"distance {record.best:.3g} at step {record.best_step:,}"
        return (
            f"the samples have collapsed: {record.much_worse} evaluations in a row were much worse "
            f"than the best ({best}; coverage up to {record.best_coverage:.2g})"
        )

    def verdict(self, *, may_roll_back: bool) -> Verdict:
        """The consequence of the evaluations so far.

        Args:
          may_roll_back: Whether there is a checkpoint to return to, and a rollback left.
        """
        evaluation = self._evaluation
        if self.has_collapsed and evaluation.on_collapse != "warn":
            is_rollback = evaluation.on_collapse == "rollback" and may_roll_back
            return Verdict.ROLL_BACK if is_rollback else Verdict.COLLAPSED
        return Verdict.NO_IMPROVEMENT if evaluation.has_stalled(self.record) else Verdict.GO_ON

    def _samples_of_latents(self, count: int) -> np.ndarray:
        return generate_samples(self._gan, count, "evaluation")

    def _key(self, name: str) -> str:
        return self._judge.protocol.key(name)

    def _words(self, step: int, values: dict[str, float]) -> str:
        distance, of_reals, coverage = (
            values.get(self._key(name))
            for name in ("frechet_distance", "frechet_distance_of_reals", "coverage")
        )
        is_fid = self._key("frechet_distance").startswith("fid@")
        scale = "" if of_reals is None else f" (real images: {of_reals:.3g})"
        best = f"best {self.record.best:.3g} at {self.record.best_step:,}"
        return (
            f"step {step:,}: {'FID' if is_fid else 'Fréchet distance'} {distance:.3g}{scale}, "
            f"coverage {coverage:.2g}; {'the best' if self.record.best_step == step else best}"
        )
