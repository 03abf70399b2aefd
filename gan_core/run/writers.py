"""Writers of a run's output: metrics as JSON lines, TensorBoard events, pictures."""

from __future__ import annotations

import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epy
from google.protobuf.message import DecodeError

from gan_core.files import append_durably, write_durably
from gan_core.run.pictures import has_foreign_lines, png_bytes, read_metrics

with epy.lazy_imports():  # programs print lines before TensorFlow is imported
    import tensorflow as tf

    from gan_core import internals

Scalars = Mapping[str, float]


class Writer:
    """The interface of a run's output; methods that are not overridden do nothing."""

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Writes the settings that the run was started with."""

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Writes numbers by name; at most once per step."""

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes a picture, uint8 [H, W, C]; at most once per step and name."""

    def flush(self) -> None:
        """Writes output that failed to be written before.

        Raises:
          OSError: If it fails again.
        """

    def close(self) -> None:
        """Flushes once more, and closes open files."""
        self.flush()


class MultiWriter(Writer):
    """Forwards everything to several writers, in turn.

    If one fails, the others still write; then the first `OSError` is raised.
    """

    def __init__(self, writers: Sequence[Writer]):
        self._writers = tuple(writers)

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Forwards."""
        self._pass_on(lambda writer: writer.write_settings(settings))

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Forwards."""
        self._pass_on(lambda writer: writer.write_scalars(step, scalars))

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Forwards."""
        self._pass_on(lambda writer: writer.write_picture(step, name, picture))

    def flush(self) -> None:
        """Forwards."""
        self._pass_on(lambda writer: writer.flush())

    def close(self) -> None:
        """Closes each."""
        self._pass_on(lambda writer: writer.close())

    def _pass_on(self, call: Callable[[Writer], None]) -> None:
        errors = []
        for writer in self._writers:
            try:
                call(writer)
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]


class JsonLinesWriter(Writer):
    """Appends scalars to a file, one JSON object per line, `step` first, synced to the disk.

    Args:
      path: The file.
      last_line: Lines of later steps, which the resumed run will write again, are dropped, and
        so is a truncated line.

    Raises:
      OSError: If the file cannot be written.
    """

    def __init__(self, path: Path, last_line: int):
        self._path = path
        self._pending: list[str] = []
        if has_foreign_lines(path):
            aside = path.with_name(f"damaged_{path.name}")
            write_durably(aside, path.read_bytes())
            warnings.warn(
                f"{path} holds lines that are not metrics: it is kept as {aside}, and continued "
                "without them",
                RuntimeWarning,
                stacklevel=2,
            )
        kept = [line for line in read_metrics(path) if line["step"] <= last_line]
        write_durably(path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Appends a line; one that fails is kept, and written with the next.

        Raises:
          OSError: If the file cannot be written.
        """
        self._pending.append(json.dumps({"step": step, **scalars}) + "\n")
        self.flush()

    def flush(self) -> None:
        """Writes the lines that failed before."""
        if self._pending:
            append_durably(self._path, "".join(self._pending).encode())
            self._pending.clear()


class PictureFilesWriter(Writer):
    """Writes pictures as `<folder>/<name>/step_<step>.png`, atomically."""

    def __init__(self, folder: Path, description: str = ""):
        self._folder = folder
        self._description = description
        self._pending: dict[Path, bytes] = {}

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes one PNG file; one that fails is kept, and written with the next."""
        path = self._folder / name / f"step_{step:07d}.png"
        self._pending[path] = png_bytes(picture, self._description)
        self.flush()

    def flush(self) -> None:
        """Writes the pictures that failed before."""
        for path, picture in list(self._pending.items()):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, picture)
            del self._pending[path]


class TensorBoardWriter(Writer):
    """Writes event files for TensorBoard.

    TensorFlow's own writer says nothing when a disk is full, and leaves a record cut off, at which
    readers stop. This one appends whole records; where it cannot, it raises, keeps them, and
    appends them with the next.

    Args:
      folder: Folder of the event files.
      last_line: Step of the last scalars to keep; later ones, which the resumed run will write
        again, are removed from existing files.
      last_picture: The same for pictures.

    Raises:
      OSError: If a file cannot be written.
    """

    def __init__(self, folder: Path, last_line: int, last_picture: int):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("events.out.tfevents.*"):
            _drop_events_after(last_line, last_picture, path)
        self._pending: list[bytes] = []
        now = time.time()
        self._path = folder / f"events.out.tfevents.{now:.6f}.{platform.node()}.{os.getpid()}"
        write_durably(self._path, internals.event_file_bytes([internals.version_event(now)]))

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Writes a table of the settings under `settings`."""
        rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
        table = f"| setting | value |\n| --- | --- |\n{rows}"
        self._append(0, internals.text_values("settings", table))

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Writes each scalar under its name."""
        self._append(step, internals.scalar_values(scalars))

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes the picture under its name."""
        height, width, _ = picture.shape
        self._append(step, internals.image_values(name, png_bytes(picture), height, width))

    def _append(self, step: int, values: list[Any]) -> None:
        self._pending.append(internals.event(time.time(), step, values))
        self.flush()

    def flush(self) -> None:
        """Writes the events that failed before."""
        if self._pending:
            append_durably(self._path, internals.event_file_bytes(self._pending))
            self._pending.clear()


def _drop_events_after(last_line: int, last_picture: int, path: Path) -> None:
    """Rewrites an event file without later events and without a truncated last one.

    A file of that name without events belongs to another program, and stays as it is.
    """
    kept: list[bytes] = []
    dropped = False
    if not path.is_file() or path.is_symlink():
        return
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            step, plugins = internals.parse_event(record)
            if step <= (last_picture if "images" in plugins else last_line):
                kept.append(record)
            else:
                dropped = True
    except (tf.errors.DataLossError, DecodeError):
        dropped = bool(kept)
    if dropped:
        write_durably(path, internals.event_file_bytes(kept))
