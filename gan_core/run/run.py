"""A run in its folder: restored, trained to its last step, rolled back, ended."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from gan_core.data.source import ImageSource
from gan_core.errors import ArgumentError, check_divides
from gan_core.files import make_folder
from gan_core.gan import Gan
from gan_core.run import plan as outcomes
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.evaluator import Evaluation
from gan_core.run.hooks import Hook
from gan_core.run.loop import steps_due
from gan_core.run.plan import Outcome, Plan
from gan_core.run.process import RunLock, StopSignals
from gan_core.run.program import Program, RunParts
from gan_core.run.record import SecondsLedger
from gan_core.run.recorder import Recorder, finished_step
from gan_core.run.restore import Restorer
from gan_core.run.run_data import MakeBatches, OwnData, SourceData
from gan_core.run.session import Rollback, Session
from gan_core.update_schedules import Schedule

_PEER_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


class Run:
    """A gan, its data and a folder: trained to the last step without losing what is done.

    `train` resumes from the newest checkpoint in the folder. SIGTERM or Ctrl-C saves and stops. The
    folder is locked. It receives checkpoints, `metrics.jsonl`, TensorBoard events, grids of
    samples, curves and a film. Of several workers only the chief writes, and all agree between two
    calls of steps on what ends a run.

    Args:
      gan: The gan to train, at its start.
      data: An image source; or `SourceData`, to crop or mirror one; or a function from
        `images_seen` to an iterator of batches from that position.
      workdir: The run's folder.
      plan: Length and intervals.
      schedule: The updates of one step; `simultaneous()` when None.
      evaluation: When to judge samples, and the reactions; never when None.
      hooks: Called after each call of steps, on all workers. If one returns True on any of them,
        the run is saved and stopped on all. An exception from one ends the run unsaved.
      program: Title, identity, pictures and callbacks; `Program()` when None.

    Raises:
      ArgumentError: If the parts do not fit each other.
    """

    def __init__(
        self,
        gan: Gan,
        data: ImageSource | SourceData | MakeBatches,
        workdir: str | Path,
        plan: Plan,
        *,
        schedule: Schedule | None = None,
        evaluation: Evaluation | None = None,
        hooks: Sequence[Hook] = (),
        program: Program | None = None,
    ):
        if isinstance(data, ImageSource):
            data = SourceData(data)
        run_data = data if isinstance(data, SourceData) else OwnData(data)
        if evaluation:
            _check_evaluation(evaluation, gan, plan)
        steps_due(hooks, plan.steps_per_call)  # raises if an interval does not fit
        folder = Path(workdir)
        checkpoints = Checkpoints(folder / "checkpoints", gan, plan.keep_checkpoints)
        owner = program or Program()
        rest = (schedule, evaluation, tuple(hooks))
        self._parts = RunParts(gan, run_data, plan, folder, checkpoints, owner, *rest)
        self._restorer = Restorer(self._parts)
        self._rollbacks = 0

    @property
    def is_chief(self) -> bool:
        """True if this process is the one that writes."""
        return self._parts.is_chief

    def check(self) -> None:
        """Does all that `train` does before its first step, without writing or locking anything.

        Raises:
          ArgumentError: As `train`.
        """
        self._restore(read_only=True)

    def train(self) -> Outcome:
        """Trains to the last step, or until a signal, a full disk, a NaN or the loss of a worker.

        Raises:
          ArgumentError: If the folder cannot be made, is locked by another process, or holds
            another run.
        """
        with contextlib.ExitStack() as stack:
            if self.is_chief:
                make_folder("workdir", self._parts.workdir)
                stack.enter_context(RunLock(self._parts.workdir))
                # No checkpoint may still be written when another process gets the folder.
                stack.callback(self._wait_for_checkpoint)
            try:
                self._restore(read_only=not self.is_chief)
                signals = stack.enter_context(StopSignals(announce=self.say))
                outcome = self._ended_before() or self._train(signals)
            except _PEER_LOST as error:
                strategy = self._parts.gan.strategy
                if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
                    raise
                outcome = outcomes.worker_gone(error.message)
        if outcome.is_failure:
            print(f"error: {outcome.words}", file=sys.stderr)
        else:
            self.say(outcome.words)
        return outcome

    def say(self, words: str) -> None:
        """Prints a line on the chief; other workers are silent."""
        self._parts.say(words)

    def _restore(self, *, read_only: bool) -> None:
        step = self._restorer.restore(read_only=read_only)
        last, workdir = self._parts.plan.total_steps, self._parts.workdir
        self.say(f"from step {step:,} to {last:,}, workdir {workdir}")

    def _ended_before(self) -> Outcome | None:
        """The outcome if an earlier start has ended the run; completes its files."""
        step, plan, record = self._parts.step, self._parts.plan, self._restorer.record
        outcome, minutes = None, plan.total_minutes
        if not self._restorer.is_new and step >= plan.total_steps:
            outcome = outcomes.nothing_to_do(step)
        elif minutes is not None and record.training_seconds >= 60 * minutes:
            outcome = outcomes.time_is_up(step, minutes)
        elif self._parts.evaluation and self._parts.evaluation.has_stalled(record.evaluation):
            outcome = outcomes.no_improvement(step, record.evaluation)
        return outcome and (self._parts.write_on_chief(self._write_missing_files) or outcome)

    def _write_missing_files(self) -> None:
        """Writes the last files of a run that was killed between its last checkpoint and them."""
        parts, record = self._parts, self._restorer.record
        if finished_step(parts.workdir) != parts.step:
            ledger, is_new = SecondsLedger(record.seconds), self._restorer.is_new
            with contextlib.closing(
                Recorder(parts, record, is_new=is_new, ledger=ledger)
            ) as recorder:
                recorder.finish(parts.step)

    def _train(self, signals: StopSignals) -> Outcome:
        while True:
            session = Session(
                self._parts,
                signals,
                self._restorer.record,
                is_new=self._restorer.is_new,
                rollbacks=self._rollbacks,
            )
            end = session.run()
            outcome = end if isinstance(end, Outcome) else self._roll_back(end)
            if outcome:
                return outcome

    def _roll_back(self, rollback: Rollback) -> Outcome | None:
        """Returns to a checkpoint; an outcome if none is left or the disk refuses."""
        parts = self._parts
        if self.is_chief:
            self._wait_for_checkpoint()
        if rollback.to_best:
            refused = parts.write_on_chief(parts.checkpoints.drop_later_than_best)
            if refused:
                return refused
        self._rollbacks = parts.next_rollback(self._rollbacks)
        self._restore(read_only=not self.is_chief)
        if self._restorer.is_new:
            return rollback.otherwise
        parts.gan.rollbacks.assign(self._rollbacks)
        self.say(
            f"rollback {self._rollbacks} of {parts.plan.maximum_rollbacks}: resumes from "
            f"step {parts.step:,} with other random numbers"
        )
        return None

    def _wait_for_checkpoint(self) -> None:
        try:
            self._parts.checkpoints.wait()
        except OSError as error:
            self.say(f"the last checkpoint could not be written ({error})")


def _check_evaluation(evaluation: Evaluation, gan: Gan, plan: Plan) -> None:
    if gan.latents is None and evaluation.make_samples is None:
        raise ArgumentError(
            "make_samples",
            None,
            "must make the samples to judge of a gan without latents",
            "give Evaluation(make_samples=...)",
        )
    check_divides("steps_per_call", plan.steps_per_call, "every_steps", evaluation.every_steps)
