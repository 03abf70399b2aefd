"""What a run says, in files: metrics as JSON lines, TensorBoard events, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from gan_core import images
from gan_core.curves import read_metrics

Scalars = Mapping[str, float]


class Writer:
    """The verbs of a run's output; each does nothing until a kind of writer overrides it."""

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Says what the run was started with."""

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Says numbers by name; once a step at most."""

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Shows a picture, uint8 [H, W, C]; once a step and name at most."""

    def close(self) -> None:
        """Lets go of open files."""


class MultiWriter(Writer):
    """Passes everything on to several writers, in turn."""

    def __init__(self, writers: Sequence[Writer]):
        self._writers = tuple(writers)

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Passes on."""
        for writer in self._writers:
            writer.write_settings(settings)

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Passes on."""
        for writer in self._writers:
            writer.write_scalars(step, scalars)

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Passes on."""
        for writer in self._writers:
            writer.write_picture(step, name, picture)

    def close(self) -> None:
        """Closes each."""
        for writer in self._writers:
            writer.close()


class JsonLinesWriter(Writer):
    """Appends scalars to a file, one JSON object a line, `step` first.

    Args:
      path: The file.
      last_step: Lines of later steps, which a run that goes on from here will write again, are
        dropped, and with them a line that was cut off.
    """

    def __init__(self, path: Path, last_step: int):
        kept = [line for line in read_metrics(path) if line["step"] <= last_step]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        partial.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Appends a line, whole or not at all."""
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class PictureFilesWriter(Writer):
    """Writes pictures as `<folder>/<name>/step_<step>.png`."""

    def __init__(self, folder: Path, description: str = ""):
        self._folder = folder
        self._description = description

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes one PNG file."""
        path = self._folder / name / f"step_{step:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.png_bytes(picture, self._description))


class TensorBoardWriter(Writer):
    """Writes event files for TensorBoard."""

    def __init__(self, folder: Path):
        self._writer = tf.summary.create_file_writer(str(folder))

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Writes a table of the settings under `settings`."""
        rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
        with self._writer.as_default(step=0):
            tf.summary.text("settings", f"| setting | value |\n| --- | --- |\n{rows}")

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Writes each scalar under its name."""
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes the picture under its name."""
        with self._writer.as_default(step=step):
            tf.summary.image(name, picture[None])

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()
