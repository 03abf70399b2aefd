"""What the chief does with a run's files while it trains: judges, logs, saves, finishes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gan_core.durable_files import read_json_object, write_durably
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.evaluation_record import EvaluationRecord
from gan_core.run.evaluator import Evaluator, Verdict
from gan_core.run.hooks import Every, KeepTrying
from gan_core.run.loop import NotFiniteError
from gan_core.run.outputs import RunOutputs
from gan_core.run.plan import Plan
from gan_core.run.record import RunRecord
from gan_core.step import GanStep
from gan_core.types import Metrics

_CHECKPOINT_ATTEMPTS = 3
_FINISHED = "finished.json"


class Report(NamedTuple):
    """What the chief has to tell the other workers after a call of steps.

    Attributes:
      verdict: What follows from the evaluations.
      is_late: Whether the run's minutes are over.
      error: Why something that must be written could not be.
    """

    verdict: Verdict = Verdict.GO_ON
    is_late: bool = False
    error: OSError | None = None


class Recorder:
    """A run's open files, from a step on to an end or to a rollback.

    Args:
      gan: What is trained.
      plan: What is written when.
      folder: The run's.
      checkpoints: In it.
      outputs: Logs, grids, curves and film in it.
      evaluator: Judges samples; they are not judged when None.
      say: Prints a line for people.

    Raises:
      OSError: If a file cannot be written.
    """

    def __init__(
        self,
        gan: GanStep,
        plan: Plan,
        folder: Path,
        checkpoints: Checkpoints,
        outputs: RunOutputs,
        evaluator: Evaluator | None,
        say: Callable[[str], None],
    ):
        self._gan = gan
        self._folder = folder
        self._checkpoints = checkpoints
        self._outputs = outputs
        self._evaluator = evaluator
        self._say = say
        keep_trying = KeepTrying(
            "checkpoint", lambda step, metrics: self.save(), _CHECKPOINT_ATTEMPTS
        )
        self._save_if_due = Every(plan.checkpoint_every_steps, keep_trying)
        if evaluator:
            outputs.write_protocol(evaluator.protocol)

    @property
    def evaluation(self) -> EvaluationRecord:
        """How good the samples have been so far."""
        return self._evaluator.record if self._evaluator else self._record_now().evaluation

    def collapse_words(self) -> str:
        """That the samples have collapsed, in a line for people."""
        assert self._evaluator, "nothing but the evaluator finds a collapse"
        return self._evaluator.collapse_words()

    def after_call(self, step: int, metrics: Metrics, *, has_rollback_left: bool) -> Report:
        """Judges where that is due, logs, and saves what is due, or the best.

        Raises:
          ArgumentError: If the judge cannot do its work.
        """
        try:
            verdict = self._judge_log_and_save(step, metrics, has_rollback_left)
        except OSError as error:
            return Report(error=error)
        return Report(verdict, self._outputs.time_left() <= 0)

    def _judge_log_and_save(self, step: int, metrics: Metrics, has_rollback_left: bool) -> Verdict:
        evaluator, verdict, is_best = self._evaluator, Verdict.GO_ON, False
        if evaluator and evaluator.is_due(step, self._outputs.seconds):
            self._outputs.note_evaluation(evaluator.evaluate(step))
            can_roll_back = has_rollback_left and self._checkpoints.best_path() is not None
            verdict = evaluator.verdict(can_roll_back)
            is_best = evaluator.record.best_step == step
        self._outputs.after_call(step, metrics)
        save = self._save_if_due.hook if is_best else self._save_if_due
        save(step, metrics)
        return verdict

    def save(self) -> None:
        """Starts to save a checkpoint, once all that it says is written is on the disk.

        Raises:
          OSError: If something cannot be written.
        """
        record = self._record_now()
        judged = record.evaluation
        is_of_now = self._evaluator is not None and judged.last_step == int(self._gan.step.numpy())
        score = (judged.last, judged.protocol) if is_of_now else ()
        # After a kill nobody else remembers what was not written.
        self._outputs.flush()
        self._checkpoints.save(record.facts(), *score)

    def _record_now(self) -> RunRecord:
        record = self._outputs.record()
        if self._evaluator is None:
            return record
        return dataclasses.replace(record, evaluation=self._evaluator.record)

    def finish(self, step: int) -> None:
        """Writes all files of an end. The checkpoint comes first: the process may be killed soon.

        It holds no trace of the lines and grids off their intervals that follow: a run that goes
        on from it writes what it would have written without the end.

        Raises:
          OSError: If something cannot be written.
        """
        self._save_first()
        self._outputs.write_last(step)
        write_durably(self._folder / _FINISHED, json.dumps({"step": step}).encode())

    def stop(self, step: int) -> None:
        """Writes the files of a stop or a collapse, of which only the checkpoint must succeed.

        Raises:
          OSError: If the checkpoint cannot be written.
        """
        self._save_first()
        try:
            self._outputs.write_last(step)
        except OSError as error:
            self._say(f"the last grid, curves and film could not be written ({error})")

    def _save_first(self) -> None:
        self._say("writing a checkpoint, the last grid, the curves and the film")
        self.save()
        self._checkpoints.wait()

    def save_diagnosis(self, error: NotFiniteError) -> str:
        """Saves the batch of a step that failed, and its metrics; says where."""
        return self._outputs.save_diagnosis(error)

    def close(self) -> None:
        """Closes the files; what the disk refuses even now is said, and changes no end."""
        try:
            self._outputs.close()
        except OSError as error:
            self._say(f"the newest lines or grids could not be written ({error})")


def forget_the_finish(folder: Path) -> None:
    """Takes back that all files of an end were written, before some are to be dropped."""
    (folder / _FINISHED).unlink(missing_ok=True)


def finished_step(folder: Path) -> int | None:
    """The step at whose end all files of a run were written; None where that is not known."""
    try:
        return int(read_json_object(folder / _FINISHED)["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
