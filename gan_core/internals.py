"""The private parts of Keras, TensorFlow and NumPy that this package relies on, in one place."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

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


def memory_map_of(array: np.memmap) -> mmap.mmap:
    """The mapping behind a NumPy memory map, which can be told how it will be read."""
    mapping: mmap.mmap = array._mmap  # type: ignore[attr-defined]
    return mapping
