"""The judge in a run: when it is asked, and what follows from what it says."""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Callable

import numpy as np

from gan_core.choices import ON_COLLAPSE
from gan_core.errors import ArgumentError, check_known, check_positive
from gan_core.evaluation.judge import Judge
from gan_core.evaluation.protocol import Protocol
from gan_core.gan import Gan
from gan_core.run.record import EvaluationRecord
from gan_core.run.samples import generate_samples
from gan_core.types import computed_once

MakeSamples = Callable[[int], np.ndarray]
"""N -> uint8 [N, H, W, C], what the generator makes now; each time of the same inputs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """When a run judges its samples, and what follows from it.

    The best checkpoint, by the Fréchet distance, is kept beside the newest. What is judged is
    drawn from a stream of its own: a run trains the same with it as without.

    A run has collapsed when `collapse_evaluations` in a row were much worse than the best before:
    a distance of `collapse_factor` times it, or a coverage so many times smaller where the best was
    0.02 or more.

    Attributes:
      make_judge: Makes the judge, which may take minutes the first time; called once, by the
        chief, before the first step.
      every_steps: Interval.
      time_share: The most that evaluating may take of the time since the run's start, above 0 and
        up to 1: an evaluation that would take more is left out. 1 leaves none out, and only so do
        two runs evaluate at the same steps.
      stop_after_no_improvement: The run ends after so many evaluations without a better one; None
        for never.
      on_collapse: `warn`: say so. `stop`: end. `rollback`: go on from the best checkpoint with
        other random numbers, as often as the plan's `maximum_rollbacks`.
      collapse_factor: How many times worse is much worse; above 1.
      collapse_evaluations: How many in a row.
      make_samples: What is judged; samples of latents when None.

    Raises:
      ArgumentError: If a number is out of its range, or `on_collapse` is not known.
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
        """Whether samples have not become better for as long as asked for."""
        patience = self.stop_after_no_improvement
        return patience is not None and record.since_best >= patience

    @computed_once
    def judge(self) -> Judge:
        """The judge, made when it is first asked for."""
        return self.make_judge()


class Verdict(enum.IntEnum):
    """What follows from an evaluation, as a number that the chief can tell the workers."""

    GO_ON = 0
    NO_IMPROVEMENT = 1
    ROLL_BACK = 2
    COLLAPSED = 3


class Evaluator:
    """Asks the judge where it is due, and keeps what it said.

    Args:
      gan: What is trained.
      evaluation: When, and what follows.
      record: What a run that goes on knows already.
      say: Prints a line for people.
      clock: Seconds, from any origin.

    Attributes:
      record: How good the samples have been so far.

    Raises:
      ArgumentError: If the judge cannot be made.
    """

    def __init__(
        self,
        gan: Gan,
        evaluation: Evaluation,
        record: EvaluationRecord,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._gan = gan
        self._evaluation = evaluation
        self._say = say
        self._clock = clock
        self._left_out = False
        self._judge = evaluation.judge
        self._judge.prepare()  # now, when nothing is lost if it cannot keep what it computes
        protocol = self._judge.protocol.short()
        if record.protocol not in ("", protocol):
            say(f"evaluation: {protocol} from here on; what {record.protocol} found is forgotten")
            record = EvaluationRecord(seconds=record.seconds)  # they are no time of training
        self.record = dataclasses.replace(record, protocol=protocol)

    @property
    def protocol(self) -> Protocol:
        """How the samples are judged."""
        return self._judge.protocol

    def is_due(self, step: int, seconds: float) -> bool:
        """Whether to evaluate now, `seconds` of training after the run's start."""
        if step % self._evaluation.every_steps:
            return False
        record = self.record
        share = self._evaluation.time_share
        fits = share == 1 or record.seconds + record.last_seconds <= share * seconds
        if not fits and record.count and not self._left_out:
            self._left_out = True
            self._say(
                f"an evaluation takes {record.last_seconds:.1f} s: some are left out, to stay "
                f"within {share:.0%} of the time"
            )
        return fits or not record.count

    def evaluate(self, step: int) -> dict[str, float]:
        """Judges samples; returns what goes into the log."""
        start = self._clock()
        make_samples = self._evaluation.make_samples or self._samples_of_latents
        values = self._judge.score(make_samples(self._judge.protocol.num_samples))
        end = self._clock()
        distance, coverage = (values[self._key(name)] for name in ("frechet_distance", "coverage"))
        record = self.record.after(
            step, distance, coverage, collapse_factor=self._evaluation.collapse_factor
        )
        self.record = dataclasses.replace(
            record, seconds=record.seconds + end - start, last_seconds=end - start
        )
        self._say(self._words(step, values))
        is_new = self.record.much_worse == self._evaluation.collapse_evaluations
        saying = {"warn": is_new, "rollback": self.has_collapsed, "stop": False}
        if saying[self._evaluation.on_collapse]:  # an end is said by the run
            self._say(self.collapse_words())
        about = {"step": step, "seconds": end - start, "best_step": self.record.best_step}
        about |= {"best": self.record.best or 0.0}
        return {f"evaluation/{name}": value for name, value in (about | values).items()}

    @property
    def has_collapsed(self) -> bool:
        """Whether the newest evaluations were all much worse than the best."""
        return self.record.much_worse >= self._evaluation.collapse_evaluations

    def collapse_words(self) -> str:
        """The same in a line for people."""
        record = self.record
        best = f"distance {record.best:.3g} at step {record.best_step:,}"
        return (
            f"the samples have collapsed: {record.much_worse} evaluations in a row were much worse "
            f"than the best ({best}; coverage up to {record.best_coverage:.2g})"
        )

    def verdict(self, may_roll_back: bool) -> Verdict:
        """What follows from the evaluations so far.

        Args:
          may_roll_back: Whether there is a checkpoint to go back to, and a rollback left.
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
