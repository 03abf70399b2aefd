"""The private parts of Keras, TensorFlow, TensorBoard and NumPy that this package relies on."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from etils import epy

from gan_core.errors import ArgumentError

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


def set_memory_map_of(array: np.memmap, mapping: mmap.mmap) -> None:
    """Sets the mapping behind a memory map, by which NumPy knows that its slices are maps too."""
    vars(array)["_mmap"] = mapping


def adam_moments(
    optimizer: keras.optimizers.Adam, variable: tf.Variable
) -> tuple[tf.Variable, tf.Variable]:
    """The variables of Adam's first and second moment of a variable."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index].value, optimizer._velocities[index].value


class SummedGradients(keras.optimizers.Optimizer):
    """A Keras optimizer that clips and accumulates gradients after summing them over the replicas.

    Keras clips each replica's part of a gradient, which makes the result depend on their number,
    and decides within the replicas whether an accumulated update is due, where they cannot
    communicate. Arguments and variables are those of Keras.
    """

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates the optimizer's variables.

        Raises:
          ArgumentError: If `use_ema` is combined with gradient accumulation.
        """
        if self.use_ema and self.gradient_accumulation_steps:
            raise ArgumentError(
                "use_ema",
                True,
                "cannot be combined with `gradient_accumulation_steps`",
                "use Gan(average_half_life_images=10_000)",
            )
        super().build(variables)

    def _clip_gradients(self, gradients: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """The gradients unchanged: `_all_reduce_sum_gradients` clips their sum."""
        return gradients

    def _all_reduce_sum_gradients(
        self, gradients_and_variables: Sequence[tuple[Any, Any]]
    ) -> list[tuple[Any, Any]]:
        pairs = super()._all_reduce_sum_gradients(gradients_and_variables)
        gradients = super()._clip_gradients([gradient for gradient, _ in pairs])
        return [(g, variable) for g, (_, variable) in zip(gradients, pairs, strict=True)]

    def _backend_apply_gradients(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]
    ) -> None:
        if not self.gradient_accumulation_steps:
            super()._backend_apply_gradients(gradients, variables)
            return
        sums = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, [tf.convert_to_tensor(g) for g in gradients]
        )
        own = [v.value if isinstance(v, keras.Variable) else v for v in variables]
        accumulators = [self._accumulated_gradients[self._get_variable_index(v)].value for v in own]
        totals = [a + total for a, total in zip(accumulators, sums, strict=True)]
        means = [total / self.gradient_accumulation_steps for total in totals]
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._apply_or_accumulate,
            self._distribution_strategy,
            own,
            accumulators,
            totals,
            super()._clip_gradients(means),
        )

    def _apply_or_accumulate(
        self,
        distribution: tf.distribute.Strategy,
        variables: Sequence[tf.Variable],
        accumulators: Sequence[tf.Variable],
        totals: Sequence[tf.Tensor],
        means: Sequence[tf.Tensor],
    ) -> None:
        """Applies the means and resets the totals if an update is due; or keeps the totals."""
        rate = tf.convert_to_tensor(self.learning_rate)

        def apply_means() -> None:
            for variable, accumulator, mean in zip(variables, accumulators, means, strict=True):
                distribution.extended.update(
                    variable, self._decay_and_update, args=(mean, rate), group=False
                )
                distribution.extended.update(
                    accumulator, lambda own: own.assign(tf.zeros_like(own)), group=False
                )

        def keep_totals() -> None:
            for accumulator, total in zip(accumulators, totals, strict=True):
                distribution.extended.update(
                    accumulator, lambda own, total: own.assign(total), args=(total,), group=False
                )

        number = tf.convert_to_tensor(self._iterations) + 1
        tf.cond(number % self.gradient_accumulation_steps == 0, apply_means, keep_totals)

    def _decay_and_update(
        self, variable: tf.Variable, gradient: tf.Tensor, rate: tf.Tensor
    ) -> None:
        if self.weight_decay is not None and self._use_weight_decay(variable):
            variable.assign_sub(variable * tf.cast(self.weight_decay * rate, variable.dtype))
        self.update_step(gradient, variable, rate)


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
