"""A run in its folder, from wherever it stands to its last step."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gan_core.data.source import ImageSource
from gan_core.errors import ArgumentError, check_divides
from gan_core.files import make_folder
from gan_core.gan import Gan
from gan_core.run.checkpoint_files import Facts
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.evaluator import Evaluation, Evaluator, Verdict
from gan_core.run.hooks import Hook
from gan_core.run.identity import Identity, check_workers_agree
from gan_core.run.loop import NotFiniteError, steps_due, train
from gan_core.run.plan import (
    Ending,
    Outcome,
    Plan,
    cannot_write,
    collapsed,
    done,
    no_improvement,
    not_finite,
    nothing_to_do,
    stopped,
    time_is_up,
    worker_gone,
)
from gan_core.run.process import RunLock, StopSignals, startup_clock
from gan_core.run.record import RunRecord
from gan_core.run.recorder import Recorder, Report, RunOutputs, finished_step, forget_the_finish
from gan_core.run.run_data import MakeBatches, OwnData, SourceData
from gan_core.run.samples import MakePicture
from gan_core.run.status_line import say as print_line
from gan_core.strategies import is_chief, meet_workers, sum_over_workers
from gan_core.types import Metrics
from gan_core.update_schedules import Schedule

_PEER_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


@dataclasses.dataclass(frozen=True)
class _GoBack:
    """The run is to go back to a checkpoint, and on from there with other random numbers.

    Attributes:
      otherwise: How it ends where no checkpoint is left.
      to_best: Whether it goes back to the best, and not to the newest.
    """

    otherwise: Outcome
    to_best: bool


class Run:
    """A gan, its data and a folder: trained to the last step, and never losing what is done.

    `train` goes on from the newest checkpoint in the folder. SIGTERM or Ctrl-C saves and stops. The
    folder is locked. It gets checkpoints, `metrics.jsonl`, events for TensorBoard, grids of
    samples, curves and a film. Of several workers only the chief writes, and what ends a run is
    agreed on between two calls of steps.

    Args:
      gan: What is trained, at its start.
      data: An image source; or a function from `images_seen` to an iterator of batches from there.
      workdir: The folder where it is kept.
      plan: How far, and what is written when.
      title: What is trained, for people.
      schedule: Which updates make one step; `simultaneous()` when None.
      evaluation: When samples are judged, and what follows; never when None.
      hooks: Called after each call of steps, on all workers. Where one returns True on any of
        them, the run is saved and stopped on all. What one raises ends the run unsaved.
      image_shape: (H, W, C) to which an image source's larger images are cropped.
      flip: Whether each image of a source is mirrored with probability 1/2.
      identity: What another start must have alike.
      make_picture: What is shown as a sample: uint8 [H, W, C]; a grid when None.
      on_restore: Called after each restore, to set what a checkpoint must not: learning rates, say.
      on_start: Called by the chief when training starts from a step, to write into the folder.
      on_forecast: Called by the chief at each line of metrics, once the speed is known, with the
        step and with the one at which the run will end at this speed.
      say: Prints a line for people.

    Raises:
      ArgumentError: If a part does not fit.
    """

    def __init__(
        self,
        gan: Gan,
        data: ImageSource | MakeBatches,
        workdir: str | Path,
        plan: Plan,
        *,
        title: str = "gan",
        schedule: Schedule | None = None,
        evaluation: Evaluation | None = None,
        hooks: Sequence[Hook] = (),
        image_shape: tuple[int, int, int] | None = None,
        flip: bool = False,
        identity: Identity | None = None,
        make_picture: MakePicture | None = None,
        on_restore: Callable[[], None] = lambda: None,
        on_start: Callable[[], None] = lambda: None,
        on_forecast: Callable[[int, int], None] = lambda step, last_step: None,
        say: Callable[[str], None] = print_line,
    ):
        self.is_chief = is_chief(gan.strategy)
        self._gan = gan
        self._data = (
            SourceData(gan, data, image_shape, flip)
            if isinstance(data, ImageSource)
            else OwnData(gan, data)
        )
        self._workdir = Path(workdir)
        self._plan = plan
        self._title = title
        self._schedule = schedule
        self._evaluation = evaluation
        if evaluation:
            if gan.latents is None and evaluation.make_samples is None:
                raise ArgumentError(
                    "make_samples",
                    None,
                    "must say what is judged of a gan without latents",
                    "give Evaluation(make_samples=...)",
                )
            check_divides(
                "steps_per_call", plan.steps_per_call, "every_steps", evaluation.every_steps
            )
        self._hooks = tuple(hooks)
        self._hooks_due = steps_due(self._hooks, plan.steps_per_call)
        self._make_picture = make_picture
        self._on_restore = on_restore
        self._on_start = on_start
        self._on_forecast = on_forecast
        self._say = say
        self._identity = identity or Identity()
        self._new = RunRecord(self._describe_parts(), self._identity.settings)
        self._checkpoints = Checkpoints(self._workdir / "checkpoints", gan, plan.keep_checkpoints)
        self._record = self._new
        self._is_new = True
        self._rollbacks = 0
        self._recorder: Recorder | None = None  # the chief's, while its files are open

    def check(self) -> None:
        """Does all that `train` does before its first step, but writes nothing and holds nothing.

        Raises:
          ArgumentError: As `train`.
        """
        self._restore(read_only=True)

    def train(self) -> Outcome:
        """Trains to the last step, or until a signal, a full disk, a NaN or the loss of a worker.

        Raises:
          ArgumentError: If the folder cannot be made, another process holds it, or it holds
            another run.
        """
        with contextlib.ExitStack() as stack:
            if self.is_chief:
                make_folder("workdir", self._workdir)
                stack.enter_context(RunLock(self._workdir))
                # No checkpoint may still be written when another process gets the folder.
                stack.callback(self._wait_for_checkpoint)
            try:
                self._restore(read_only=not self.is_chief)
                signals = stack.enter_context(StopSignals(announce=self.say))
                outcome = self._train_to_an_end(signals)
            except _PEER_LOST as error:
                if not isinstance(self._gan.strategy, tf.distribute.MultiWorkerMirroredStrategy):
                    raise
                outcome = worker_gone(error.message)
        if outcome.is_failure:
            print(f"error: {outcome.words}", file=sys.stderr)
        else:
            self.say(outcome.words)
        return outcome

    def say(self, words: str) -> None:
        """Prints a line; workers other than the chief are silent."""
        if self.is_chief:
            self._say(words)

    def _describe_parts(self) -> dict[str, Any]:
        """What makes it this run and no other: it must be alike at each start."""
        own = {"latents": str(self._gan.latents), "value range": list(self._gan.value_range)}
        return {**self._identity.facts, **own, **self._data.identity()}

    def _restore(self, *, read_only: bool) -> None:
        """Goes to the newest good checkpoint, if there is one, together with all workers.

        The chief is first: what it finds damaged it sets aside.
        """
        strategy = self._gan.strategy
        if not self.is_chief:
            meet_workers(strategy)
        facts = self._checkpoints.restore_latest(self._check, read_only=read_only)
        if self.is_chief:
            meet_workers(strategy)
        self._is_new = facts is None
        if facts is not None:
            self._record = dataclasses.replace(
                RunRecord.from_facts(facts),
                identity=self._new.identity,
                settings=self._new.settings,
            )
        self._on_restore()
        step = int(self._gan.step.numpy())
        agree_on = self._identity.workers_agree_on or self._identity.settings
        check_workers_agree(self._gan.strategy, step, (self._new.identity, agree_on), self._workdir)
        self.say(f"from step {step:,} to {self._plan.total_steps:,}, workdir {self._workdir}")

    def _check(self, facts: Facts) -> None:
        RunRecord.from_facts(facts)  # refuses those that are none of a run
        for change in self._identity.changes(self._new, facts, self._workdir):
            self.say(f"changed: {change}")

    def _train_to_an_end(self, signals: StopSignals) -> Outcome:
        outcome = self._ended_before()
        if outcome:
            return self._by_chief(self._write_what_is_missing) or outcome
        while True:
            end = self._train_from_here(signals)
            if isinstance(end, Outcome):
                return end
            outcome = self._go_back(end)
            if outcome:
                return outcome

    def _by_chief(self, write: Callable[[], None]) -> Outcome | None:
        """Has the chief write; the outcome, the same on all workers, where the disk refuses."""
        refused: OSError | None = None
        if self.is_chief:
            try:
                write()
            except OSError as error:
                refused = error
        (has_failed,), _ = sum_over_workers(self._gan.strategy, [int(refused is not None)])
        return self._cannot_write(refused) if has_failed else None

    def _cannot_write(self, error: OSError | None) -> Outcome:
        newest = next(reversed(self._checkpoints.paths()), None)
        error = error or OSError("the chief reports it")
        return cannot_write(int(self._gan.step.numpy()), error, newest)

    def _ended_before(self) -> Outcome | None:
        """The outcome where the run has come to its end at an earlier start."""
        step, plan = int(self._gan.step.numpy()), self._plan
        if not self._is_new and step >= plan.total_steps:
            return nothing_to_do(step)
        minutes = plan.total_minutes
        if minutes is not None and self._record.training_seconds >= 60 * minutes:
            return time_is_up(step, minutes)
        if self._evaluation and self._evaluation.has_stalled(self._record.evaluation):
            return no_improvement(step, self._record.evaluation)
        return None

    def _write_what_is_missing(self) -> None:
        """The last files of a run that was killed after its last checkpoint and before them."""
        step = int(self._gan.step.numpy())
        if finished_step(self._workdir) != step:
            with contextlib.closing(self._make_recorder(evaluator=None)) as recorder:
                recorder.finish(step)

    def _train_from_here(self, signals: StopSignals) -> Outcome | _GoBack:
        """Trains until an end, or until the run is to go back; files are open meanwhile."""
        try:
            return self._by_chief(self._open_files) or self._train(signals)
        finally:
            if self._recorder:
                self._recorder.close()
            self._recorder = None

    def _open_files(self) -> None:
        evaluator = None
        if self._evaluation:  # first: it may refuse, and what it takes is no time of training
            evaluator = Evaluator(self._gan, self._evaluation, self._record.evaluation, self.say)
        self._on_start()
        forget_the_finish(self._workdir)
        self._recorder = self._make_recorder(evaluator)
        if self._plan.on_nan == "rollback" and self._is_new:
            self._recorder.save()

    def _make_recorder(self, evaluator: Evaluator | None) -> Recorder:
        outputs = RunOutputs(
            self._gan,
            self._data,
            self._plan,
            self._workdir,
            self._title,
            self._record,
            self._is_new,
            self._checkpoints,
            self._make_picture,
            self._on_forecast,
        )
        return Recorder(
            self._gan, self._plan, self._workdir, self._checkpoints, outputs, evaluator, self.say
        )

    def _train(self, signals: StopSignals) -> Outcome | _GoBack:
        startup_clock.lap("folder")
        self.say("compiling the training step (2 to 60 s)")
        first_step, is_first_call = int(self._gan.step.numpy()), True
        end: Outcome | _GoBack | None = None

        def after_call(step: int, metrics: Metrics) -> bool:
            nonlocal end, is_first_call
            if is_first_call and not self._rollbacks:
                startup_clock.lap("compiling and the first call")
                self.say(startup_clock.describe(step - first_step))
            is_first_call = False
            end = self._after_call(step, metrics, signals)
            return end is not None

        try:
            train(
                self._gan,
                self._data.batches(),
                total_steps=self._plan.total_steps,
                steps_per_call=self._plan.steps_per_call,
                schedule=self._schedule,
                hooks=[after_call],
                # A run's first call is one step, to be seen soon. Only the chief has grids to draw,
                # but all workers end their calls where it does: they meet after each. Where calls
                # end depends on the step alone, not on where this process started: means over
                # other calls would be rounded differently.
                stops=[1, *self._plan.early_samples, *self._hooks_due],
            )
        except NotFiniteError as error:
            return self._not_finite(error)
        return end or self._leave(done(self._plan.total_steps, self._workdir))

    def _after_call(
        self, step: int, metrics: Metrics, signals: StopSignals
    ) -> Outcome | _GoBack | None:
        """Writes what is due; what follows where all workers are to end here."""
        hooks_ask = True in [hook(step, metrics) for hook in self._hooks]
        report = Report()
        if self._recorder:
            has_left = self._next_rollback() <= self._plan.maximum_rollbacks
            report = self._recorder.after_call(step, metrics, has_rollback_left=has_left)
        is_asked = hooks_ask or signals.received is not None
        answers = [is_asked, report.is_late, report.error is not None, report.verdict]
        (asked, late, full, verdict), _ = sum_over_workers(
            self._gan.strategy, [int(answer) for answer in answers]
        )
        if full:
            return self._cannot_write(report.error)
        if verdict == Verdict.ROLL_BACK:
            return _GoBack(self._collapsed(step), to_best=True)
        if verdict == Verdict.COLLAPSED:
            return self._leave(self._collapsed(step))
        if step >= self._plan.total_steps:
            return None
        if verdict == Verdict.NO_IMPROVEMENT:
            judged = (self._recorder or self._record).evaluation
            return self._leave(no_improvement(step, judged))
        if late:
            return self._leave(time_is_up(step, self._plan.total_minutes))
        return self._leave(stopped(step)) if asked else None

    def _collapsed(self, step: int) -> Outcome:
        recorder = self._recorder
        words = recorder.collapse_words() if recorder else "the samples have collapsed"
        return collapsed(step, words)

    def _not_finite(self, error: NotFiniteError) -> Outcome | _GoBack:
        # All workers are here: the metrics are sums over all of them.
        if self._recorder:
            self.say(f"{error}; {self._recorder.save_diagnosis(error)}")
        plan = self._plan
        outcome = not_finite(error.step, str(error), plan.on_nan)
        has_left = self._next_rollback() <= plan.maximum_rollbacks
        goes_back = plan.on_nan == "rollback" and has_left
        return _GoBack(outcome, to_best=False) if goes_back else outcome

    def _leave(self, outcome: Outcome) -> Outcome:
        """Has the chief leave the files of an end."""

        def write() -> None:
            assert self._recorder, "the chief's files are open while it trains"
            if outcome.ending in (Ending.STOPPED, Ending.COLLAPSED):
                self._recorder.stop(outcome.step)
            else:
                self._recorder.finish(outcome.step)

        return self._by_chief(write) or outcome

    def _go_back(self, back: _GoBack) -> Outcome | None:
        """Goes back to a checkpoint; the outcome where there is none any more."""
        if self.is_chief:
            self._wait_for_checkpoint()
        if back.to_best:  # what came after it is dropped
            refused = self._by_chief(self._checkpoints.drop_later_than_best)
            if refused:
                return refused
        self._rollbacks = self._next_rollback()
        self._restore(read_only=not self.is_chief)
        if self._is_new:
            return back.otherwise
        self._gan.rollbacks.assign(self._rollbacks)
        self.say(
            f"rollback {self._rollbacks} of {self._plan.maximum_rollbacks}: goes on from "
            f"step {int(self._gan.step.numpy()):,} with other random numbers"
        )
        return None

    def _next_rollback(self) -> int:
        return max(self._rollbacks, int(self._gan.rollbacks.numpy())) + 1

    def _wait_for_checkpoint(self) -> None:
        try:
            self._checkpoints.wait()
        except OSError as error:
            self.say(f"the last checkpoint could not be written ({error})")
