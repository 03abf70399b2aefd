"""The two networks during one update: the only doors to them, and what comes through."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from gan_core.draw import Draw
from gan_core.errors import ArgumentError
from gan_core.networks import Network, run_network
from gan_core.types import computed_once

Augment = Callable[[tf.Tensor, Draw, str], tf.Tensor]
"""(images [b, H, W, C], draw, name of the draws) -> images of the same shape, differentiable."""

_SEED_STATE = "seed_generator_state"
"""What Keras calls the variable of a `SeedGenerator`."""


class Player:
    """A Keras model in one update on one replica: weights and state come in as values.

    Layers like batch normalization and dropout change their state from call to call; here the
    state goes from one call to the next without touching a variable, until it is written back.

    Args:
      network: Built Keras model.
      seeds: int32 or int64 [N, 2], what the state of layers with seeds starts from.

    Attributes:
      weights: The trainable variables' values, for a gradient tape to watch.
      passes: The same tensors once more for each pass: whoever sums gradients adds those of the
        passes in their order. A tape alone adds more than two in the order in which memory happens
        to be free (TensorFlow's AddN), which is another one from run to run.
    """

    def __init__(self, network: keras.Model, seeds: Iterator[tf.Tensor]):
        self.network = network
        self.weights = [tf.convert_to_tensor(v.value) for v in network.trainable_variables]
        self.passes: list[list[tf.Tensor]] = []
        self._state = [
            tf.cast(next(seeds), variable.dtype)
            if variable.name == _SEED_STATE
            else tf.convert_to_tensor(variable.value)
            for variable in network.non_trainable_variables
        ]

    def __call__(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """One pass in training mode.

        Args:
          inputs: What the network takes first.
          **conditions: What it takes besides, by name.

        Raises:
          ArgumentError: If the network takes other conditions.
        """
        network = self.network
        self.passes.append([tf.identity(weight) for weight in self.weights])
        values = [
            *zip(network.trainable_variables, self.passes[-1], strict=True),
            *zip(network.non_trainable_variables, self._state, strict=True),
        ]
        with keras.StatelessScope(state_mapping=values) as scope:
            outputs = run_network(network, inputs, conditions, training=True)
        self._state = [scope.get_current_value(v) for v in network.non_trainable_variables]
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


class ModulePlayer:
    """A `tf.Module` in one update on one replica, called as it is.

    Unlike a Keras model it cannot be called without its variables. So what it assigns as it is
    called stays assigned, on the side too; on several replicas its variables say themselves how
    what the replicas assign comes together (`aggregation`). What it draws from generators of its
    own is neither saved nor the same after a restore: give it numbers of `Draw` as a condition.

    Args:
      network: Module whose variables exist.

    Attributes:
      weights: The trainable variables, for a gradient tape to watch.
      passes: The same, once: its passes cannot be told apart.
    """

    def __init__(self, network: tf.Module):
        self.network = network
        self.weights = list(network.trainable_variables)
        self.passes = [self.weights]

    def __call__(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """One pass in training mode, with the arguments and errors of `Player`."""
        return run_network(self.network, inputs, conditions, training=True)

    @contextlib.contextmanager
    def on_the_side(self) -> Iterator[None]:
        """Changes nothing: what is assigned within it stays."""
        yield

    def write_state(self) -> None:
        """Changes nothing: the state is written as the module is called."""


def make_player(network: Network, seeds: Iterator[tf.Tensor]) -> Player | ModulePlayer:
    """The network in one update; arguments as in `Player`."""
    if isinstance(network, keras.Model):
        return Player(network, seeds)
    return ModulePlayer(network)


class Players:
    """The doors to both networks in one update.

    Args:
      generator: The generator in this update.
      discriminator: The discriminator in this update.
      draw: What the update was given.
      augment: What is done to all images that the discriminator sees, real or fake.
      patches: Whether the discriminator gives logits of patches, [b, h, w, 1].
    """

    def __init__(
        self,
        generator: Player | ModulePlayer,
        discriminator: Player | ModulePlayer,
        draw: Draw,
        augment: Augment | None = None,
        patches: bool = False,
    ):
        self._generator = generator
        self._discriminator = discriminator
        self._draw = draw
        self._augment = augment
        self._patches = patches
        self._num_augmented = 0

    def generate(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """Latents [b, Z], or whatever else the generator takes -> [b, H, W, C] in its range."""
        return self._generator(inputs, **conditions)

    def discriminate(self, images: tf.Tensor, **conditions: Any) -> tf.Tensor:
        """[b, H, W, C] -> logits, floats [b]; [b, patches] in a game of patches.

        Raises:
          ArgumentError: If the discriminator gives anything but one logit an example, or a patch.
        """
        if self._augment:
            images = self._augment(images, self._draw, f"augment/{self._num_augmented}")
            self._num_augmented += 1
        logits = tf.cast(self._discriminator(images, **conditions), keras.config.floatx())
        rank = logits.shape.rank
        if self._patches and rank == 4 and logits.shape[3] == 1:
            return tf.reshape(logits, [-1, logits.shape[1] * logits.shape[2]])
        if not self._patches and (rank == 1 or (rank == 2 and logits.shape[1] == 1)):
            return tf.reshape(logits, [-1])
        wanted = "a patch, [B, h, w, 1]" if self._patches else "an example, [B] or [B, 1]"
        raise ArgumentError(
            "discriminator",
            f"outputs {logits.shape}",
            f"must give one logit {wanted}",
            "leave out Game(patches=True)"
            if self._patches
            else "end in a Dense(1), or play "
            "Game(patches=True): the loss of each patch, and the mean over an example's patches",
        )

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
        """Floats [b]; [b, patches] in a game of patches, as all logits are."""
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
