"""One stretch of training: from a restored state to an end of the run or to a rollback."""

from __future__ import annotations

import dataclasses

from gan_core.run import plan as outcomes
from gan_core.run.evaluator import Evaluator, Verdict
from gan_core.run.loop import NotFiniteError, steps_due, train
from gan_core.run.plan import Ending, Outcome
from gan_core.run.process import StopSignals, startup_clock
from gan_core.run.program import RunParts
from gan_core.run.record import RunRecord, SecondsLedger
from gan_core.run.recorder import Recorder, Report, forget_finish
from gan_core.strategies import sum_over_workers
from gan_core.types import Metrics


@dataclasses.dataclass(frozen=True)
class Rollback:
    """A return to an earlier checkpoint, to resume from it with other random numbers.

    Attributes:
      otherwise: The outcome if no checkpoint is left.
      to_best: Whether to return to the best checkpoint instead of the newest.
    """

    otherwise: Outcome
    to_best: bool


class Session:
    """Trains a run from a restored state; the chief's files are open meanwhile.

    Args:
      parts: The parts of the run.
      signals: Requests to stop.
      record: The record of the run at this state.
      is_new: Whether the run starts here, and not from a checkpoint.
      rollbacks: Rollbacks since this process started.
    """

    def __init__(
        self,
        parts: RunParts,
        signals: StopSignals,
        record: RunRecord,
        *,
        is_new: bool,
        rollbacks: int,
    ):
        self._parts = parts
        self._signals = signals
        self._record = record
        self._is_new = is_new
        self._rollbacks = rollbacks
        self._has_rollback_left = parts.next_rollback(rollbacks) <= parts.plan.maximum_rollbacks
        self._recorder: Recorder | None = None  # the chief's

    def run(self) -> Outcome | Rollback:
        """Trains until the run ends or must roll back; all workers return the same."""
        try:
            return self._parts.write_on_chief(self._open_files) or self._train()
        finally:
            if self._recorder:
                self._recorder.close()

    def _open_files(self) -> None:
        parts, record = self._parts, self._record
        ledger, evaluator = SecondsLedger(record.seconds), None
        if parts.evaluation:  # first: it may refuse, and making a judge is not time of the run
            evaluator = Evaluator(
                parts.gan, parts.evaluation, record.evaluation, ledger, parts.program.say
            )
        parts.program.on_start()
        forget_finish(parts.workdir)
        self._recorder = Recorder(
            parts, record, is_new=self._is_new, ledger=ledger, evaluator=evaluator
        )
        if parts.plan.on_nan == "rollback" and self._is_new:
            self._recorder.save()

    def _train(self) -> Outcome | Rollback:
        startup_clock.lap("folder")
        parts, plan = self._parts, self._parts.plan
        parts.say("compiling the training step (2 to 60 s)")
        first_step, is_first_call = parts.step, True
        end: Outcome | Rollback | None = None

        def after_call(step: int, metrics: Metrics) -> bool:
            nonlocal end, is_first_call
            if is_first_call and not self._rollbacks:
                startup_clock.lap("compiling and the first call")
                parts.say(startup_clock.describe(step - first_step))
            is_first_call = False
            end = self._after_call(step, metrics)
            return end is not None

        hooks_due = steps_due(parts.hooks, plan.steps_per_call)
        try:
            train(
                parts.gan,
                parts.data.batches(parts.gan),
                total_steps=plan.total_steps,
                steps_per_call=plan.steps_per_call,
                schedule=parts.schedule,
                hooks=[after_call],
                # The first call of a run is one step, so that it ends soon. Only the chief draws
                # grids, but all workers end their calls at the same steps: they meet after each.
                # Those steps must not depend on where a process started: means over other calls
                # would be rounded differently.
                stops=[1, *plan.early_samples, *hooks_due],
            )
        except NotFiniteError as error:
            return self._not_finite(error)
        return end or self._end(outcomes.done(plan.total_steps, parts.workdir))

    def _after_call(self, step: int, metrics: Metrics) -> Outcome | Rollback | None:
        """Writes what is due; returns the end on which all workers agree, if there is one."""
        plan = self._parts.plan
        hooks_ask = True in [hook(step, metrics) for hook in self._parts.hooks]
        report, words, judged = Report(), "the samples have collapsed", self._record.evaluation
        if self._recorder:
            has_left = self._has_rollback_left
            report = self._recorder.after_call(step, metrics, has_rollback_left=has_left)
            judged = self._recorder.evaluation
            if report.verdict in (Verdict.ROLL_BACK, Verdict.COLLAPSED):
                words = self._recorder.collapse_words()
        is_asked = hooks_ask or self._signals.received is not None
        answers = [is_asked, report.is_late, report.error is not None, report.verdict]
        (asked, late, full, verdict), _ = sum_over_workers(
            self._parts.gan.strategy, [int(answer) for answer in answers]
        )
        if full:
            return self._parts.cannot_write(report.error)
        if verdict == Verdict.ROLL_BACK:
            return Rollback(outcomes.collapsed(step, words), to_best=True)
        if verdict == Verdict.COLLAPSED:
            return self._end(outcomes.collapsed(step, words))
        if step >= plan.total_steps:
            return None
        if verdict == Verdict.NO_IMPROVEMENT:
            return self._end(outcomes.no_improvement(step, judged))
        if late:
            return self._end(outcomes.time_is_up(step, plan.total_minutes))
        return self._end(outcomes.stopped(step)) if asked else None

    def _not_finite(self, error: NotFiniteError) -> Outcome | Rollback:
        # All workers come here together: metrics are sums over all of them.
        if self._recorder:
            self._parts.say(f"{error}; {self._recorder.save_diagnosis(error)}")
        on_nan = self._parts.plan.on_nan
        outcome = outcomes.not_finite(error.step, str(error), on_nan)
        rolls_back = on_nan == "rollback" and self._has_rollback_left
        return Rollback(outcome, to_best=False) if rolls_back else outcome

    def _end(self, outcome: Outcome) -> Outcome:
        """Makes the chief write the files of an end."""

        def write() -> None:
            assert self._recorder, "the chief's files are open while it trains"
            if outcome.ending in (Ending.STOPPED, Ending.COLLAPSED):
                self._recorder.stop(outcome.step)
            else:
                self._recorder.finish(outcome.step)

        return self._parts.write_on_chief(write) or outcome
