"""The two networks during one update: the only doors to them, and what comes through."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from gan_core.computed_once import computed_once
from gan_core.draw import Draw
from gan_core.errors import ArgumentError

Augment = Callable[[tf.Tensor, Draw, str], tf.Tensor]
"""(images [b, H, W, C], draw, name of the draws) -> images of the same shape, differentiable."""

_SEED_STATE = "seed_generator_state"
"""What Keras calls the variable of a `SeedGenerator`."""


class Player:
    """One network in one update on one replica: weights and state come in as values.

    Layers like batch normalization and dropout change their state from call to call; here the
    state goes from one call to the next without touching a variable, until it is written back.

    Args:
      network: Built Keras model.
      seeds: int32 or int64 [N, 2], what the state of layers with seeds starts from.

    Attributes:
      weights: The trainable variables' values, for a gradient tape to watch.
    """

    def __init__(self, network: keras.Model, seeds: Iterator[tf.Tensor]):
        self.network = network
        self.weights = [tf.convert_to_tensor(v.value) for v in network.trainable_variables]
        self._state = [
            tf.cast(next(seeds), variable.dtype)
            if variable.name == _SEED_STATE
            else tf.convert_to_tensor(variable.value)
            for variable in network.non_trainable_variables
        ]

    def __call__(self, inputs: tf.Tensor, **conditions: tf.Tensor) -> tf.Tensor:
        """One pass in training mode.

        Args:
          inputs: What the network's first input takes.
          **conditions: What further inputs take, by their names.

        Raises:
          ArgumentError: If the network has other inputs.
        """
        outputs, self._state = self.network.stateless_call(
            self.weights, self._state, self._arranged(inputs, conditions), training=True
        )
        return outputs

    @contextlib.contextmanager
    def on_the_side(self) -> Iterator[None]:
        """Passes within it leave no trace in the state."""
        before = self._state
        yield
        self._state = before

    def write_state(self) -> None:
        """Gives the network's layers the state: floats as the mean over the replicas.

        Each replica's batch normalization moves its averages towards its own part of the batch. In
        the mean, which is linear, they move towards the mean of the parts.
        """
        context = tf.distribute.get_replica_context()
        kept = [
            (variable, value)
            for variable, value in zip(
                self.network.non_trainable_variables, self._state, strict=True
            )
            if variable.name != _SEED_STATE
        ]
        floats = [value for _, value in kept if value.dtype.is_floating]
        if floats and context.num_replicas_in_sync > 1:
            floats = context.all_reduce(tf.distribute.ReduceOp.MEAN, floats)
        means = iter(floats)
        for variable, value in kept:
            variable.assign(next(means) if value.dtype.is_floating else value)

    def _arranged(self, inputs: tf.Tensor, conditions: dict[str, tf.Tensor]) -> Any:
        """The first input alone, or all in the order of the network's."""
        names = [tensor.name for tensor in getattr(self.network, "inputs", None) or [inputs]][1:]
        if set(names) != set(conditions):
            raise ArgumentError(
                "conditions",
                ", ".join(conditions) or "none",
                f"must be the further inputs of {self.network.name} ({', '.join(names) or 'none'})",
                "name its keras.Input like the condition",
            )
        return [inputs, *(conditions[name] for name in names)] if names else inputs


class Players:
    """The doors to both networks in one update.

    Args:
      generator: The generator in this update.
      discriminator: The discriminator in this update.
      draw: What the update was given.
      augment: What is done to all images that the discriminator sees, real or fake.
    """

    def __init__(
        self, generator: Player, discriminator: Player, draw: Draw, augment: Augment | None = None
    ):
        self._generator = generator
        self._discriminator = discriminator
        self._draw = draw
        self._augment = augment
        self._num_augmented = 0

    def generate(self, latents: tf.Tensor, **conditions: tf.Tensor) -> tf.Tensor:
        """[b, Z] -> [b, H, W, C] in the model's range."""
        return self._generator(latents, **conditions)

    def discriminate(self, images: tf.Tensor, **conditions: tf.Tensor) -> tf.Tensor:
        """[b, H, W, C] -> logits, floats [b].

        Raises:
          ArgumentError: If the discriminator gives anything but one logit an example.
        """
        if self._augment:
            images = self._augment(images, self._draw, f"augment/{self._num_augmented}")
            self._num_augmented += 1
        logits = self._discriminator(images, **conditions)
        if logits.shape.rank not in (1, 2) or (logits.shape.rank == 2 and logits.shape[1] != 1):
            raise ArgumentError(
                "discriminator",
                f"outputs {logits.shape}",
                "must give one logit an example, [B] or [B, 1]",
                "end in a Dense(1), or take the mean over an example's patches",
            )
        return tf.cast(tf.reshape(logits, [-1]), keras.config.floatx())

    @contextlib.contextmanager
    def on_the_side(self) -> Iterator[None]:
        """Passes within it move no averages of batch normalization."""
        with self._generator.on_the_side(), self._discriminator.on_the_side():
            yield


class Outputs:
    """What one pass through both networks gives, each part computed when it is first asked for.

    Real and fake images go through the discriminator separately: together they would mix the
    statistics of its batch normalization.

    Args:
      players: The doors to the networks.
      draw: What the update was given.
      **conditions: What both networks are told beside latents and images, by their inputs' names:
        labels, say.
    """

    def __init__(self, players: Players, draw: Draw, **conditions: tf.Tensor):
        self._players = players
        self._draw = draw
        self._conditions = conditions

    @computed_once
    def fake_images(self) -> tf.Tensor:
        """[b, H, W, C] in the model's range."""
        return self._players.generate(self._draw.latents, **self._conditions)

    @computed_once
    def fake_logits(self) -> tf.Tensor:
        """Floats [b]."""
        return self.discriminate(self.fake_images)

    @property
    def real_images(self) -> tf.Tensor:
        """Floats [b, H, W, C] in the model's range."""
        return self._draw.real_images

    @computed_once
    def real_logits(self) -> tf.Tensor:
        """Floats [b]."""
        return self.discriminate(self.real_images)

    def discriminate(self, images: tf.Tensor) -> tf.Tensor:
        """Logits, floats [b], of other images under the same conditions."""
        return self._players.discriminate(images, **self._conditions)
