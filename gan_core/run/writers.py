"""What a run says, in files: metrics as JSON lines, TensorBoard events, pictures."""

from __future__ import annotations

import io
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import summary_v2 as scalar_summary
from tensorboard.plugins.text import summary_v2 as text_summary
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from gan_core.files import append_durably, write_durably
from gan_core.run.pictures import has_foreign_lines, png_bytes, read_metrics

Scalars = Mapping[str, float]


class Writer:
    """The verbs of a run's output; each does nothing until a kind of writer overrides it."""

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Says what the run was started with."""

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Says numbers by name; once a step at most."""

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Shows a picture, uint8 [H, W, C]; once a step and name at most."""

    def flush(self) -> None:
        """Writes what could not be written before.

        Raises:
          OSError: If it still cannot be.
        """

    def close(self) -> None:
        """Tries once more to write what could not be written, and lets go of open files."""
        self.flush()


class MultiWriter(Writer):
    """Passes everything on to several writers, in turn.

    Where one cannot write, the others still do; then the first one's `OSError` is raised.
    """

    def __init__(self, writers: Sequence[Writer]):
        self._writers = tuple(writers)

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Passes on."""
        self._pass_on(lambda writer: writer.write_settings(settings))

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Passes on."""
        self._pass_on(lambda writer: writer.write_scalars(step, scalars))

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Passes on."""
        self._pass_on(lambda writer: writer.write_picture(step, name, picture))

    def flush(self) -> None:
        """Passes on."""
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
    """Appends scalars to a file, one JSON object a line, `step` first, synced to the disk.

    Args:
      path: The file.
      last_line: Lines of later steps, which a run that goes on from here will write again, are
        dropped, and with them a line that was cut off.

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
                f"{path} holds lines that are no metrics: it is kept as {aside}, and goes on "
                "without them",
                RuntimeWarning,
                stacklevel=2,
            )
        kept = [line for line in read_metrics(path) if line["step"] <= last_line]
        write_durably(path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Appends a line; one that could not be written is kept, and comes with the next.

        Raises:
          OSError: If the file cannot be written.
        """
        self._pending.append(json.dumps({"step": step, **scalars}) + "\n")
        self.flush()

    def flush(self) -> None:
        """Writes the lines that could not be written before."""
        if self._pending:
            append_durably(self._path, "".join(self._pending).encode())
            self._pending.clear()


class PictureFilesWriter(Writer):
    """Writes pictures as `<folder>/<name>/step_<step>.png`, whole or not at all."""

    def __init__(self, folder: Path, description: str = ""):
        self._folder = folder
        self._description = description
        self._pending: dict[Path, bytes] = {}

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes one PNG file; one that could not be written is kept, and comes with the next."""
        path = self._folder / name / f"step_{step:07d}.png"
        self._pending[path] = png_bytes(picture, self._description)
        self.flush()

    def flush(self) -> None:
        """Writes the pictures that could not be written before."""
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
      folder: Where they are.
      last_line: Step of the last scalars to keep; later ones, which a run that goes on from here
        will write again, are taken out of the files that are there.
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
        version = event_pb2.Event(wall_time=now, file_version="brain.Event:2")
        write_durably(self._path, _records([version.SerializeToString()]))

    def write_settings(self, settings: Mapping[str, object]) -> None:
        """Writes a table of the settings under `settings`."""
        rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
        table = f"| setting | value |\n| --- | --- |\n{rows}"
        self._append(0, list(text_summary.text_pb("settings", table).value))

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Writes each scalar under its name."""
        summaries = [scalar_summary.scalar_pb(name, value) for name, value in scalars.items()]
        self._append(step, [value for summary in summaries for value in summary.value])

    def write_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes the picture under its name."""
        height, width, _ = picture.shape
        parts = [str(width).encode(), str(height).encode(), png_bytes(picture)]
        value = summary_pb2.Summary.Value(
            tag=name,
            metadata=image_metadata.create_summary_metadata(None, None, converted_to_tensor=True),
            tensor=tensor_util.make_tensor_proto(parts),
        )
        self._append(step, [value])

    def _append(self, step: int, values: list[summary_pb2.Summary.Value]) -> None:
        event = event_pb2.Event(
            wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=values)
        )
        self._pending.append(event.SerializeToString())
        self.flush()

    def flush(self) -> None:
        """Writes the events that could not be written before."""
        if self._pending:
            append_durably(self._path, _records(self._pending))
            self._pending.clear()


def _drop_events_after(last_line: int, last_picture: int, path: Path) -> None:
    """Rewrites an event file without later events and without a last one that was cut off.

    What has such a name and holds no event is none of ours, and left as it is.
    """
    kept: list[bytes] = []
    dropped = False
    if not path.is_file() or path.is_symlink():
        return
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            plugins = {value.metadata.plugin_data.plugin_name for value in event.summary.value}
            if event.step <= (last_picture if "images" in plugins else last_line):
                kept.append(record)
            else:
                dropped = True
    except (tf.errors.DataLossError, DecodeError):
        dropped = bool(kept)
    if dropped:
        write_durably(path, _records(kept))


def _records(records: list[bytes]) -> bytes:
    """Records as they stand in an event file, with their lengths and checksums."""
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for record in records:
        writer.write(record)
    return buffer.getvalue()
