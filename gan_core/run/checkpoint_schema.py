"""The names of variables in a checkpoint.

They are the project's own, and no private attributes of Keras: another version of Keras reads what
this one wrote. `<n>` counts from 0.

| name | what it is |
| --- | --- |
| `generator/<n>`, `discriminator/<n>` | the n-th of the network's `variables` |
| `generator_optimizer/<n>`, `discriminator_optimizer/<n>` | the n-th of the optimizer's |
| `generator_average/<n>` | the average of the n-th float of the generator's, where there is one |
| `game_state/<name>` | what the game keeps from update to update, where it keeps something |
| `step`, `images_seen`, `generator_updates`, `rollbacks` | the counters of `GanStep` |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from gan_core.networks import tf_variable
from gan_core.step import GanStep

_COUNTERS = ("step", "images_seen", "generator_updates", "rollbacks")
_NETWORKS = ("generator", "discriminator")
_OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")


def checkpoint_of(gan: GanStep) -> tf.train.Checkpoint:
    """All variables of a run, under the names above."""
    parts = {name: _variables(getattr(gan, name)) for name in (*_NETWORKS, *_OPTIMIZERS)}
    counters = {name: getattr(gan, name) for name in _COUNTERS}
    state = {"game_state": gan.game_state} if gan.game_state else {}
    return tf.train.Checkpoint(**parts, **_average(gan), **counters, **state)


def networks_of(gan: GanStep) -> tf.train.Checkpoint:
    """Those that sampling needs: networks, the average and the step."""
    parts = {name: _variables(getattr(gan, name)) for name in _NETWORKS}
    return tf.train.Checkpoint(**parts, **_average(gan), step=gan.step)


def is_of_keras_names(variables: Path) -> bool:
    """Whether a file has the names of before, which were those of Keras's attributes."""
    reader = tf.train.load_checkpoint(str(variables))
    return bool(reader.has_tensor("gan/step/.ATTRIBUTES/VARIABLE_VALUE"))


def checkpoint_of_keras_names(gan: GanStep, *, for_training: bool) -> tf.train.Checkpoint:
    """The variables under the names of before, to go on with a run that was started with them."""
    names = [*_NETWORKS, "step"]
    if for_training:
        names += [*_OPTIMIZERS, *_COUNTERS]
    parts = {name: getattr(gan, name) for name in names}
    if gan.generator_average is not None:
        parts["generator_average"] = gan.generator_average
    return tf.train.Checkpoint(gan=tf.train.Checkpoint(**parts))


def _average(gan: GanStep) -> dict[str, Any]:
    return {"generator_average": gan.generator_average.values} if gan.generator_average else {}


def _variables(owner: Any) -> list[tf.Variable]:
    return [tf_variable(variable) for variable in owner.variables]
