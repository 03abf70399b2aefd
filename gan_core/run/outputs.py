"""What a run leaves in its folder while it trains: logs, grids, curves, film, diagnoses."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from gan_core.durable_files import write_durably
from gan_core.evaluation.protocol import Protocol
from gan_core.run.checkpoint_files import step_of, step_paths
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.hooks import CurvesPicture, Every, KeepTrying, MetricsWindow, SampleGrid
from gan_core.run.loop import NotFiniteError
from gan_core.run.pictures import gif_bytes, grid, png_bytes, with_caption
from gan_core.run.plan import Plan
from gan_core.run.record import RunRecord
from gan_core.run.run_data import OwnData, SourceData
from gan_core.run.samples import MakePicture
from gan_core.run.status_line import StatusWriter
from gan_core.run.writers import (
    JsonLinesWriter,
    MultiWriter,
    PictureFilesWriter,
    TensorBoardWriter,
)
from gan_core.step import GanStep
from gan_core.types import Metrics

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
        gan: GanStep,
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
        draw_samples = SampleGrid(
            gan, self._writer, self._caption, self._num_grid_images(), make_picture
        )
        draw_curves = CurvesPicture(folder, self._caption)
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
        if is_new:
            self._writer.write_settings({**record.settings, "data": data.facts})
            draw_samples(0, {})
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
