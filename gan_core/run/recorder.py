"""Writes a run's folder on the chief: logs, sample grids, curves, film, checkpoints."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as imageio
import numpy as np

from gan_core.evaluation.protocol import Protocol
from gan_core.files import read_json_object, write_durably
from gan_core.run.checkpoint_files import step_of, step_paths
from gan_core.run.evaluator import Evaluator, Verdict
from gan_core.run.hooks import CurvesPicture, Every, KeepTrying, MetricsWindow, SampleGrid
from gan_core.run.loop import NotFiniteError
from gan_core.run.pictures import gif_bytes, grid, png_bytes, with_caption
from gan_core.run.program import RunParts
from gan_core.run.record import EvaluationRecord, RunRecord, SecondsLedger
from gan_core.run.run_data import SourceData
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
_GRID_COLUMNS = 8
_GRID_WIDTH = 1024
_MAXIMUM_GIF_FRAMES = 120


class Report(NamedTuple):
    """The chief's message to the other workers after a call of steps.

    Attributes:
      verdict: The consequence of the evaluations.
      is_late: Whether the run's minutes are over.
      error: The error of a write that must succeed; None if there was none.
    """

    verdict: Verdict = Verdict.GO_ON
    is_late: bool = False
    error: OSError | None = None


class Recorder:
    """The open files of a run, from a step on until it ends or rolls back.

    Lines, events and samples of later steps are dropped when it is made, and so are those off the
    intervals, written at an earlier end: the resumed run writes them again, or would not have
    written them without that end.

    Args:
      parts: The parts of the run.
      record: The record of the run at this step.
      is_new: Whether the run starts here, and not from a checkpoint.
      ledger: Counts the run's seconds; started here.
      evaluator: Judges samples; they are not judged when None.

    Raises:
      OSError: If a file cannot be written.
    """

    def __init__(
        self,
        parts: RunParts,
        record: RunRecord,
        *,
        is_new: bool,
        ledger: SecondsLedger,
        evaluator: Evaluator | None = None,
    ):
        self._parts = parts
        self._record = record
        self._ledger = ledger
        self._evaluator = evaluator
        gan, plan, folder, program = parts.gan, parts.plan, parts.workdir, parts.program
        self._caption = f"{program.title}, {parts.data.name}"
        last_line = record.window.start_step
        _drop_samples_after(record.last_picture, folder / "samples")
        self._write_reals()
        self._status = StatusWriter(plan, parts.step, None, self._time_left, program.say)
        self._writer = MultiWriter(
            [
                JsonLinesWriter(folder / "metrics.jsonl", last_line),
                TensorBoardWriter(folder / "tensorboard", last_line, record.last_picture),
                PictureFilesWriter(folder, self._caption),
                self._status,
            ]
        )
        self._window = MetricsWindow(gan, self._writer, parts.checkpoints, ledger.start())
        self._make_hooks()
        if is_new:
            data = parts.data.describe()
            self._writer.write_settings({**record.settings, "data": data})
            self._due["samples"].hook(0, {})
        else:
            self._window.restore(record.window)
            if record.evaluation.best is not None:
                self._status.show_best(record.evaluation.best, record.evaluation.best_step)
        if evaluator:
            self._write_protocol(evaluator.protocol)

    def _make_hooks(self) -> None:
        plan, program = self._parts.plan, self._parts.program
        draw_samples = SampleGrid(
            self._parts.gan,
            self._writer,
            self._caption,
            self._num_grid_images(),
            program.make_picture,
        )
        draw_curves = CurvesPicture(self._parts.workdir, self._caption)
        interval, early = plan.sample_every_steps, plan.early_samples
        self._due = {
            "metrics": Every(plan.log_every_steps, self._window.write),
            "samples": Every(interval, draw_samples, early),
            "curves": Every(interval, draw_curves, early),
        }
        self._hooks = [
            dataclasses.replace(due, hook=KeepTrying(name, due.hook))
            for name, due in self._due.items()
        ]
        save = KeepTrying("checkpoint", lambda step, metrics: self.save(), _CHECKPOINT_ATTEMPTS)
        self._save_if_due = Every(plan.checkpoint_every_steps, save)

    @property
    def evaluation(self) -> EvaluationRecord:
        """Results of the evaluations so far."""
        return self._evaluator.record if self._evaluator else self._record.evaluation

    def collapse_words(self) -> str:
        """The collapse of the samples in one line for people."""
        assert self._evaluator, "only an evaluator finds a collapse"
        return self._evaluator.collapse_words()

    def after_call(self, step: int, metrics: Metrics, *, has_rollback_left: bool) -> Report:
        """Evaluates, logs and saves what is due; saves each new best state too.

        Raises:
          ArgumentError: If the judge fails.
        """
        evaluator, verdict, is_best = self._evaluator, Verdict.GO_ON, False
        try:
            if evaluator and evaluator.is_due(step):
                values = evaluator.evaluate(step)
                self._window.note(values, values["evaluation/seconds"])
                best = evaluator.record
                self._status.show_best(best.best or 0.0, best.best_step)
                has_best = self._parts.checkpoints.best_path() is not None
                verdict = evaluator.verdict(may_roll_back=has_rollback_left and has_best)
                is_best = best.best_step == step
            self._window.add(step, metrics)
            self._status.advance(step)
            for hook in self._hooks:
                hook(step, metrics)
            save = self._save_if_due.hook if is_best else self._save_if_due
            save(step, metrics)
        except OSError as error:
            return Report(error=error)
        return Report(verdict, self._time_left() <= 0)

    def save(self) -> None:
        """Starts to save a checkpoint, once all earlier output is on the disk.

        Raises:
          OSError: If something cannot be written.
        """
        judged = self.evaluation
        is_of_now = self._evaluator is not None and judged.last_step == self._parts.step
        score = (judged.last, judged.protocol) if is_of_now else ()
        last_picture = self._due["samples"].last_due(self._parts.step)
        record = dataclasses.replace(
            self._record,
            window=self._window.record(),
            last_picture=max(self._record.last_picture, last_picture),
            evaluation=judged,
            seconds=self._ledger.now(),
        )
        # After a kill, output that was not written would be lost.
        self._writer.flush()
        self._parts.checkpoints.save(record.facts(), *score)

    def finish(self, step: int) -> None:
        """Writes all files of an end. The checkpoint comes first: the process may be killed soon.

        It has no trace of the lines and grids off their intervals that follow: a run resumed from
        it writes what it would have written without the end.

        Raises:
          OSError: If something cannot be written.
        """
        self._save_and_wait()
        self._write_last(step)
        write_durably(self._parts.workdir / _FINISHED, json.dumps({"step": step}).encode())

    def stop(self, step: int) -> None:
        """Writes the files of a stop or a collapse, of which only the checkpoint must succeed.

        Raises:
          OSError: If the checkpoint cannot be written.
        """
        self._save_and_wait()
        try:
            self._write_last(step)
        except OSError as error:
            self._parts.program.say(
                f"the last grid, curves and film could not be written ({error})"
            )

    def save_diagnosis(self, error: NotFiniteError) -> str:
        """Saves the batch and the metrics of a step that failed; returns a line on where."""
        parts, data = self._parts, self._parts.data
        folder, name = parts.workdir / "diagnosis", f"step_{error.step:07d}"
        try:
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.json").write_text(json.dumps(error.metrics, indent=2) + "\n")
            if not isinstance(data, SourceData):
                return f"its metrics are in {folder}/{name}.json"
            images_a_step = int(parts.gan.images_seen) // parts.step
            numbers = np.arange((error.step - 1) * images_a_step, error.step * images_a_step)
            batch = data.read(parts.gan, numbers)
            images, labels = batch.images.numpy(), batch.labels.numpy()
            np.savez(folder / f"{name}.npz", images=images, labels=labels, numbers=numbers)
            picture = grid(images[: self._num_grid_images()])
            (folder / f"{name}.png").write_bytes(png_bytes(picture, str(error)))
        except OSError as cannot:
            return f"the batch could not be saved ({cannot})"
        return f"the batch is in {folder}/{name}.npz"

    def close(self) -> None:
        """Closes the files; a write that fails even now is reported, and changes no outcome."""
        try:
            self._writer.close()
        except OSError as error:
            self._parts.program.say(f"the newest lines or grids could not be written ({error})")

    def _time_left(self) -> float:
        """Seconds of training until the run ends for its time; infinite without a limit."""
        minutes = self._parts.plan.total_minutes
        return math.inf if minutes is None else 60 * minutes - self._ledger.now().training

    def _save_and_wait(self) -> None:
        self._parts.program.say("writing a checkpoint, the last grid, the curves and the film")
        self.save()
        self._parts.checkpoints.wait()

    def _write_last(self, step: int) -> None:
        """Writes what is due at the last step, off the intervals too, and the film."""
        for name, due in self._due.items():
            # The writer keeps lines and grids that the disk refused; nothing keeps the curves.
            if name == "curves" or not due.is_due(step):
                due.hook(step, {})
        folder = self._parts.workdir
        _write_film(folder / "samples", folder / "training.gif")

    def _write_protocol(self, protocol: Protocol) -> None:
        """Writes in full the protocol that metric names abbreviate."""
        folder = self._parts.workdir / "evaluation"
        folder.mkdir(exist_ok=True)
        text = json.dumps(protocol.whole(), indent=2) + "\n"
        write_durably(folder / f"{protocol.short()}.json", text.encode())

    def _write_reals(self) -> None:
        """Writes the run's first images as the discriminator gets them."""
        data, gan = self._parts.data, self._parts.gan
        if isinstance(data, SourceData):
            numbers = np.arange(min(self._num_grid_images(), len(data.source.images)))
            picture = grid(data.read(gan, numbers).images.numpy())
            picture = with_caption(picture, f"{self._caption}, real images")
            path = self._parts.workdir / "reals.png"
            write_durably(path, png_bytes(picture, self._caption))

    def _num_grid_images(self) -> int:
        """A square of 8x8 images, or of as many large ones as fit into 1,024 pixels."""
        data = self._parts.data
        if not isinstance(data, SourceData):
            return _GRID_COLUMNS**2
        return min(_GRID_COLUMNS, max(1, _GRID_WIDTH // data.batch_shape[1])) ** 2


def forget_finish(folder: Path) -> None:
    """Removes the mark of a finished run, before its last files are dropped."""
    (folder / _FINISHED).unlink(missing_ok=True)


def finished_step(folder: Path) -> int | None:
    """The step at whose end all files of a run were written; None if that is not known."""
    try:
        return int(read_json_object(folder / _FINISHED)["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_film(samples: Path, path: Path) -> None:
    """Writes all grids as a film; of more than 120 an even selection that includes the last."""
    paths = step_paths(samples, ".png")
    if len(paths) > _MAXIMUM_GIF_FRAMES:
        chosen = np.linspace(0, len(paths) - 1, _MAXIMUM_GIF_FRAMES).round().astype(int)
        paths = [paths[number] for number in chosen]
    frames = [frame for frame in map(_frame, paths) if frame is not None]
    if frames:
        write_durably(path, gif_bytes(frames))


def _frame(path: Path) -> np.ndarray | None:
    """A grid from its file; None, with a warning, if it is damaged."""
    try:
        return imageio.imread(path, plugin="pillow")
    except (OSError, SyntaxError, ValueError) as error:  # those that Pillow raises
        warnings.warn(
            f"{path} is a damaged picture ({error}): the film leaves it out",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _drop_samples_after(step: int, samples: Path) -> None:
    """Removes grids of later steps, which a run resumed from `step` will draw again."""
    for path in step_paths(samples, ".png"):
        if step_of(path) > step:
            path.unlink()
