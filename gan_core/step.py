"""The adversarial update: one discriminator update, one generator update, under a strategy."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from gan_core import contracts, game_state, images
from gan_core.averaging import WeightAverage
from gan_core.draw import Draw
from gan_core.errors import ArgumentError
from gan_core.game import Game
from gan_core.latents import LatentDistribution
from gan_core.network_update import apply_gradients
from gan_core.networks import Network, run_network
from gan_core.optimizers import (
    accumulation_steps,
    changing_learning_rate,
    check_over_replicas,
)
from gan_core.players import ModulePlayer, Outputs, Player, Players, make_player
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
      generator: [B, Z], or what else the game gives it -> [B, H, W, C].
      discriminator: [B, H, W, C] -> logits, [B] or [B, 1].
      generator_optimizer: Optimizer of the generator's trainable variables alone.
      discriminator_optimizer: Optimizer of the discriminator's trainable variables alone.
      generator_average: Averages of the generator's weights, or None.
      step: int64, steps of the schedule done so far.
      images_seen: int64, real images that the discriminator was updated on so far; it locates
        the run in its data.
      generator_updates: int64, updates of the generator done so far.
      game_state: float32 variables by name, what the game keeps from update to update.
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
          seed: Seed of all latents.
          jit_compile: Whether XLA compiles each update into one program, on one replica only.
            It is meant for GPUs; on CPUs its convolutions are many times slower. XLA makes other
            numbers of the same seeds: latents differ from those of a run without it.

        Raises:
          ArgumentError: If a network is of no such kind, is not built, has no trainable variables,
            shares one with the other or was built outside of the strategy's scope; if the
            generator's images do not fit `value_range` or the discriminator; if an optimizer is
            none of Keras's, was used before or is that of both; if the batch does not divide among
            the replicas, or if several replicas shall be compiled.
        """
        super().__init__(name="gan")
        latent_size = latents.size if latents else None
        contracts.check_networks(generator, discriminator, latent_size, value_range)
        contracts.check_optimizers(generator_optimizer, discriminator_optimizer)
        self._strategy = tf.distribute.get_strategy()
        num_replicas = self._strategy.num_replicas_in_sync
        check_over_replicas("generator_optimizer", generator_optimizer, num_replicas)
        check_over_replicas("discriminator_optimizer", discriminator_optimizer, num_replicas)
        self._replica_batch_size = per_replica_batch_size(global_batch_size, self._strategy)
        if jit_compile and num_replicas > 1:
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
        self.game_state = game_state.make_variables(self.game.states)
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

        Returns:
          Means over the global batch, by name.
        """
        contracts.check_distributed(batch, self._strategy)
        seed = self._draw_seed("generator_latents", self.generator_updates)
        with self._counting_generator_update():
            state = game_state.read(self.game.states, self.game_state)
            return self._on_replicas((GENERATOR,), batch, seed, [], state)

    def update_both(self, batch: Any) -> Metrics:
        """Updates both networks from one shared pass, both gradients at the old weights.

        Args:
          batch: The global batch, as a distributed iterator gives it.

        Returns:
          Means over the global batch, by name.
        """
        seed = self._draw_seed("shared_latents", self._count_images(batch))
        with self._counting_generator_update():
            return self._update((DISCRIMINATOR, GENERATOR), batch, seed)

    def end_step(self) -> None:
        """Counts a step: a loop of one's own calls it after the updates of each; `train` does."""
        self.step.assign_add(1)

    @tf.function(reduce_retracing=True, autograph=False)
    def sample(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """Generates images in inference mode: float32 [B, H, W, C] in `value_range`.

        Where there is an average of the weights, it is used.

        Args:
          inputs: Latents [B, Z], or whatever else the generator takes.
          **conditions: What it takes besides, by name: labels, say.
        """
        average = self.generator_average
        with average.in_place_of_weights() if average else contextlib.nullcontext():
            images = run_network(self.generator, inputs, conditions, training=False)
            return tf.cast(images, tf.float32)

    def _replica_update(
        self,
        updated: tuple[str, ...],
        batch: Any,
        seed: tf.Tensor,
        penalty_weights: list[tf.Tensor],
        state: dict[str, tf.Tensor],
    ) -> Metrics:
        """One update of one or both networks from one pass, on one replica."""
        draw, players = self._draw(batch, seed, state), self._players(seed)
        game = self.game
        doors = Players(
            players[GENERATOR], players[DISCRIMINATOR], draw, game.augment, game.patches
        )
        tapes = {name: tf.GradientTape(watch_accessed_variables=False) for name in players}
        with tapes[GENERATOR], tapes[DISCRIMINATOR]:
            for name in updated:
                tapes[name].watch(players[name].weights)
            outputs = game.forward(doors, draw)
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
                observations = game_state.observed(game.states, outputs, game.observations(outputs))
                observations = self._per_example(observations)
                observed = self._means(observations, DISCRIMINATOR)
        for name in updated:
            optimizer = getattr(self, f"{name}_optimizer")
            metrics |= self._learning_rate(name, optimizer)
            check = apply_gradients(tapes[name], losses[name], players[name], optimizer)
            players[name].write_state()
            metrics |= {f"{name}/loss": losses[name], **means[name], gradient_check(name): check}
        return metrics | observed

    def _draw(self, batch: Any, seed: tf.Tensor, state: dict[str, tf.Tensor]) -> Draw:
        return Draw(
            batch,
            seed,
            latents=self.latents,
            global_batch_size=self.global_batch_size,
            replica_batch_size=self._replica_batch_size,
            value_range=self.value_range,
            images_seen=self.images_seen,
            state=state,
        )

    def _players(self, seed: tf.Tensor) -> dict[str, Player | ModulePlayer]:
        """Both networks in this update, with this replica's seeds for layers like dropout.

        Keras's layers count their draws in variables that a checkpoint does not hold. Set anew
        for each update they are functions of the run's counters, as the latents are.
        """
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replica_seed = tf.random.fold_in(seed, replica)
        seeds = (tf.random.fold_in(replica_seed, number) for number in itertools.count())
        networks = {GENERATOR: self.generator, DISCRIMINATOR: self.discriminator}
        return {name: make_player(network, seeds) for name, network in networks.items()}

    def _terms_of(self, name: str, outputs: Outputs) -> Terms:
        method = f"{name}_terms"
        terms = self._per_example(getattr(self.game, method)(outputs))
        return contracts.checked_terms(method, terms, self._replica_batch_size)

    def _penalties(self, outputs: Outputs, draw: Draw, weights: list[tf.Tensor]) -> Terms:
        """The regularizers' terms; zeros in an update in which none is due, without weights."""
        regularizers = self.game.regularizers
        if not weights:
            return {r.name: tf.zeros([self._replica_batch_size]) for r in regularizers}
        terms = {
            regularizer.name: weight * regularizer.penalty(outputs, draw)
            for regularizer, weight in zip(regularizers, weights, strict=True)
        }
        terms = self._per_example(terms)
        return contracts.checked_terms("regularizers", terms, self._replica_batch_size)

    def _per_example(self, terms: Terms) -> Terms:
        return contracts.per_example(terms) if self.game.patches else terms

    def _means(self, terms: Terms, network: str) -> Metrics:
        return {
            f"{network}/{name}": tf.reduce_sum(tf.cast(term, tf.float32)) / self.global_batch_size
            for name, term in terms.items()
        }

    def _learning_rate(self, name: str, optimizer: keras.optimizers.Optimizer) -> Metrics:
        """This replica's share of the rate of the update to come; nothing if it is constant."""
        rate = changing_learning_rate(optimizer)
        if rate is None:
            return {}
        return {f"{name}/learning_rate": rate / self._strategy.num_replicas_in_sync}

    def _draw_seed(self, stream: str, count: tf.Tensor) -> tf.Tensor:
        """The seed of an update's draws; another one after each rollback."""
        return stream_seed(self.seed, stream, count + self.rollbacks * _DRAWS_BETWEEN_ROLLBACKS)

    def _count_images(self, batch: Any) -> tf.Tensor:
        """Counts a batch once it is here; returns how many images were seen before it.

        What depends on the count, the latents and so the whole update, starts after the batch
        has come: waiting for data is then idle time, and can be measured as such.
        """
        contracts.check_distributed(batch, self._strategy)
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
            num_images = self.global_batch_size
            steps = accumulation_steps(self.generator_optimizer)
            if steps > 1:
                applied = self.generator_optimizer.iterations - applied_before
                num_images = tf.cast(applied * steps * num_images, tf.float32)
            images_generated = self.generator_updates * self.global_batch_size
            self.generator_average.update(num_images, images_generated)

    def _update(self, updated: tuple[str, ...], batch: Any, seed: tf.Tensor) -> Metrics:
        """Runs a discriminator update with the regularizers that are due in it.

        The choice is made outside of the replicas: within one, synchronized batch normalization
        could not talk to the others.
        """
        regularizers = self.game.regularizers
        updates_before = self.images_seen // self.global_batch_size - 1
        due = [updates_before % regularizer.every_steps == 0 for regularizer in regularizers]
        weights = [
            tf.where(is_due, regularizer.weight * regularizer.every_steps, 0.0)
            for is_due, regularizer in zip(due, regularizers, strict=True)
        ]

        states = self.game.states
        state = game_state.read(states, self.game_state)

        def run_with(weights: list[tf.Tensor]) -> Metrics:
            return self._on_replicas(updated, batch, seed, weights, state)

        if all(regularizer.every_steps == 1 for regularizer in regularizers):
            metrics = run_with(weights)
        else:
            metrics = tf.cond(tf.reduce_any(due), lambda: run_with(weights), lambda: run_with([]))
        game_state.write_updated(states, self.game_state, state, metrics, self.global_batch_size)
        return metrics | {f"game/{name}": number for name, number in state.items()}

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
