"""The adversarial update: one discriminator update, one generator update, under a strategy."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from gan_core import contracts, game_state, images
from gan_core.averaging import WeightAverage
from gan_core.draw import DRAWS_BETWEEN_ROLLBACKS, Draw, seed_for_xla, stream_seed
from gan_core.errors import ArgumentError
from gan_core.game import Game
from gan_core.latents import LatentDistribution
from gan_core.networks import Network, run_network
from gan_core.optimizers import accumulated_updates, changing_learning_rates
from gan_core.strategies import OnReplicas, per_replica_batch_size, variable_on_replicas
from gan_core.types import DISCRIMINATOR, GENERATOR, Metrics
from gan_core.update import ReplicaUpdate


class Gan(tf.Module):
    """A generator, a discriminator, their optimizers, and the updates that train them.

    It executes a `Game`: replicas, seeds, tapes, the one reduction, optimizers, counters. Build it,
    and the networks and optimizers, under `strategy.scope()`. The `update_*` methods are called
    outside of a replica, within a `tf.function` or not; they run on every replica.

    Attributes:
      strategy: What it was built under.
      generator_average: Averages of the generator's weights, or None.
      step: int64, steps of the schedule done so far.
      images_seen: int64, real images that the discriminator was updated on so far; it locates
        the run in its data.
      generator_updates: int64, updates of the generator done so far.
      game_state: Scalar variables by name, what the game keeps from update to update.
      rollbacks: int64, how often the run went back to a checkpoint; another number gives other
        latents and dropout from here on, and the same order of images.
    """

    def __init__(
        self,
        *,
        generator: Network,
        discriminator: Network,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        latents: LatentDistribution | None = None,
        global_batch_size: int,
        game: Game | None = None,
        average_half_life_images: float | None = None,
        value_range: images.ValueRange = (-1.0, 1.0),
        seed: int = 0,
        jit_compile: bool = False,
    ):
        """Checks the parts against each other and creates the optimizers' variables.

        Args:
          generator: From latents, or whatever the game gives it, to images: a built Keras model, or
            a `tf.Module` with `__call__(inputs, **conditions)`, both with `training` if they like.
          discriminator: From images to logits, without a final sigmoid; of the same kinds.
          generator_optimizer: Keras optimizer, not used elsewhere.
          discriminator_optimizer: Keras optimizer, not used elsewhere.
          latents: What the generator is fed; None where the game feeds it something else.
          global_batch_size: Examples an update, over all replicas together.
          game: What is played; `Game()`, the non-saturating one, when None.
          average_half_life_images: Half-life of an average of the generator's weights, which
            `sample` then uses; no average when None.
          value_range: The range of the generator's outputs, to which uint8 images are scaled.
          seed: Seed of all latents, from 0 to 2**32 - 1.
          jit_compile: Whether XLA compiles each update into one program, on one replica only: for
            GPUs; on CPUs its convolutions are many times slower. Latents of the same seed differ,
            and the range of float images is not checked.

        Raises:
          ArgumentError: If a network is of no such kind, is not built, has no trainable variables,
            shares one with the other or was built outside of the strategy's scope; if the
            generator's images do not fit `value_range` or the discriminator; if an optimizer is
            none of Keras's, was used before or is that of both; if the batch does not divide among
            the replicas, if several replicas shall be compiled, or if `seed` is out of its range.
        """
        super().__init__(name="gan")
        if not 0 <= seed < 2**32:
            raise ArgumentError("seed", seed, "must be from 0 to 2**32 - 1", "use 0, say")
        contracts.check_networks(generator, discriminator, latents, value_range)
        self.strategy = tf.distribute.get_strategy()
        contracts.check_optimizers(generator_optimizer, discriminator_optimizer, self.strategy)
        per_replica_batch_size(global_batch_size, self.strategy)  # raises where there is none
        self._updates = {
            "+".join(updated): OnReplicas(
                functools.partial(self._replica_update, updated), self.strategy, jit_compile
            )
            for updated in ((DISCRIMINATOR,), (GENERATOR,), (DISCRIMINATOR, GENERATOR))
        }
        self._is_compiled = jit_compile
        self.global_batch_size = global_batch_size
        self.game = game or Game()
        self.latents = latents
        self.value_range = value_range
        self.seed = seed
        self.generator = generator
        self.discriminator = discriminator
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        generator_optimizer.build(generator.trainable_variables)
        discriminator_optimizer.build(discriminator.trainable_variables)
        self.generator_average = None
        if average_half_life_images is not None:
            self.generator_average = WeightAverage(generator, average_half_life_images)
        self.game_state = game_state.make_variables(self.game.states)
        self.step = variable_on_replicas(0, "step", tf.int64)
        self.images_seen = variable_on_replicas(0, "images_seen", tf.int64)
        self.generator_updates = variable_on_replicas(0, "generator_updates", tf.int64)
        self.rollbacks = variable_on_replicas(0, "rollbacks", tf.int64)

    def update_discriminator(self, batch: Any) -> Metrics:
        """Updates the discriminator on a batch and on fresh fakes; no generator variable changes.

        Args:
          batch: The global batch, as a distributed iterator gives it: any nest of tensors that the
            game knows, with `global_batch_size` examples each.

        Returns:
          Means over the global batch, by name.

        Raises:
          ArgumentError: If there are several replicas and the batch is not shared out among them,
            or if it does not fit the game.
        """
        seed = self._draw_seed("discriminator_latents", self._count_images(batch))
        return self._update((DISCRIMINATOR,), batch, seed)

    def update_generator(self, batch: Any = None) -> Metrics:
        """Updates the generator on fresh latents; no discriminator variable changes.

        Args:
          batch: A global batch, for games that look at real examples here too (relativistic
            losses, labels); the newest that the discriminator was updated on, say.

        Result and errors are those of `update_discriminator`.
        """
        contracts.check_distributed(batch, self.strategy)
        seed = self._draw_seed("generator_latents", self.generator_updates)
        with self._counting_generator_update():
            state = game_state.read(self.game.states, self.game_state)
            return self._on_replicas((GENERATOR,), batch, seed, [], state)

    def update_both(self, batch: Any) -> Metrics:
        """Updates both networks from one shared pass, both gradients at the old weights.

        Argument, result and errors are those of `update_discriminator`.
        """
        seed = self._draw_seed("shared_latents", self._count_images(batch))
        with self._counting_generator_update():
            return self._update((DISCRIMINATOR, GENERATOR), batch, seed)

    def end_step(self) -> None:
        """Counts a step: a loop of one's own calls it after the updates of each; `train` does."""
        self.step.assign_add(1)

    @tf.function(reduce_retracing=True, autograph=False)
    def sample(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """Images in inference mode, by the average where there is one: floats [B, H, W, C].

        Args:
          inputs: Latents [B, Z], or whatever else the generator takes.
          **conditions: What it takes besides, by name: labels, say.
        """
        average = self.generator_average
        with average.in_place_of_weights() if average else contextlib.nullcontext():
            images = run_network(self.generator, inputs, conditions, training=False)
            return tf.cast(images, keras.config.floatx())

    def _replica_update(self, updated: tuple[str, ...], *arguments: Any) -> Metrics:
        networks = {GENERATOR: self.generator, DISCRIMINATOR: self.discriminator}
        make_draw = functools.partial(
            Draw,
            latents=self.latents,
            global_batch_size=self.global_batch_size,
            replica_batch_size=per_replica_batch_size(self.global_batch_size, self.strategy),
            value_range=self.value_range,
            # What looks at floats says what it found in words, which XLA cannot compile.
            images_seen=None if self._is_compiled else self.images_seen,
        )
        update = ReplicaUpdate(self.game, networks, self._optimizers, make_draw)
        return update.run(updated, *arguments)

    @property
    def _optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        return {GENERATOR: self.generator_optimizer, DISCRIMINATOR: self.discriminator_optimizer}

    def _draw_seed(self, stream: str, count: tf.Tensor) -> tf.Tensor:
        """The seed of an update's draws; another one after each rollback."""
        draw = count + self.rollbacks * DRAWS_BETWEEN_ROLLBACKS
        seed = stream_seed(self.seed, stream, draw)
        return seed_for_xla(seed) if self._is_compiled else seed

    def _count_images(self, batch: Any) -> tf.Tensor:
        """Counts a batch once it is here; returns how many images were seen before it.

        What depends on the count, the latents and so the whole update, starts after the batch
        has come: waiting for data is then idle time, and can be measured as such.
        """
        contracts.check_distributed(batch, self.strategy)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            seen_before = self.images_seen.read_value()
        self.images_seen.assign_add(self.global_batch_size)
        return seen_before

    @contextlib.contextmanager
    def _counting_generator_update(self) -> Iterator[None]:
        """Counts the update within it, and moves the average if it has moved the weights.

        An update that only accumulates gradients does not; the one that applies them moves the
        average as far as one on all of their images would.
        """
        applied_before = tf.convert_to_tensor(self.generator_optimizer.iterations)
        yield
        self.generator_updates.assign_add(1)
        if self.generator_average:
            applied = accumulated_updates(self.generator_optimizer, applied_before)
            num_images = self.global_batch_size * applied
            images_generated = self.generator_updates * self.global_batch_size
            self.generator_average.update(num_images, images_generated)

    def _update(self, updated: tuple[str, ...], batch: Any, seed: tf.Tensor) -> Metrics:
        """Runs a discriminator update with those regularizers that are due in it.

        The choice is made outside of the replicas: within one, synchronized batch normalization
        could not talk to the others.
        """
        regularizers, states = self.game.regularizers, self.game.states
        updates_before = self.images_seen // self.global_batch_size - 1
        state = game_state.read(states, self.game_state)

        def run_with(due: set[int], undecided: list[int]) -> Metrics:
            """`due` and `undecided`: intervals of regularizers, the shorter first."""
            if not undecided:
                weights = [
                    r.weight_when_due if r.every_steps in due else None for r in regularizers
                ]
                return self._on_replicas(updated, batch, seed, weights, state)
            interval, *longer = undecided
            # Where one is not due, none of a multiple of its interval is.
            others = [other for other in longer if other % interval]
            metrics: Metrics = tf.cond(
                updates_before % interval == 0,
                lambda: run_with(due | {interval}, longer),
                lambda: run_with(due, others),
            )
            return metrics

        intervals = sorted({regularizer.every_steps for regularizer in regularizers} - {1})
        metrics = run_with({1}, intervals)
        game_state.write_updated(states, self.game_state, state, metrics, self.global_batch_size)
        return metrics | {f"game/{name}": number for name, number in state.items()}

    def _on_replicas(self, updated: tuple[str, ...], *arguments: Any) -> Metrics:
        rates = changing_learning_rates({name: self._optimizers[name] for name in updated})
        metrics = self._updates["+".join(updated)](*arguments)
        return contracts.joined("observations", rates, metrics)
