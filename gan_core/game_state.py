"""Numbers that a game keeps from one update to the next."""

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
    """A few numbers that a part of a game keeps: a running mean, a probability that adapts.

    `Gan` holds each in a variable, which is the same on all replicas and saved with the run.
    In an update they are `draw.state[name]`, and they are logged as `game/<name>`; each update of
    the discriminator leaves what `update` makes of them.

    Attributes:
      initial: Their values before the first update, by name.
      update: (numbers, means, images of the update) -> new numbers, by name; pure. The means, over
        the global batch, are the discriminator's metrics of the update, by name: its terms
        (`real`), the game's observations (`real_probability`) and those below.
      observe: outputs -> what is looked at besides, by name, each [B].
    """

    initial: Mapping[str, float]
    update: Callable[[Numbers, Numbers, int], Numbers]
    observe: Callable[[Logits], Terms] = lambda outputs: {}


def make_variables(states: Iterable[GameState]) -> dict[str, tf.Variable]:
    """A variable for each number, at its initial value.

    Raises:
      ArgumentError: If two states have a name in common.
    """
    variables: dict[str, tf.Variable] = {}
    for state in states:
        for name, value in state.initial.items():
            if name in variables:
                raise ArgumentError("state", name, "must have names of its own", "rename one")
            variables[name] = variable_on_replicas(value, name, keras.config.floatx())
    return variables


def read(states: Iterable[GameState], variables: Mapping[str, tf.Variable]) -> dict[str, tf.Tensor]:
    """The numbers as they are now.

    Raises:
      ArgumentError: If the variables are not those of the states: the game is another.
    """
    names = [name for state in states for name in state.initial]
    if set(names) != set(variables):
        raise ArgumentError(
            "game",
            ", ".join(names) or "no state",
            f"must keep what it kept when the step was built ({', '.join(variables) or 'nothing'})",
            "give it to Gan",
        )
    return {name: tf.convert_to_tensor(variable) for name, variable in variables.items()}


def observed(states: Iterable[GameState], outputs: Logits, observations: Terms) -> Terms:
    """What the states look at, together with the game's own observations.

    Raises:
      ArgumentError: If a name means two things.
    """
    together = dict(observations)
    for state in states:
        for name, values in state.observe(outputs).items():
            if name in together:
                raise ArgumentError("observe", name, "is observed already", "choose another name")
            together[name] = values
    return together


def write_updated(
    states: Iterable[GameState],
    variables: Mapping[str, tf.Variable],
    before: Numbers,
    metrics: Metrics,
    num_images: int,
) -> None:
    """Updates the variables after an update of the discriminator, outside of the replicas."""
    prefix = f"{DISCRIMINATOR}/"
    means = {
        name.removeprefix(prefix): mean for name, mean in metrics.items() if name.startswith(prefix)
    }
    for state in states:
        own = {name: before[name] for name in state.initial}
        for name, value in state.update(own, means, num_images).items():
            variables[name].assign(value)
