"""Memory of a game: numbers that it keeps from update to update."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import keras
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.losses import Logits
from gan_core.strategies import variable_on_replicas
from gan_core.types import DISCRIMINATOR, Metrics, Terms

Numbers = Mapping[str, tf.Tensor]
"""Scalars by name, floats."""


@dataclasses.dataclass(frozen=True)
class GameState:
    """A few numbers that a part of a game keeps, such as a running mean or an adaptive probability.

    `Gan` holds each in a variable, equal on all replicas and saved with the run. In an update they
    are `draw.state[name]`, and the log has them as `game/<name>`. Each update of the discriminator
    replaces them by the result of `update`.

    Attributes:
      initial: Their values before the first update, by name.
      update: (numbers, means, images of the update) -> new numbers, by name; pure. The means, over
        the global batch, are the discriminator's metrics of the update, by name: its terms
        (`real`), the game's observations (`real_probability`) and those below.
      observe: outputs -> further values to average, by name, each [B].
    """

    initial: Mapping[str, float]
    update: Callable[[Numbers, Numbers, int], Numbers]
    observe: Callable[[Logits], Terms] = lambda outputs: {}


def make_variables(states: Iterable[GameState]) -> dict[str, tf.Variable]:
    """Variables of the numbers, by name, at their initial values.

    Raises:
      ArgumentError: If two states have a name in common.
    """
    variables: dict[str, tf.Variable] = {}
    for state in states:
        for name, value in state.initial.items():
            if name in variables:
                raise ArgumentError("state", name, "must have unique names", "rename one")
            variables[name] = variable_on_replicas(value, name, keras.config.floatx())
    return variables


def read(states: Iterable[GameState], variables: Mapping[str, tf.Variable]) -> dict[str, tf.Tensor]:
    """The present numbers.

    Raises:
      ArgumentError: If the variables are not those of the states, because the game was replaced.
    """
    names = [name for state in states for name in state.initial]
    if set(names) != set(variables):
        raise ArgumentError(
            "game",
            ", ".join(names) or "no state",
            f"must have the state it had when the gan was built ({', '.join(variables) or 'none'})",
            "pass the game to Gan",
        )
    return {name: tf.convert_to_tensor(variable) for name, variable in variables.items()}


def observed(states: Iterable[GameState], outputs: Logits, observations: Terms) -> Terms:
    """The values that the states observe, together with the game's own observations.

    Raises:
      ArgumentError: If a name is used twice.
    """
    together = dict(observations)
    for state in states:
        for name, values in state.observe(outputs).items():
            if name in together:
                raise ArgumentError("observe", name, "is already observed", "choose another name")
            together[name] = values
    return together


def write_updated(
    states: Iterable[GameState],
    variables: Mapping[str, tf.Variable],
    before: Numbers,
    metrics: Metrics,
    num_images: int,
) -> None:
    """Updates the variables after a discriminator update, outside of the replicas."""
    prefix = f"{DISCRIMINATOR}/"
    means = {
        name.removeprefix(prefix): mean for name, mean in metrics.items() if name.startswith(prefix)
    }
    for state in states:
        own = {name: before[name] for name in state.initial}
        for name, value in state.update(own, means, num_images).items():
            variables[name].assign(value)
