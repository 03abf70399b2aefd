"""Writes a run's folder on the chief: logs, sample grids, curves, film, checkpoints."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as imageio
import numpy as np

from gan_core.evaluation.protocol import Protocol
from gan_core.files import read_json_object, write_durably
from gan_core.gan import Gan
from gan_core.run.checkpoint_files import step_of, step_paths
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.evaluator import Evaluator, Verdict
from gan_core.run.hooks import CurvesPicture, Every, KeepTrying, MetricsWindow, SampleGrid
from gan_core.run.loop import NotFiniteError
from gan_core.run.pictures import gif_bytes, grid, png_bytes, with_caption
from gan_core.run.plan import Plan
from gan_core.run.record import EvaluationRecord, RunRecord
from gan_core.run.run_data import OwnData, SourceData
from gan_core.run.samples import MakePicture
from gan_core.run.status_line import StatusWriter
from gan_core.run.writers import (
    JsonLinesWriter,
    MultiWriter,
    PictureFilesWriter,
    TensorBoardWriter,
)
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
        gan: Gan,
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


_GRID_COLUMNS = 8
_GRID_WIDTH = 1024
_MAXIMUM_GIF_FRAMES = 120


class RunOutputs:
    """The files of a run from a step on.

    Later lines, events and samples of a run that goes on from `step` are dropped when it is made,
    and those that stand off the intervals, where an earlier last step was: they are written
    again, or would not have been written without that end.

    Args:
      gan: What is trained.
      data: On what.
      plan: What is written when.
      folder: Where to.
      title: What is trained, for people.
      record: What the run was started with, and where it stands.
      is_new: Whether it stands at its start, and not at a checkpoint.
      checkpoints: Whose pauses are logged.
      make_picture: What is shown as a sample; a grid from the same latents when None.
      on_forecast: Called with the step and with the one at which the run will end.

    Raises:
      OSError: If a file cannot be written.
    """

    def __init__(
        self,
        gan: Gan,
        data: SourceData | OwnData,
        plan: Plan,
        folder: Path,
        title: str,
        record: RunRecord,
        is_new: bool,
        checkpoints: Checkpoints,
        make_picture: MakePicture | None = None,
        on_forecast: Callable[[int, int], None] = lambda step, last_step: None,
    ):
        self._gan = gan
        self._data = data
        self._plan = plan
        self._folder = folder
        self._caption = f"{title}, {data.name}"
        self._record = record
        step, last_line = int(gan.step.numpy()), record.window.start_step
        _drop_samples_after(record.last_picture, folder / "samples")
        self._write_reals()
        self._evaluation_seconds = 0.0
        self._status = StatusWriter(plan.total_steps, step, None, self.time_left, on_forecast)
        self._writer = MultiWriter(
            [
                JsonLinesWriter(folder / "metrics.jsonl", last_line),
                TensorBoardWriter(folder / "tensorboard", last_line, record.last_picture),
                PictureFilesWriter(folder, self._caption),
                self._status,
            ]
        )
        self._window = MetricsWindow(gan, self._writer, checkpoints)
        generate_samples = SampleGrid(
            gan, self._writer, self._caption, self._num_grid_images(), make_picture
        )
        draw_curves = CurvesPicture(folder, self._caption)
        interval, early = plan.sample_every_steps, plan.early_samples
        self._due = {
            "metrics": Every(plan.log_every_steps, self._window.write),
            "samples": Every(interval, generate_samples, early),
            "curves": Every(interval, draw_curves, early),
        }
        self._hooks = [
            dataclasses.replace(due, hook=KeepTrying(name, due.hook))
            for name, due in self._due.items()
        ]
        if is_new:
            self._writer.write_settings({**record.settings, "data": data.description})
            generate_samples(0, {})
        else:
            self._go_on(record)

    def _go_on(self, record: RunRecord) -> None:
        self._window.restore(record.window)
        self._evaluation_seconds = record.evaluation.seconds
        if record.evaluation.best is not None:
            self._status.show_best(record.evaluation.best, record.evaluation.best_step)

    def record(self) -> RunRecord:
        """What a run that goes on from here needs to know."""
        step = int(self._gan.step.numpy())
        last_picture = max(self._record.last_picture, self._due["samples"].last_due(step))
        return dataclasses.replace(
            self._record, window=self._window.record(), last_picture=last_picture
        )

    def after_call(self, step: int, metrics: Metrics) -> None:
        """Writes what is due after a call of steps; where the disk refuses, it warns."""
        self._window.add(step, metrics)
        self._status.advance(step)
        for hook in self._hooks:
            hook(step, metrics)

    @property
    def seconds(self) -> float:
        """Of the whole run so far."""
        return self._window.seconds

    def time_left(self) -> float:
        """Seconds of training, without evaluations, until the run ends for its time."""
        if self._plan.total_minutes is None:
            return math.inf
        return 60 * self._plan.total_minutes - (self.seconds - self._evaluation_seconds)

    def write_protocol(self, protocol: Protocol) -> None:
        """Says in full what the log's names of evaluations say in short."""
        folder = self._folder / "evaluation"
        folder.mkdir(exist_ok=True)
        text = json.dumps(protocol.whole(), indent=2) + "\n"
        write_durably(folder / f"{protocol.short()}.json", text.encode())

    def note_evaluation(self, values: Mapping[str, float]) -> None:
        """Writes what an evaluation said into the next line, and the best beside the bar."""
        self._window.note(values, values["evaluation/seconds"])
        self._evaluation_seconds += values["evaluation/seconds"]
        self._status.show_best(values["evaluation/best"], int(values["evaluation/best_step"]))

    def write_last(self, step: int) -> None:
        """Writes what is due at the last step, off the intervals too, and the film."""
        for name, due in self._due.items():
            # The writer keeps lines and grids that the disk refused; nobody keeps the curves.
            if name == "curves" or not due.is_due(step):
                due.hook(step, {})
        _write_film(self._folder / "samples", self._folder / "training.gif")

    def flush(self) -> None:
        """Writes what the disk refused before.

        Raises:
          OSError: If it still does.
        """
        self._writer.flush()

    def save_diagnosis(self, error: NotFiniteError) -> str:
        """Saves the batch of a step that failed, and its metrics; says where."""
        folder, name = self._folder / "diagnosis", f"step_{error.step:07d}"
        try:
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.json").write_text(json.dumps(error.metrics, indent=2) + "\n")
            if isinstance(self._data, OwnData):
                return f"its metrics are in {folder}/{name}.json"
            images_a_step = int(self._gan.images_seen) // int(self._gan.step)
            numbers = np.arange((error.step - 1) * images_a_step, error.step * images_a_step)
            batch = self._data.read(numbers)
            images, labels = batch.images.numpy(), batch.labels.numpy()
            np.savez(folder / f"{name}.npz", images=images, labels=labels, numbers=numbers)
            picture = grid(images[: self._num_grid_images()])
            (folder / f"{name}.png").write_bytes(png_bytes(picture, str(error)))
        except OSError as cannot:
            return f"the batch could not be saved ({cannot})"
        return f"the batch is in {folder}/{name}.npz"

    def close(self) -> None:
        """Closes the files and takes the bar off the screen."""
        self._writer.close()

    def _write_reals(self) -> None:
        """The run's first images, as the discriminator gets them."""
        if isinstance(self._data, OwnData):
            return
        picture = grid(self._data.first(self._num_grid_images()).images.numpy())
        picture = with_caption(picture, f"{self._caption}, real images")
        write_durably(self._folder / "reals.png", png_bytes(picture, self._caption))

    def _num_grid_images(self) -> int:
        """A square of 8x8, or of as many large images as fit into 1,024 pixels."""
        if isinstance(self._data, OwnData):
            return _GRID_COLUMNS**2
        width = self._data.image_shape[1]
        return min(_GRID_COLUMNS, max(1, _GRID_WIDTH // width)) ** 2


def _write_film(samples: Path, path: Path) -> None:
    """All grids as one film; of more than 120 the most even selection, the last included."""
    paths = step_paths(samples, ".png")
    if len(paths) > _MAXIMUM_GIF_FRAMES:
        chosen = np.linspace(0, len(paths) - 1, _MAXIMUM_GIF_FRAMES).round().astype(int)
        paths = [paths[number] for number in chosen]
    frames = [frame for frame in map(_frame, paths) if frame is not None]
    if frames:
        write_durably(path, gif_bytes(frames))


def _frame(path: Path) -> np.ndarray | None:
    """A grid from its file; None, with a warning, where that is damaged."""
    try:
        return imageio.imread(path, plugin="pillow")
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's words for damage
        warnings.warn(
            f"{path} is no whole picture ({error}): the film goes without it",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _drop_samples_after(step: int, samples: Path) -> None:
    """Removes grids of later steps, which a run that goes on from `step` will draw again."""
    for path in step_paths(samples, ".png"):
        if step_of(path) > step:
            path.unlink()
