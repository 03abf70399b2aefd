"""A run in its folder, from wherever it stands to its last step."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gan_core.data.source import ImageSource
from gan_core.durable_files import read_json_object, write_durably
from gan_core.errors import ArgumentError, check_divides
from gan_core.run.checkpoint_files import Facts
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.evaluator import Evaluation, Evaluator, Verdict
from gan_core.run.folders import make_folder
from gan_core.run.hooks import Every, Hook, KeepTrying
from gan_core.run.identity import Identity, check_workers_agree
from gan_core.run.loop import NotFiniteError, train
from gan_core.run.outcome import (
    Outcome,
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
from gan_core.run.outputs import RunOutputs
from gan_core.run.plan import Plan
from gan_core.run.record import RunRecord
from gan_core.run.run_data import MakeBatches, OwnData, SourceData
from gan_core.run.run_lock import RunLock
from gan_core.run.samples import MakePicture
from gan_core.run.startup import startup_clock
from gan_core.run.status_line import say as print_line
from gan_core.run.stop_signals import StopSignals
from gan_core.step import GanStep
from gan_core.strategies import is_chief, meet_workers, sum_over_workers
from gan_core.types import Metrics
from gan_core.update_schedules import Schedule

_CHECKPOINT_ATTEMPTS = 3
_FINISHED = "finished.json"
_PEER_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


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
      hooks: Called after each call of steps, on all workers.
      image_shape: (H, W, C) to which an image source's larger images are cropped.
      flip: Whether each image of a source is mirrored with probability 1/2.
      identity: What another start must have alike.
      make_picture: What is shown as a sample: uint8 [H, W, C]; a grid when None.
      on_restore: Called after each restore, to set what a checkpoint must not: learning rates, say.
      on_start: Called by the chief when training starts from a step, to write into the folder.
      say: Prints a line for people.

    Raises:
      ArgumentError: If a part does not fit.
    """

    def __init__(
        self,
        gan: GanStep,
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
        self._hooks = hooks
        self._make_picture = make_picture
        self._on_restore = on_restore
        self._on_start = on_start
        self._say = say
        self._identity = identity or Identity()
        self._new = RunRecord(self._describe_parts(), self._identity.settings)
        self._checkpoints = Checkpoints(self._workdir / "checkpoints", gan, plan.keep_checkpoints)
        self._record = self._new
        self._is_new = True
        self._outputs: RunOutputs  # of the chief, while it trains
        self._evaluator: Evaluator | None = None  # the same
        self._rollbacks = 0
        self._step_at_start: int | None = None

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
        try:
            outcome = self._ended_before()
            if outcome:
                self._write_what_is_missing(outcome.step)
                return outcome
            while True:
                try:
                    return self._train_from_here(signals)
                except _Collapsed:
                    self._go_back_to_best()
                except NotFiniteError as error:
                    # All workers are here: the metrics are sums over all of them.
                    outcome = self._roll_back(error)
                    if outcome:
                        return outcome
        except OSError as error:
            return self._cannot_write(error)

    def _ended_before(self) -> Outcome | None:
        """The outcome where the run has come to its end at an earlier start."""
        step, plan = int(self._gan.step.numpy()), self._plan
        if not self._is_new and step >= plan.total_steps:
            return nothing_to_do(step)
        minutes = plan.total_minutes
        if minutes is not None and self._record.training_seconds >= 60 * minutes:
            return time_is_up(step, self._plan.total_minutes)
        if self._evaluation and self._evaluation.has_stalled(self._record.evaluation):
            return self._no_improvement(step)
        return None

    def _write_what_is_missing(self, step: int) -> None:
        """The last files of a run that was killed after its last checkpoint and before them."""
        if self.is_chief and self._finished_step() != step:
            with contextlib.closing(self._make_outputs()) as self._outputs:
                self._finish(step)

    def _finished_step(self) -> int | None:
        """The step at whose end all files were written; None where that is not known."""
        try:
            return int(read_json_object(self._workdir / _FINISHED)["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _train_from_here(self, signals: StopSignals) -> Outcome:
        outcomes: list[Outcome] = []

        def end_if_need_be(step: int, metrics: Metrics) -> bool:
            outcomes.extend(filter(None, [self._after_call(step, metrics, signals)]))
            return bool(outcomes)

        with contextlib.ExitStack() as stack:
            if self.is_chief:
                stack.enter_context(contextlib.closing(self._open_outputs()))
            startup_clock.lap("folder")
            self.say("compiling the training step (2 to 60 s)")
            self._step_at_start = int(self._gan.step.numpy())
            train(
                self._gan,
                self._data.batches(),
                total_steps=self._plan.total_steps,
                steps_per_call=self._plan.steps_per_call,
                schedule=self._schedule,
                hooks=[*self._hooks, end_if_need_be],
                # A run's first call is one step, to be seen soon. Only the chief has grids to draw,
                # but all workers end their calls where it does: they meet after each. Where calls
                # end depends on the step alone, not on where this process started: means over
                # other calls would be rounded differently.
                stops=[1, *self._plan.early_samples],
            )
            if outcomes:
                return outcomes[0]
            self._finish(self._plan.total_steps)
        return done(self._plan.total_steps, self._workdir)

    def _open_outputs(self) -> RunOutputs:
        self._on_start()
        if self._evaluation:  # first: what the judge takes to be made is no time of training
            self._evaluator = Evaluator(
                self._gan, self._evaluation, self._record.evaluation, self.say
            )
        self._outputs = self._make_outputs()
        if self._evaluation:
            self._outputs.write_protocol(self._evaluation.judge.protocol)
        keep_trying = KeepTrying("checkpoint", self._save, _CHECKPOINT_ATTEMPTS)
        self._save_if_due = Every(self._plan.checkpoint_every_steps, keep_trying)
        if self._plan.on_nan == "rollback" and self._is_new:
            self._save()
        return self._outputs

    def _make_outputs(self) -> RunOutputs:
        return RunOutputs(
            self._gan,
            self._data,
            self._plan,
            self._workdir,
            self._title,
            self._record,
            self._is_new,
            self._checkpoints,
            self._make_picture,
        )

    def _after_call(self, step: int, metrics: Metrics, signals: StopSignals) -> Outcome | None:
        """Writes what is due; the outcome where all workers are to end here."""
        self._say_first_step(step)
        cannot_write: OSError | None = None
        verdict = Verdict.GO_ON
        if self.is_chief:
            try:
                verdict = self._evaluate_and_save(step, metrics)
            except OSError as error:
                cannot_write = error
        is_late = self.is_chief and self._outputs.time_left() <= 0
        answers = [signals.received is not None, is_late, cannot_write is not None, verdict]
        (asked, late, full, agreed), _ = sum_over_workers(
            self._gan.strategy, [int(a) for a in answers]
        )
        if full:
            return self._cannot_write(cannot_write or OSError("the chief reports it"))
        if agreed == Verdict.ROLL_BACK:
            raise _Collapsed
        if agreed == Verdict.COLLAPSED:
            return self._collapsed(step)
        if step >= self._plan.total_steps:
            return None
        if agreed == Verdict.NO_IMPROVEMENT:
            self._finish(step)
            return self._no_improvement(step)
        if late:
            self._finish(step)
            return time_is_up(step, self._plan.total_minutes)
        if not asked:
            return None
        if self.is_chief:
            self._save_stopped(step)
        return stopped(step)

    def _evaluate_and_save(self, step: int, metrics: Metrics) -> Verdict:
        """On the chief: judges where that is due, logs, and saves what is due, or the best."""
        evaluator, verdict, save = self._evaluator, Verdict.GO_ON, None
        if evaluator and evaluator.is_due(step, self._outputs.seconds):
            self._outputs.note_evaluation(evaluator.evaluate(step))
            has_left = self._next_rollback() <= self._plan.maximum_rollbacks
            verdict = evaluator.verdict(has_left and self._checkpoints.best_path() is not None)
            if evaluator.record.best_step == step:
                save = self._save_if_due.hook
        self._outputs.after_call(step, metrics)
        (save or self._save_if_due)(step, metrics)
        return verdict

    def _say_first_step(self, step: int) -> None:
        if self._step_at_start is None:
            return
        num_steps, self._step_at_start = step - self._step_at_start, None
        if not self._rollbacks:
            startup_clock.lap("compiling and the first call")
            self.say(startup_clock.describe(num_steps))

    def _finish(self, step: int) -> None:
        """Leaves the last files, and a checkpoint of the last step."""
        if not self.is_chief:
            return
        self.say("writing the last grid, the curves, the film and a checkpoint")
        # As it is before the last lines where those are off their grid: a run that goes on from
        # here writes the lines that it would have written without the end.
        record = self._record_now()
        self._outputs.write_last(step)
        self._save_record(record)
        self._checkpoints.wait()
        write_durably(self._workdir / _FINISHED, json.dumps({"step": step}).encode())

    def _save(self, step: int = 0, metrics: Metrics | None = None) -> None:
        del step, metrics
        self._save_record(self._record_now())

    def _record_now(self) -> RunRecord:
        record = self._outputs.record()
        if self._evaluator is None:
            return record
        return dataclasses.replace(record, evaluation=self._evaluator.record)

    def _save_record(self, record: RunRecord) -> None:
        judged = record.evaluation
        is_of_now = self._evaluator is not None and judged.last_step == int(self._gan.step.numpy())
        score = (judged.last, judged.protocol) if is_of_now else ()
        # What a checkpoint says is written is on the disk: after a kill nobody else remembers it.
        self._outputs.flush()
        self._checkpoints.save(record.facts(), *score)

    def _save_stopped(self, step: int) -> None:
        """Leaves the files that an end leaves; the checkpoint first: time may be short."""
        self.say("writing a checkpoint, the last grid, the curves and the film")
        self._save()
        self._checkpoints.wait()
        try:
            self._outputs.write_last(step)
        except OSError as error:
            self.say(f"the last grid, curves and film could not be written ({error})")

    def _roll_back(self, error: NotFiniteError) -> Outcome | None:
        """Goes back to a checkpoint; the outcome where that is not wanted, or no longer."""
        if self.is_chief:
            self.say(f"{error}; {self._outputs.save_diagnosis(error)}")
            try:
                self._checkpoints.wait()
            except OSError as cannot:
                self.say(f"the last checkpoint could not be written ({cannot})")
        self._rollbacks = self._next_rollback()
        plan = self._plan
        if plan.on_nan != "rollback" or self._rollbacks > plan.maximum_rollbacks:
            return not_finite(error.step, str(error), plan.on_nan)
        self._go_back()
        return None

    def _go_back_to_best(self) -> None:
        """From a collapse: what came after the best checkpoint is dropped."""
        if self.is_chief:
            self._checkpoints.wait()
            self._checkpoints.drop_later_than_best()
        self._rollbacks = self._next_rollback()
        self._go_back()

    def _next_rollback(self) -> int:
        return max(self._rollbacks, int(self._gan.rollbacks.numpy())) + 1

    def _go_back(self) -> None:
        self._restore(read_only=not self.is_chief)
        self._gan.rollbacks.assign(self._rollbacks)
        self.say(
            f"rollback {self._rollbacks} of {self._plan.maximum_rollbacks}: goes on from "
            f"step {int(self._gan.step.numpy()):,} with other random numbers"
        )

    def _collapsed(self, step: int) -> Outcome:
        if self._evaluator is None:  # not the chief
            return collapsed(step, "the samples have collapsed")
        self._save_stopped(step)
        return collapsed(step, self._evaluator.collapse_words())

    def _no_improvement(self, step: int) -> Outcome:
        record = self._evaluator.record if self._evaluator else self._record.evaluation
        return no_improvement(step, record)

    def _cannot_write(self, error: OSError) -> Outcome:
        newest = next(reversed(self._checkpoints.paths()), None)
        return cannot_write(int(self._gan.step.numpy()), error, newest)


class _Collapsed(Exception):  # noqa: N818 (no error: the run goes back and on)
    """The samples are much worse than the best, and the run is to go back to it."""
