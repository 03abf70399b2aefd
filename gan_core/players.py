"""Stateless network calls within one update: both networks, and the outputs of a shared pass."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from gan_core import internals
from gan_core.draw import Draw
from gan_core.errors import ArgumentError
from gan_core.networks import Network, call_network, call_stateless
from gan_core.types import computed_once

Augment = Callable[[tf.Tensor, Draw, str], tf.Tensor]
"""(images [b, H, W, C], draw, stream name) -> images of the same shape, differentiably."""


class Player:
    """A Keras model in one update on one replica: weights and state are values, not variables.

    Layers such as batch normalization and dropout change their state at each call. Here the state
    is handed from call to call, and no variable changes until `write_state`.

    Args:
      network: Built Keras model.
      seeds: int32 or int64 [2] each, the initial states of layers with random seeds.

    Attributes:
      variables: The trainable variables.
      weights: Their values, for a gradient tape to watch.
      passes: The weights once more for each forward pass. Gradients are taken per pass and added
        in the order of passes: a tape alone adds three or more gradients in the order in which
        memory becomes free (TensorFlow's AddN), which varies from run to run.
    """

    def __init__(self, network: keras.Model, seeds: Iterator[tf.Tensor]):
        self.variables = network.trainable_variables
        self.weights = [tf.convert_to_tensor(v.value) for v in self.variables]
        self.passes: list[list[tf.Tensor]] = []
        self._network = network
        self._state = [
            tf.cast(next(seeds), variable.dtype)
            if variable.name == internals.SEED_STATE
            else tf.convert_to_tensor(variable.value)
            for variable in network.non_trainable_variables
        ]

    def __call__(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """The output of one forward pass in training mode.

        Args:
          inputs: The network's first input.
          **conditions: Its further inputs, by name.

        Raises:
          ArgumentError: If the network takes other conditions.
        """
        self.passes.append([tf.identity(weight) for weight in self.weights])
        outputs, self._state = call_stateless(
            self._network, self.passes[-1], self._state, inputs, conditions, training=True
        )
        return outputs

    @contextlib.contextmanager
    def without_state_updates(self) -> Iterator[None]:
        """Within it, forward passes leave the state as it was."""
        before = self._state
        yield
        self._state = before

    def write_state(self) -> None:
        """Assigns the state to the network's variables: floats as the mean over the replicas.

        Each replica's batch normalization moves its averages towards the statistics of its own part
        of the batch. The mean, which is linear, moves towards the mean of those statistics.
        """
        context = tf.distribute.get_replica_context()
        pairs = zip(self._network.non_trainable_variables, self._state, strict=True)
        kept = [(v, value) for v, value in pairs if v.name != internals.SEED_STATE]
        floats = [value for _, value in kept if value.dtype.is_floating]
        if floats and context.num_replicas_in_sync > 1:
            floats = context.all_reduce(tf.distribute.ReduceOp.MEAN, floats)
        means = iter(floats)
        for variable, value in kept:
            variable.assign(next(means) if value.dtype.is_floating else value)


class ModulePlayer:
    """A `tf.Module` in one update on one replica, called as it is.

    Unlike a Keras model, a module cannot be called without its variables. Its assignments
    therefore always persist, in `without_state_updates` too; on several replicas the `aggregation`
    of each variable decides how they are combined. Random numbers from the module's own generators
    are neither saved nor restored: pass it numbers of `Draw` as a condition instead.

    Args:
      network: Module whose variables exist.

    Attributes:
      variables: The trainable variables.
      weights: The same, for a gradient tape to watch.
      passes: The same, once: forward passes of a module cannot be told apart.
    """

    def __init__(self, network: tf.Module):
        self.variables = list(network.trainable_variables)
        self.weights = self.variables
        self.passes = [self.weights]
        self._network = network

    def __call__(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """The output of one forward pass in training mode, with the errors of `Player`."""
        return call_network(self._network, inputs, conditions, training=True)

    def without_state_updates(self) -> contextlib.AbstractContextManager[None]:
        """Has no effect: assignments persist."""
        return contextlib.nullcontext()

    def write_state(self) -> None:
        """Has no effect: the module has assigned its state already."""


def layer_seeds(seed: tf.Tensor) -> Iterator[tf.Tensor]:
    """Seeds of this replica for layers such as dropout, integer [2] each, from an update's seed.

    Keras layers count their draws in variables that no checkpoint holds. Reset in each update, the
    draws are functions of the run's counters, as latents are. Layers count in the second number of
    a seed, where `fold_in` puts its operand: folding 0 in last lets each layer count from 0.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    replica_seed = tf.random.fold_in(seed, replica)
    numbered = (tf.random.fold_in(replica_seed, number) for number in itertools.count())
    return (tf.random.fold_in(seed, 0) for seed in numbered)


class Players:
    """Stateless calls of both networks within one update.

    Args:
      generator: The generator.
      discriminator: The discriminator.
      draw: The inputs of the update.
      augment: Applied to all images that the discriminator sees, real or fake; None for none.
      patches: Whether the discriminator returns logits of patches, [b, h, w, 1].

    Attributes:
      generator: The generator in this update.
      discriminator: The discriminator in this update.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Network,
        draw: Draw,
        augment: Augment | None = None,
        patches: bool = False,
    ):
        seeds = layer_seeds(draw.update_seed)
        self.generator, self.discriminator = (
            Player(network, seeds) if isinstance(network, keras.Model) else ModulePlayer(network)
            for network in (generator, discriminator)
        )
        self._draw = draw
        self._augment = augment
        self._patches = patches
        self._num_augmented = 0

    def generate(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """Images [b, H, W, C] in the generator's range from latents [b, Z] or other inputs."""
        return self.generator(inputs, **conditions)

    def discriminate(self, images: tf.Tensor, **conditions: Any) -> tf.Tensor:
        """Logits, floats [b], of images [b, H, W, C]; [b, patches] in a game of patches.

        Raises:
          ArgumentError: If the discriminator does not return one logit per example, or per patch.
        """
        if self._augment:
            images = self._augment(images, self._draw, f"augment/{self._num_augmented}")
            self._num_augmented += 1
        logits = tf.cast(self.discriminator(images, **conditions), keras.config.floatx())
        rank = logits.shape.rank
        if self._patches and rank == 4 and logits.shape[3] == 1:
            return tf.reshape(logits, [-1, logits.shape[1] * logits.shape[2]])
        if not self._patches and (rank == 1 or (rank == 2 and logits.shape[1] == 1)):
            return tf.reshape(logits, [-1])
        wanted = "patch, [B, h, w, 1]" if self._patches else "example, [B] or [B, 1]"
        raise ArgumentError(
            "discriminator",
            f"outputs {logits.shape}",
            f"must return one logit per {wanted}",
            "leave out Game(patches=True)"
            if self._patches
            else "end in a Dense(1), or use Game(patches=True): the loss of each patch, averaged "
            "over an example's patches",
        )

    @contextlib.contextmanager
    def without_state_updates(self) -> Iterator[None]:
        """Within it, forward passes move no averages of batch normalization."""
        with self.generator.without_state_updates(), self.discriminator.without_state_updates():
            yield


class Outputs:
    """The outputs of one pass through both networks, each computed when first used.

    Real and fake images pass through the discriminator separately: one concatenated batch would
    mix their statistics in batch normalization.

    Args:
      players: Calls of the networks.
      draw: The inputs of the update.
      **conditions: Further inputs of both networks by name, for example labels.
    """

    def __init__(self, players: Players, draw: Draw, **conditions: tf.Tensor):
        self._players = players
        self._draw = draw
        self._conditions = conditions

    @computed_once
    def fake_images(self) -> tf.Tensor:
        """Generated images, floats [b, H, W, C] in the generator's range."""
        return self._players.generate(self._draw.latents, **self._conditions)

    @computed_once
    def fake_logits(self) -> tf.Tensor:
        """Logits of the fake images, floats [b]; [b, patches] in a game of patches."""
        return self.discriminate(self.fake_images)

    @property
    def real_images(self) -> tf.Tensor:
        """The batch's images, floats [b, H, W, C] in the generator's range."""
        return self._draw.real_images

    @computed_once
    def real_logits(self) -> tf.Tensor:
        """Logits of the real images, floats [b]; [b, patches] in a game of patches."""
        return self.discriminate(self.real_images)

    def discriminate(self, images: tf.Tensor) -> tf.Tensor:
        """Logits, floats [b], of other images under the same conditions."""
        return self._players.discriminate(images, **self._conditions)
