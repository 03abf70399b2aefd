"""What a run leaves in its folder while it trains: logs, grids, curves, film, diagnoses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

import gan_core
from experiments import parts, run_folder
from experiments.flags import EFFECTIVE_FLAGS
from experiments.settings import Settings

_GRID_COLUMNS = 8
_EARLY_SAMPLES = (10, 25, 50, 100)
_GRID_WIDTH = 1024


def early_samples(settings: Settings) -> list[int]:
    """Steps with grids before the first interval ends: the first minute is worth more looks."""
    return [step for step in _EARLY_SAMPLES if step < settings.sample_every_steps]


class RunOutputs:
    """The files of a run from a step on, and the hooks that write them.

    Later lines, events and samples of a run that goes on from `step` are dropped when it is made,
    and those that stand off the intervals, where an earlier last step was: they are written
    again, or would not have been written without that end.

    Args:
      gan: What is trained.
      source: On what.
      settings: How.
      caption: Both, for people.
      checkpoints: Whose pauses are logged.
      restored: Facts of the checkpoint that the run goes on from; None at its start.

    Raises:
      OSError: If a file cannot be written.
    """

    def __init__(
        self,
        gan: gan_core.GanStep,
        source: gan_core.data.ImageSource,
        settings: Settings,
        caption: str,
        checkpoints: gan_core.run.Checkpoints,
        restored: gan_core.run.Facts | None,
    ):
        self._gan = gan
        self._source = source
        self._settings = settings
        self._caption = caption
        self._workdir = Path(settings.workdir)
        step = int(gan.step.numpy())
        before = restored["outputs"] if restored else {"last_picture": 0}
        last_line = before["metrics_window"]["start_step"] if restored else 0
        self._last_picture = before["last_picture"]
        gan_core.run.write_durably(
            self._workdir / EFFECTIVE_FLAGS, settings.as_flagfile().encode("utf-8")
        )
        run_folder.drop_samples_after(self._last_picture, self._workdir / "samples")
        self._write_reals()
        self._status = gan_core.run.StatusWriter(settings.total_steps, step)
        self._writer = gan_core.run.MultiWriter(
            [
                gan_core.run.JsonLinesWriter(self._workdir / "metrics.jsonl", last_line),
                gan_core.run.TensorBoardWriter(
                    self._workdir / "tensorboard", last_line, self._last_picture
                ),
                gan_core.run.PictureFilesWriter(self._workdir, caption),
                self._status,
            ]
        )
        self._window = gan_core.run.MetricsWindow(gan, self._writer, checkpoints)
        draw_samples = gan_core.run.SampleGrid(gan, self._writer, caption, self._num_grid_images())
        draw_curves = gan_core.run.CurvesPicture(self._workdir, caption)
        interval = settings.sample_every_steps
        early = early_samples(settings)
        self._due = {
            "metrics": gan_core.run.Every(settings.log_every_steps, self._window.write),
            "samples": gan_core.run.Every(interval, draw_samples, early),
            "curves": gan_core.run.Every(interval, draw_curves, early),
        }
        if restored:
            self._window.restore(before["metrics_window"])
        else:
            self._writer.write_settings({**settings.as_dict(), "data": source.facts()})
            draw_samples(0, {})

    def state(self) -> dict[str, object]:
        """What a run that goes on from here needs to know, as JSON."""
        step = int(self._gan.step.numpy())
        last_picture = max(self._last_picture, self._due["samples"].last_due(step))
        return {"metrics_window": self._window.state(), "last_picture": last_picture}

    def hooks(self) -> list[gan_core.run.Hook]:
        """What to call after each call of steps; where the disk refuses, they warn."""
        return [
            self._window.add,
            lambda step, metrics: self._status.advance(step),
            *(
                dataclasses.replace(due, hook=gan_core.run.KeepTrying(name, due.hook))
                for name, due in self._due.items()
            ),
        ]

    def write_last(self, step: int) -> None:
        """Writes what is due at the last step, off the intervals too, and the film."""
        for due in self._due.values():
            if not due.is_due(step):
                due.hook(step, {})
        run_folder.write_gif(self._workdir / "samples", self._workdir / "training.gif")

    def save_diagnosis(self, error: gan_core.run.NotFiniteError) -> str:
        """Saves the batch of a step that failed, and its metrics; says where."""
        settings = self._settings
        images_a_step = settings.global_batch_size * settings.discriminator_updates
        numbers = np.arange((error.step - 1) * images_a_step, error.step * images_a_step)
        batch = self._read_images(numbers)
        folder = self._workdir / "diagnosis"
        name = f"step_{error.step:07d}"
        try:
            folder.mkdir(exist_ok=True)
            np.savez(
                folder / f"{name}.npz", images=batch.images, labels=batch.labels, numbers=numbers
            )
            picture = gan_core.run.grid(batch.images.numpy()[: self._num_grid_images()])
            (folder / f"{name}.png").write_bytes(gan_core.run.png_bytes(picture, str(error)))
            (folder / f"{name}.json").write_text(json.dumps(error.metrics, indent=2) + "\n")
        except OSError as cannot:
            return f"the batch could not be saved ({cannot})"
        return f"the batch is in {folder}/{name}.npz"

    def close(self) -> None:
        """Closes the files and takes the bar off the screen."""
        self._writer.close()

    def _write_reals(self) -> None:
        """The run's first images, as the discriminator gets them."""
        count = min(self._num_grid_images(), len(self._source.images))
        picture = gan_core.run.grid(self._read_images(np.arange(count)).images.numpy())
        picture = gan_core.run.with_caption(picture, f"{self._caption}, real images")
        gan_core.run.write_durably(
            self._workdir / "reals.png", gan_core.run.png_bytes(picture, self._caption)
        )

    def _read_images(self, numbers: np.ndarray) -> gan_core.data.Batch:
        return gan_core.data.read_images(
            self._source,
            tf.constant(numbers, tf.int64),
            seed=self._settings.seed,
            image_shape=parts.image_shape(self._gan),
            flip=self._settings.flip,
        )

    def _num_grid_images(self) -> int:
        """A square of 8x8, or of as many large images as fit into 1,024 pixels."""
        return min(_GRID_COLUMNS, max(1, _GRID_WIDTH // parts.image_shape(self._gan)[1])) ** 2
