"""A run in its folder, from wherever it stands to its last step."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gan_core.data.source import ImageSource
from gan_core.errors import ArgumentError
from gan_core.run.checkpoint_files import Facts
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.folders import make_folder
from gan_core.run.hooks import Every, Hook, KeepTrying
from gan_core.run.loop import NotFiniteError, train
from gan_core.run.outcome import Ending, Outcome
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
_PEER_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


@dataclasses.dataclass(frozen=True)
class Identity:
    """What makes a run the one that it is, kept in its checkpoints.

    Attributes:
      facts: What another start must have alike, by name, as JSON.
      settings: What the run was started with, as JSON.
      workers_agree_on: What must be alike on all workers; the settings when None.
      check: Called with a checkpoint's facts; refuses them by raising, or returns lines on what is
        allowed to differ. When None, facts and settings must be equal.
    """

    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    workers_agree_on: object = None
    check: Callable[[Mapping[str, Any], Facts], Sequence[str]] | None = None


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
      hooks: Called after each call of steps, on all workers.
      image_shape: (H, W, C) to which an image source's larger images are cropped.
      flip: Whether every other image of a source, at random, is mirrored.
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
                outcome = _worker_gone(error)
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
            before = RunRecord.from_facts(facts)
            self._record = dataclasses.replace(
                self._new, window=before.window, last_picture=before.last_picture
            )
        self._on_restore()
        step = int(self._gan.step.numpy())
        self._check_workers_agree(step)
        self.say(f"from step {step:,} to {self._plan.total_steps:,}, workdir {self._workdir}")

    def _check(self, facts: Facts) -> None:
        """Raises `ArgumentError` with a list of what differs from the run in the workdir."""
        expected = self._new.identity
        if self._identity.check:
            for change in self._identity.check(expected, facts):
                self.say(f"changed: {change}")
            return
        now = {**expected, **self._new.settings}
        before = {**facts, **facts["settings"]}
        changes = [
            f"{name}: was {before.get(name)}, now {value}"
            for name, value in now.items()
            if before.get(name) != value
        ]
        if changes:
            raise ArgumentError(
                "workdir",
                self._workdir,
                f"holds another run ({'; '.join(changes)})",
                "go on with what that run was started with, or choose an empty folder",
            )

    def _check_workers_agree(self, step: int) -> None:
        """Raises `ArgumentError` where workers have other settings, data or checkpoints."""
        agree_on = self._identity.workers_agree_on or self._identity.settings
        run = zlib.crc32(repr((self._new.identity, agree_on)).encode())
        (total, runs), num_workers = sum_over_workers(self._gan.strategy, [step, run])
        if runs != run * num_workers:
            raise ArgumentError(
                "settings",
                "those of this worker",
                "must be those of all workers, and so must the data",
                "give all the same flags and the same images",
            )
        if total != step * num_workers:
            raise ArgumentError(
                "workdir",
                self._workdir,
                f"must be one folder that all workers share, but this one finds step {step} there "
                "and another one another",
                "put it on a shared file system",
            )

    def _train_to_an_end(self, signals: StopSignals) -> Outcome:
        step, total_steps = int(self._gan.step.numpy()), self._plan.total_steps
        if not self._is_new and step >= total_steps:
            words = f"nothing to do: step {step:,} is reached; to go on give a larger total_steps"
            return Outcome(Ending.DONE, step, words)
        try:
            while True:
                try:
                    return self._train_from_here(signals)
                except NotFiniteError as error:
                    # All workers are here: the metrics are sums over all of them.
                    outcome = self._roll_back(error)
                    if outcome:
                        return outcome
        except OSError as error:
            return self._cannot_write(error)

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
            self._finish()
        total_steps, workdir = self._plan.total_steps, self._workdir
        where = f"{workdir}/samples and {workdir}/curves.png"
        return Outcome(Ending.DONE, total_steps, f"done: step {total_steps:,}; look at {where}")

    def _open_outputs(self) -> RunOutputs:
        self._on_start()
        self._outputs = RunOutputs(
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
        keep_trying = KeepTrying("checkpoint", self._save, _CHECKPOINT_ATTEMPTS)
        self._save_if_due = Every(self._plan.checkpoint_every_steps, keep_trying)
        if self._plan.on_nan == "rollback" and self._is_new:
            self._save()
        return self._outputs

    def _after_call(self, step: int, metrics: Metrics, signals: StopSignals) -> Outcome | None:
        """Writes what is due; the outcome where all workers are to end here."""
        self._say_first_step(step)
        cannot_write: OSError | None = None
        if self.is_chief:
            self._outputs.after_call(step, metrics)
            try:
                self._save_if_due(step, metrics)
            except OSError as error:
                cannot_write = error
        reasons = [signals.received is not None, cannot_write is not None]
        (asked, full), _ = sum_over_workers(self._gan.strategy, [int(r) for r in reasons])
        if full:
            return self._cannot_write(cannot_write or OSError("the chief reports it"))
        if not asked or step >= self._plan.total_steps:
            return None
        if self.is_chief:
            self._save_stopped(step)
        words = f"saved at step {step:,}; run the same command to go on"
        return Outcome(Ending.STOPPED, step, words)

    def _say_first_step(self, step: int) -> None:
        if self._step_at_start is None:
            return
        num_steps, self._step_at_start = step - self._step_at_start, None
        if not self._rollbacks:
            startup_clock.lap("compiling and the first call")
            self.say(startup_clock.describe(num_steps))

    def _finish(self) -> None:
        """Leaves the last files, and a checkpoint of the last step."""
        if not self.is_chief:
            return
        self.say("writing the last grid, the curves, the film and a checkpoint")
        # As it is before the last lines where those are off their grid: a run that goes on from
        # here writes the lines that it would have written without the end. Saved after them: with
        # the last checkpoint everything is there.
        facts = self._outputs.record().facts()
        self._outputs.write_last(self._plan.total_steps)
        self._checkpoints.save(facts)
        self._checkpoints.wait()

    def _save(self, step: int = 0, metrics: Metrics | None = None) -> None:
        del step, metrics
        self._checkpoints.save(self._outputs.record().facts())

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
        self._rollbacks = max(self._rollbacks, int(self._gan.rollbacks.numpy())) + 1
        plan = self._plan
        if plan.on_nan != "rollback" or self._rollbacks > plan.maximum_rollbacks:
            remedy = "try lower learning rates"
            if plan.on_nan == "stop":
                remedy += ", or on_nan=rollback"
            return Outcome(Ending.NOT_FINITE, error.step, f"{error}; {remedy}")
        self._restore(read_only=not self.is_chief)
        self._gan.rollbacks.assign(self._rollbacks)
        self.say(
            f"rollback {self._rollbacks} of {plan.maximum_rollbacks}: goes on from "
            f"step {int(self._gan.step.numpy()):,} with other random numbers"
        )
        return None

    def _cannot_write(self, error: OSError) -> Outcome:
        paths = self._checkpoints.paths()
        newest = f"the newest checkpoint is {paths[-1]}" if paths else "there is no checkpoint yet"
        words = f"cannot write ({error}); {newest}; make room and run the same command to go on"
        return Outcome(Ending.CANNOT_WRITE, int(self._gan.step.numpy()), words)


def _worker_gone(error: tf.errors.OpError) -> Outcome:
    cause = error.message.strip().splitlines()[0]
    words = (
        f"another worker is gone ({cause}); start all of them again with the same command to go "
        "on from the newest checkpoint"
    )
    return Outcome(Ending.WORKER_GONE, -1, words)
