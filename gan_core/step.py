"""The adversarial update: one discriminator update, one generator update, under a strategy."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from gan_core import contracts, images
from gan_core.averaging import WeightAverage
from gan_core.draw import Draw
from gan_core.errors import ArgumentError
from gan_core.game import Game
from gan_core.latents import LatentDistribution
from gan_core.network_update import apply_gradients
from gan_core.players import Outputs, Player, Players
from gan_core.random_streams import stream_seed
from gan_core.strategies import per_replica_batch_size
from gan_core.types import DISCRIMINATOR, GENERATOR, Metrics, Terms, gradient_check

_DRAWS_BETWEEN_ROLLBACKS = 2**48
"""More than a run can count, so that draws after a rollback are none of those before it."""


class GanStep(tf.Module):
    """A generator, a discriminator, their optimizers, and the updates that train them.

    It executes a `Game`: replicas, seeds, tapes, the one reduction, optimizers, counters. Build it,
    and the networks and optimizers, under `strategy.scope()`. The `update_*` methods are called
    outside of a replica, within a `tf.function` or not; they run on every replica.

    Attributes (these names are the schema of a checkpoint):
      generator: [B, Z] -> [B, H, W, C].
      discriminator: [B, H, W, C] -> logits, [B] or [B, 1].
      generator_optimizer: Optimizer of the generator's trainable variables alone.
      discriminator_optimizer: Optimizer of the discriminator's trainable variables alone.
      generator_average: Averages of the generator's weights, or None.
      step: int64, steps of the schedule done so far.
      images_seen: int64, real images that the discriminator was updated on so far; it locates
        the run in its data.
      generator_updates: int64, updates of the generator done so far.
      rollbacks: int64, how often the run went back to a checkpoint; another number gives other
        latents and dropout from here on, and the same order of images.
    """

    def __init__(
        self,
        *,
        generator: keras.Model,
        discriminator: keras.Model,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        latents: LatentDistribution,
        global_batch_size: int,
        game: Game | None = None,
        average_half_life_images: float | None = None,
        value_range: images.ValueRange = (-1.0, 1.0),
        seed: int = 0,
        jit_compile: bool = False,
    ):
        """Checks the parts against each other and creates the optimizers' variables.

        Args:
          generator: Built model from latents to images.
          discriminator: Built model from images to logits, without a final sigmoid.
          generator_optimizer: Keras optimizer, not used elsewhere.
          discriminator_optimizer: Keras optimizer, not used elsewhere.
          latents: What the generator is fed.
          global_batch_size: Examples an update, over all replicas together.
          game: What is played; `Game()`, the non-saturating one, when None.
          average_half_life_images: Half-life of an average of the generator's weights, which
            `sample` then uses; no average when None.
          value_range: The range of the generator's outputs, to which uint8 images are scaled.
          seed: Seed of all latents.
          jit_compile: Whether XLA compiles each update into one program, on one replica only.
            It is meant for GPUs; on CPUs its convolutions are many times slower. XLA makes other
            numbers of the same seeds: latents differ from those of a run without it.

        Raises:
          ArgumentError: If a network is no Keras model, has no trainable variables, shares one
            with the other or was built outside of the strategy's scope; if the generator's images
            do not fit `value_range` or the discriminator; if an optimizer is none of Keras's, was
            used before or is that of both; if the batch does not divide among the replicas, or if
            several replicas shall be compiled.
        """
        super().__init__(name="gan")
        contracts.check_networks(generator, discriminator, latents.size, value_range)
        contracts.check_optimizers(generator_optimizer, discriminator_optimizer)
        self._strategy = tf.distribute.get_strategy()
        self._replica_batch_size = per_replica_batch_size(global_batch_size, self._strategy)
        if jit_compile and self._strategy.num_replicas_in_sync > 1:
            raise ArgumentError(
                "jit_compile",
                jit_compile,
                "needs a single replica: replicas talk to each other within an update",
                "train on one device, or leave it out",
            )
        self._jit_compile = jit_compile
        self._updates: dict[str, Callable[..., Metrics]] = {}
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
        self.step = _counter("step")
        self.images_seen = _counter("images_seen")
        self.generator_updates = _counter("generator_updates")
        self.rollbacks = _counter("rollbacks")

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """The strategy under which it was built."""
        return self._strategy

    def update_discriminator(self, batch: Any) -> Metrics:
        """Updates the discriminator on a batch and on fresh fakes; no generator variable changes.

        Args:
          batch: The global batch, as a distributed iterator gives it.

        Returns:
          Means over the global batch, by name.
        """
        seed = self._draw_seed("discriminator_latents", self._count_images(batch))
        return self._update((DISCRIMINATOR,), batch, seed)

    def update_generator(self, batch: Any = None) -> Metrics:
        """Updates the generator on fresh latents; no discriminator variable changes.

        Args:
          batch: A global batch, for games that look at real examples here too (relativistic
            losses, labels); the newest that the discriminator was updated on, say.

        Returns:
          Means over the global batch, by name.
        """
        seed = self._draw_seed("generator_latents", self.generator_updates)
        metrics = self._on_replicas((GENERATOR,), batch, seed, [])
        self._count_generator_update()
        return metrics

    def update_both(self, batch: Any) -> Metrics:
        """Updates both networks from one shared pass, both gradients at the old weights.

        Args:
          batch: The global batch, as a distributed iterator gives it.

        Returns:
          Means over the global batch, by name.
        """
        seed = self._draw_seed("shared_latents", self._count_images(batch))
        metrics = self._update((DISCRIMINATOR, GENERATOR), batch, seed)
        self._count_generator_update()
        return metrics

    @tf.function(reduce_retracing=True, autograph=False)
    def sample(self, latents: tf.Tensor, *conditions: tf.Tensor) -> tf.Tensor:
        """Generates images in inference mode: floats [B, H, W, C] in `value_range`.

        Where there is an average of the weights, it is used.

        Args:
          latents: [B, Z].
          *conditions: What the generator's further inputs take, in their order: labels, say.
        """
        inputs = [latents, *conditions] if conditions else latents
        average = self.generator_average
        with average.in_place_of_weights() if average else contextlib.nullcontext():
            return tf.cast(self.generator(inputs, training=False), keras.config.floatx())

    def _replica_update(
        self,
        updated: tuple[str, ...],
        batch: Any,
        seed: tf.Tensor,
        penalty_weights: list[tf.Tensor],
    ) -> Metrics:
        """One update of one or both networks from one pass, on one replica."""
        draw, players = self._draw(batch, seed), self._players(seed)
        doors = Players(players[GENERATOR], players[DISCRIMINATOR], draw, self.game.augment)
        tapes = {name: tf.GradientTape(watch_accessed_variables=False) for name in players}
        with tapes[GENERATOR], tapes[DISCRIMINATOR]:
            for name in updated:
                tapes[name].watch(players[name].weights)
            outputs = self.game.forward(doors, draw)
            terms = {name: self._terms_of(name, outputs) for name in updated}
            if DISCRIMINATOR in updated:
                # After all terms: of what a penalty computed first, the generator's tape would
                # know nothing. It needs no second derivatives of the generator.
                with tapes[GENERATOR].stop_recording(), doors.on_the_side():
                    penalties = self._penalties(outputs, draw, penalty_weights)
                terms[DISCRIMINATOR] = contracts.joined(terms[DISCRIMINATOR], penalties)
            means = {name: self._means(terms[name], name) for name in updated}
            losses = {name: tf.add_n(list(means[name].values())) for name in updated}
        metrics: Metrics = {}
        observed: Metrics = {}
        if DISCRIMINATOR in updated:
            with doors.on_the_side():
                observed = self._means(self.game.observations(outputs), DISCRIMINATOR)
        for name in updated:
            optimizer = getattr(self, f"{name}_optimizer")
            check = apply_gradients(tapes[name], losses[name], players[name], optimizer)
            players[name].write_state()
            metrics |= {f"{name}/loss": losses[name], **means[name], gradient_check(name): check}
        return metrics | observed

    def _draw(self, batch: Any, seed: tf.Tensor) -> Draw:
        return Draw(
            batch,
            seed,
            latents=self.latents,
            global_batch_size=self.global_batch_size,
            replica_batch_size=self._replica_batch_size,
            value_range=self.value_range,
        )

    def _players(self, seed: tf.Tensor) -> dict[str, Player]:
        """Both networks in this update, with this replica's seeds for layers like dropout.

        Keras's layers count their draws in variables that a checkpoint does not hold. Set anew
        for each update they are functions of the run's counters, as the latents are.
        """
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replica_seed = tf.random.fold_in(seed, replica)
        seeds = (tf.random.fold_in(replica_seed, number) for number in itertools.count())
        networks = {GENERATOR: self.generator, DISCRIMINATOR: self.discriminator}
        return {name: Player(network, seeds) for name, network in networks.items()}

    def _terms_of(self, name: str, outputs: Outputs) -> Terms:
        method = f"{name}_terms"
        return contracts.checked_terms(
            method, getattr(self.game, method)(outputs), self._replica_batch_size
        )

    def _penalties(self, outputs: Outputs, draw: Draw, weights: list[tf.Tensor]) -> Terms:
        """The regularizers' terms; zeros in an update in which none is due, without weights."""
        regularizers = self.game.regularizers
        if not weights:
            nothing = tf.zeros([self._replica_batch_size], keras.config.floatx())
            return dict.fromkeys((r.name for r in regularizers), nothing)
        terms = {
            regularizer.name: weight * regularizer.penalty(outputs, draw)
            for regularizer, weight in zip(regularizers, weights, strict=True)
        }
        return contracts.checked_terms("regularizers", terms, self._replica_batch_size)

    def _means(self, terms: Terms, network: str) -> Metrics:
        floats = {name: tf.cast(term, keras.config.floatx()) for name, term in terms.items()}
        return {
            f"{network}/{name}": tf.reduce_sum(values) / self.global_batch_size
            for name, values in floats.items()
        }

    def _draw_seed(self, stream: str, count: tf.Tensor) -> tf.Tensor:
        """The seed of an update's draws; another one after each rollback."""
        return stream_seed(self.seed, stream, count + self.rollbacks * _DRAWS_BETWEEN_ROLLBACKS)

    def _count_images(self, batch: Any) -> tf.Tensor:
        """Counts a batch once it is here; returns how many images were seen before it.

        What depends on the count, the latents and so the whole update, starts after the batch
        has come: waiting for data is then idle time, and can be measured as such.
        """
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            seen_before = self.images_seen.read_value()
        self.images_seen.assign_add(self.global_batch_size)
        return seen_before

    def _count_generator_update(self) -> None:
        self.generator_updates.assign_add(1)
        if self.generator_average:
            images_generated = self.generator_updates * self.global_batch_size
            self.generator_average.update(self.global_batch_size, images_generated)

    def _update(self, updated: tuple[str, ...], batch: Any, seed: tf.Tensor) -> Metrics:
        """Runs a discriminator update with the regularizers that are due in it.

        The choice is made outside of the replicas: within one, synchronized batch normalization
        could not talk to the others.
        """
        regularizers = self.game.regularizers
        updates_before = self.images_seen // self.global_batch_size - 1
        due = [updates_before % regularizer.every_steps == 0 for regularizer in regularizers]
        weights = [
            tf.cast(is_due, keras.config.floatx()) * (regularizer.weight * regularizer.every_steps)
            for is_due, regularizer in zip(due, regularizers, strict=True)
        ]

        def run_with(weights: list[tf.Tensor]) -> Metrics:
            return self._on_replicas(updated, batch, seed, weights)

        if all(regularizer.every_steps == 1 for regularizer in regularizers):
            return run_with(weights)
        return tf.cond(tf.reduce_any(due), lambda: run_with(weights), lambda: run_with([]))

    def _on_replicas(self, updated: tuple[str, ...], *arguments: Any) -> Metrics:
        """Runs an update on every replica; its metrics are summed in one message."""
        names: list[str] = []

        def replica_run(*arguments: Any) -> tf.Tensor:
            metrics = self._compiled_update(updated)(*arguments)
            names[:] = metrics
            return tf.stack(list(metrics.values()))

        per_replica = self._strategy.run(replica_run, args=arguments)
        sums = self._strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return dict(zip(names, tf.unstack(sums, num=len(names)), strict=True))

    def _compiled_update(self, updated: tuple[str, ...]) -> Callable[..., Metrics]:
        """`_replica_update` of some networks; by XLA if that was asked for."""
        names = "+".join(updated)
        if names not in self._updates:
            update = functools.partial(self._replica_update, updated)
            if self._jit_compile:
                update = tf.function(update, jit_compile=True, autograph=False)
            self._updates[names] = update
        return self._updates[names]


def _counter(name: str) -> tf.Variable:
    return tf.Variable(
        0,
        dtype=tf.int64,
        trainable=False,
        name=name,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
