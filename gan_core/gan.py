"""A generator, a discriminator and the updates that train them, on every replica of a strategy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from gan_core import contracts, game_state, images, update
from gan_core.averaging import WeightAverage
from gan_core.draw import DRAWS_BETWEEN_ROLLBACKS, Draw, seed_for_xla, stream_seed
from gan_core.errors import ArgumentError
from gan_core.game import Game
from gan_core.latents import LatentDistribution
from gan_core.networks import Network, call_network
from gan_core.optimizers import accumulated_updates, changing_learning_rates
from gan_core.players import Players
from gan_core.strategies import OnReplicas, per_replica_batch_size, variable_on_replicas
from gan_core.types import DISCRIMINATOR, GENERATOR, Metrics


class Gan(tf.Module):
    """Two networks, their optimizers, and the updates that train them by the rules of a `Game`.

    A `Game` defines the losses; a `Gan` executes them: replicas, seeds, optimizers, counters.
    Build it, the networks and the optimizers under `strategy.scope()`. Call the `update_*` methods
    outside of a replica, inside a `tf.function` or not; they run on every replica. An *update*
    changes one network, or both from a shared pass; a *step* is one round of a schedule of updates.

    Attributes:
      strategy: The strategy it was built under.
      generator_average: The average of the generator's weights, or None.
      step: int64, steps of the schedule so far.
      images_seen: int64, real images that the discriminator was updated on so far; the position
        of the run in its data.
      generator_updates: int64, updates of the generator so far.
      game_state: Scalar variables by name that the game keeps from update to update.
      rollbacks: int64, returns to an earlier checkpoint so far; another number gives other latents
        and dropout from there on, and the same order of images.
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
        """Checks that the parts fit each other, and creates the optimizers' variables.

        Args:
          generator: Latents, or other inputs that the game gives it, -> images: a built Keras model
            or a `tf.Module` with `__call__(inputs, **conditions)`; either may take `training`.
          discriminator: Images -> logits, without a final sigmoid; of the same kinds.
          generator_optimizer: Unused Keras optimizer.
          discriminator_optimizer: Another unused Keras optimizer.
          latents: Distribution of the generator's inputs; None where the game gives it others.
          global_batch_size: Examples per update, over all replicas together.
          game: The losses; `Game()`, the non-saturating one, when None.
          average_half_life_images: Half-life, in images, of an average of the generator's weights,
            which `sample` then uses; no average when None.
          value_range: Range of the generator's outputs, to which uint8 images are scaled.
          seed: Seed of all random numbers, from 0 to 2**32 - 1.
          jit_compile: Whether XLA compiles each update into one program, on a single replica: for
            GPUs, since its convolutions are many times slower on CPUs. Latents of the same seed
            differ from those without it, and the range of float images is not checked.

        Raises:
          ArgumentError: If a network is not one of these kinds, is not built, has no trainable
            variables, shares one with the other or was built outside of the strategy's scope; if
            the generator's images fit neither `value_range` nor the discriminator; if an optimizer
            is not a Keras optimizer, was used before or is given twice; if the batch does not
            divide among the replicas, or several replicas are to be compiled; or if `seed` is out
            of its range.
        """
        super().__init__(name="gan")
        if not 0 <= seed < 2**32:
            raise ArgumentError("seed", seed, "must be from 0 to 2**32 - 1", "use 0, for example")
        contracts.check_networks(generator, discriminator, latents, value_range)
        self.strategy = tf.distribute.get_strategy()
        contracts.check_optimizers(generator_optimizer, discriminator_optimizer, self.strategy)
        self._replica_batch_size = per_replica_batch_size(global_batch_size, self.strategy)
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
        both = (discriminator_optimizer, generator_optimizer)
        self._discriminator_update = self._on_replicas(update.update_discriminator, both[:1])
        self._generator_update = self._on_replicas(update.update_generator, both[1:])
        self._both_updates = self._on_replicas(update.update_both, both)
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
          batch: The global batch, as a distributed iterator returns it: any nest of tensors that
            the game knows, with `global_batch_size` examples each.

        Returns:
          Means over the global batch, by name.

        Raises:
          ArgumentError: If there are several replicas and the batch is not distributed over them,
            or if it does not fit the game.
        """
        seed = self._update_seed("discriminator_latents", self._count_images(batch))
        rates = changing_learning_rates({DISCRIMINATOR: self.discriminator_optimizer})
        return self._with_due_penalties(self._discriminator_update, rates, batch, seed)

    def update_generator(self, batch: Any = None) -> Metrics:
        """Updates the generator on fresh latents; no discriminator variable changes.

        Args:
          batch: A global batch, for games that also use real examples here (relativistic losses,
            labels); for example the last one that the discriminator was updated on.

        Returns and raises as `update_discriminator`.
        """
        contracts.check_distributed(batch, self.strategy)
        seed = self._update_seed("generator_latents", self.generator_updates)
        rates = changing_learning_rates({GENERATOR: self.generator_optimizer})
        with self._counting_generator_update():
            state = game_state.read(self.game.states, self.game_state)
            metrics = self._generator_update(batch, seed, state)
        return contracts.joined("observations", rates, metrics)

    def update_both(self, batch: Any) -> Metrics:
        """Updates both networks from one shared pass, both gradients taken at the old weights.

        Takes, returns and raises as `update_discriminator`.
        """
        seed = self._update_seed("shared_latents", self._count_images(batch))
        optimizers = {
            DISCRIMINATOR: self.discriminator_optimizer,
            GENERATOR: self.generator_optimizer,
        }
        rates = changing_learning_rates(optimizers)
        with self._counting_generator_update():
            return self._with_due_penalties(self._both_updates, rates, batch, seed)

    def end_step(self) -> None:
        """Counts a step: call it after the updates of each step in a custom loop; `train` does."""
        self.step.assign_add(1)

    @tf.function(reduce_retracing=True, autograph=False)
    def sample(self, inputs: Any, **conditions: Any) -> tf.Tensor:
        """Images in inference mode, floats [B, H, W, C]; from the averaged weights if there are.

        Args:
          inputs: Latents [B, Z], or other first inputs of the generator.
          **conditions: Its further inputs by name, for example labels.
        """
        average = self.generator_average
        with average.in_place_of_weights() if average else contextlib.nullcontext():
            made = call_network(self.generator, inputs, conditions, training=False)
            return tf.cast(made, keras.config.floatx())

    def _on_replicas(
        self,
        run_update: Callable[..., Metrics],
        optimizers: Sequence[keras.optimizers.Optimizer],
    ) -> OnReplicas:
        """A function of `gan_core.update`, to be called outside of the replicas."""

        def on_replica(
            batch: Any,
            seed: tf.Tensor,
            state: Mapping[str, tf.Tensor],
            *penalty_weights: update.PenaltyWeights,
        ) -> Metrics:
            draw, players = self._inputs_of_update(batch, seed, state)
            return run_update(self.game, players, draw, *optimizers, *penalty_weights)

        return OnReplicas(on_replica, self.strategy, self._is_compiled)

    def _inputs_of_update(
        self, batch: Any, seed: tf.Tensor, state: Mapping[str, tf.Tensor]
    ) -> tuple[Draw, Players]:
        draw = Draw(
            batch,
            seed,
            latents=self.latents,
            global_batch_size=self.global_batch_size,
            replica_batch_size=self._replica_batch_size,
            value_range=self.value_range,
            # The check of float images formats a message, which XLA cannot compile.
            images_seen=None if self._is_compiled else self.images_seen,
            state=state,
        )
        networks = (self.generator, self.discriminator)
        return draw, Players(*networks, draw, self.game.augment, self.game.patches)

    def _update_seed(self, stream: str, count: tf.Tensor) -> tf.Tensor:
        """The seed of an update's random numbers; a different one after each rollback."""
        index = count + self.rollbacks * DRAWS_BETWEEN_ROLLBACKS
        seed = stream_seed(self.seed, stream, index)
        return seed_for_xla(seed) if self._is_compiled else seed

    def _count_images(self, batch: Any) -> tf.Tensor:
        """Counts a batch once it has arrived; returns the number of images seen before it.

        The latents depend on the count, and the whole update on the latents: so it starts after the
        batch has arrived, and waiting for data is idle time that can be measured as such.
        """
        contracts.check_distributed(batch, self.strategy)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            seen_before = self.images_seen.read_value()
        self.images_seen.assign_add(self.global_batch_size)
        return seen_before

    @contextlib.contextmanager
    def _counting_generator_update(self) -> Iterator[None]:
        """Counts the update within it, and moves the average if the update moved the weights.

        With gradient accumulation most updates move no weights; one that applies the gradients
        moves the average as far as one update on all of their images would.
        """
        applied_before = tf.convert_to_tensor(self.generator_optimizer.iterations)
        yield
        self.generator_updates.assign_add(1)
        if self.generator_average:
            applied = accumulated_updates(self.generator_optimizer, applied_before)
            num_images = self.global_batch_size * applied
            images_generated = self.generator_updates * self.global_batch_size
            self.generator_average.update(num_images, images_generated)

    def _with_due_penalties(
        self, run_update: OnReplicas, rates: Metrics, batch: Any, seed: tf.Tensor
    ) -> Metrics:
        """Runs an update of the discriminator with those regularizers that are due in it.

        The choice is made outside of the replicas: within a `tf.cond` on a replica, synchronized
        batch normalization could not communicate with the others.
        """
        regularizers, states = self.game.regularizers, self.game.states
        updates_before = self.images_seen // self.global_batch_size - 1
        state = game_state.read(states, self.game_state)

        def run_with(due: set[int], undecided: list[int]) -> Metrics:
            """`due` and `undecided` are intervals of regularizers, in ascending order."""
            if not undecided:
                weights = [
                    r.weight_when_due if r.every_updates in due else None for r in regularizers
                ]
                return run_update(batch, seed, state, weights)
            interval, *longer = undecided
            # Where one is not due, no multiple of its interval is.
            others = [other for other in longer if other % interval]
            metrics: Metrics = tf.cond(
                updates_before % interval == 0,
                lambda: run_with(due | {interval}, longer),
                lambda: run_with(due, others),
            )
            return metrics

        intervals = sorted({regularizer.every_updates for regularizer in regularizers} - {1})
        metrics = contracts.joined("observations", rates, run_with({1}, intervals))
        game_state.write_updated(states, self.game_state, state, metrics, self.global_batch_size)
        return metrics | {f"game/{name}": number for name, number in state.items()}
