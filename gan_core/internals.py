"""The private parts of Keras, TensorFlow, TensorBoard and NumPy that this package relies on."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from etils import epy

# TensorBoard has no public way to write event files; only runs in a folder need it.
with epy.lazy_imports():
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.image import metadata as image_metadata
    from tensorboard.plugins.scalar import summary_v2 as scalar_summary
    from tensorboard.plugins.text import summary_v2 as text_summary
    from tensorboard.summary.writer import record_writer
    from tensorboard.util import tensor_util

SEED_STATE = "seed_generator_state"
"""The name that Keras gives the variable of a `keras.random.SeedGenerator`."""


def all_layers(layer: keras.Layer, *, include_self: bool = True) -> Iterator[keras.Layer]:
    """All layers inside a layer or model, at any depth; `Model.layers` lists the top level only."""
    yield from layer._flatten_layers(include_self=include_self)


def keras_layers_of_module(module: tf.Module) -> list[keras.Layer]:
    """The Keras layers among the attributes of a `tf.Module`, whose weights the module misses."""
    return list(module._flatten(predicate=lambda part: isinstance(part, keras.Layer)))


def number_of_workers(strategy: tf.distribute.Strategy) -> int:
    """Processes of a `MultiWorkerMirroredStrategy`; 1 for other strategies."""
    return int(getattr(strategy.extended, "_num_workers", 1))


def set_memory_map_of(array: np.memmap, mapping: mmap.mmap) -> None:
    """Sets the mapping behind a memory map, by which NumPy knows that its slices are maps too."""
    vars(array)["_mmap"] = mapping


def scalar_values(scalars: Mapping[str, float]) -> list[Any]:
    """TensorBoard summary values of numbers by name."""
    summaries = (scalar_summary.scalar_pb(name, value) for name, value in scalars.items())
    return [value for summary in summaries for value in summary.value]


def text_values(name: str, text: str) -> list[Any]:
    """TensorBoard summary values of a Markdown text."""
    return list(text_summary.text_pb(name, text).value)


def image_values(name: str, png: bytes, height: int, width: int) -> list[Any]:
    """TensorBoard summary values of a PNG picture."""
    parts = [str(width).encode(), str(height).encode(), png]
    metadata = image_metadata.create_summary_metadata(None, None, converted_to_tensor=True)
    tensor = tensor_util.make_tensor_proto(parts)
    return [summary_pb2.Summary.Value(tag=name, metadata=metadata, tensor=tensor)]


def version_event(wall_time: float) -> bytes:
    """The first event of a TensorBoard event file, serialized."""
    event = event_pb2.Event(wall_time=wall_time, file_version="brain.Event:2")
    return bytes(event.SerializeToString())


def event(wall_time: float, step: int, values: Iterable[Any]) -> bytes:
    """A TensorBoard event of summary values, serialized."""
    summary = summary_pb2.Summary(value=values)
    event = event_pb2.Event(wall_time=wall_time, step=step, summary=summary)
    return bytes(event.SerializeToString())


def parse_event(record: bytes) -> tuple[int, set[str]]:
    """The step of a serialized event, and the names of its values' plugins.

    Raises:
      google.protobuf.message.DecodeError: If it is not an event.
    """
    event = event_pb2.Event.FromString(record)
    plugins = {value.metadata.plugin_data.plugin_name for value in event.summary.value}
    return event.step, plugins


def event_file_bytes(records: Iterable[bytes]) -> bytes:
    """Serialized events in the format of an event file, with their lengths and checksums."""
    buffer = io.BytesIO()
    writer = record_writer.RecordWriter(buffer)
    for record in records:
        writer.write(record)
    return buffer.getvalue()
