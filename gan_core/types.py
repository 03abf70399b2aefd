"""Shared types: `Batch`, `Terms`, `Metrics`; a cached property without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar, overload

import tensorflow as tf


class Batch(NamedTuple):
    """One batch of real examples.

    Attributes:
      images: [B, H, W, C], uint8 in [0, 255], or floats in the model's range.
      labels: [B], int64 class numbers; -1 if the class is unknown.
    """

    images: tf.Tensor
    labels: tf.Tensor


Terms = dict[str, tf.Tensor]
"""Per-example values by name, each floats [B]; the sum of a network's terms is its loss."""

Metrics = dict[str, tf.Tensor]
"""Scalars by name, floats: means over one or several global batches."""

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


def gradient_check(network: str) -> str:
    """Name of the metric that is 0 if all gradients of a network are finite, NaN otherwise."""
    return f"{network}/gradient"


Value = TypeVar("Value")


class computed_once(Generic[Value]):  # noqa: N801 (a decorator, like `property`)
    """A cached property: `functools.cached_property` without a lock.

    Before Python 3.12 `cached_property` holds a lock of the whole class while it computes. Replicas
    are traced by threads that wait for each other within a pass, and would deadlock.
    """

    def __init__(self, function: Callable[[Any], Value]):
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> computed_once[Value]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> computed_once[Value] | Value:
        if instance is None:
            return self
        value = self._function(instance)
        instance.__dict__[self._name] = value
        return value
