"""Types that modules share: `Batch`, `Terms`, `Metrics`; a cached property without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar, overload

import tensorflow as tf


class Batch(NamedTuple):
    """One batch of real examples.

    Attributes:
      images: [B, H, W, C], uint8 in [0, 255], or floats that are already in the model's range.
      labels: [B], int64 class numbers; -1 where the class is unknown.
    """

    images: tf.Tensor
    labels: tf.Tensor


Terms = dict[str, tf.Tensor]
"""Per-example values by name, each floats [B]; the sum of a network's terms is its loss."""

Metrics = dict[str, tf.Tensor]
"""Scalars by name, floats: means over a global batch, or over several of them."""

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


def gradient_check(network: str) -> str:
    """The metric that is 0 if all gradients of a network are finite, and NaN otherwise."""
    return f"{network}/gradient"


Value = TypeVar("Value")


class computed_once(Generic[Value]):  # noqa: N801 (a decorator, like `property`)
    """A property whose value is kept: `functools.cached_property` without a lock.

    Until Python 3.12 that one holds a lock of the whole class while it computes. Replicas are
    traced by threads that wait for each other within a pass, and would do so for ever.
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
