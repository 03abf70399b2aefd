"""The adversarial update: one discriminator update, one generator update, under a strategy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from gan_core import images, losses
from gan_core.averaging import WeightAverage
from gan_core.errors import ArgumentError
from gan_core.latents import LatentDistribution
from gan_core.network_update import apply_gradients, average_over_replicas
from gan_core.penalties import Regularizer
from gan_core.random_streams import stream_seed
from gan_core.strategies import per_replica_batch_size
from gan_core.types import GRADIENT_CHECK, Batch, Metrics, Terms

_SEED_STATE = "seed_generator_state"
"""What Keras calls the variable of a `SeedGenerator`."""

_DRAWS_BETWEEN_ROLLBACKS = 2**48
"""More than a run can count, so that draws after a rollback are none of those before it."""


class Outputs(NamedTuple):
    """What one pass through both networks gives, for one replica.

    Attributes:
      fake_images: [B, H, W, C] in the model's range.
      fake_logits: [B] float32.
      real_images: [B, H, W, C] in the model's range; None in a pass without real examples.
      real_logits: [B] float32; None in a pass without real examples.
    """

    fake_images: tf.Tensor
    fake_logits: tf.Tensor
    real_images: tf.Tensor | None = None
    real_logits: tf.Tensor | None = None


class GanStep(tf.Module):
    """A generator, a discriminator, their optimizers, and the updates that train them.

    Build it, and the networks and optimizers, under `strategy.scope()`. The `update_*` methods
    are called outside of a replica, within a `tf.function` or not; they run on every replica.

    To train another kind of model override `forward` (labels, several heads),
    `discriminator_terms` or `generator_terms` (other losses): the sum of the terms is what is
    minimised, and their means are what is logged.

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
        loss: losses.AdversarialLoss | None = None,
        regularizers: Sequence[Regularizer] = (),
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
          loss: The adversarial pair; `losses.non_saturating()` when None.
          regularizers: Penalties that the discriminator minimises beside it.
          average_half_life_images: Half-life of an average of the generator's weights, which
            `sample` then uses; no average when None.
          value_range: The range of the generator's outputs, to which uint8 images are scaled.
          seed: Seed of all latents.
          jit_compile: Whether XLA compiles each update into one program, on one replica only.
            It is meant for GPUs; on CPUs its convolutions are many times slower. XLA makes other
            numbers of the same seeds: latents differ from those of a run without it.

        Raises:
          ArgumentError: If a network has no trainable variables or shares one with the other,
            if both have one optimizer, if the batch does not divide among the replicas, or if
            several replicas shall be compiled.
        """
        super().__init__(name="gan")
        _check_separate(generator, discriminator)
        if generator_optimizer is discriminator_optimizer:
            raise ArgumentError(
                "discriminator_optimizer",
                discriminator_optimizer.name,
                "must not be the generator's",
                "make two optimizers",
            )
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
        self._compiled: dict[str, Callable[..., Metrics]] = {}
        self.global_batch_size = global_batch_size
        self.loss = loss or losses.non_saturating()
        self.regularizers = tuple(regularizers)
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

    def forward(self, latents: tf.Tensor, batch: Batch | None) -> Outputs:
        """One training pass. Real and fake images go through the discriminator separately.

        Concatenating them would mix the statistics of its batch normalization.
        """
        fake_images = self.generator(latents, training=True)
        real_images = real_logits = None
        if batch is not None:
            real_images = images.from_uint8(batch.images, self.value_range)
            real_logits = _as_logits(self.discriminator(real_images, training=True))
        fake_logits = _as_logits(self.discriminator(fake_images, training=True))
        return Outputs(fake_images, fake_logits, real_images, real_logits)

    def discriminator_terms(self, outputs: Outputs) -> Terms:
        """What the discriminator minimises: terms by name, [B] each."""
        return self.loss.discriminator(outputs.real_logits, outputs.fake_logits)

    def generator_terms(self, outputs: Outputs) -> Terms:
        """What the generator minimises: terms by name, [B] each."""
        return self.loss.generator(outputs.fake_logits)

    def observations(self, outputs: Outputs) -> Terms:
        """What is logged beside the discriminator's terms, [B] each: D(real) and D(fake)."""
        return {
            "real_probability": tf.sigmoid(outputs.real_logits),
            "fake_probability": tf.sigmoid(outputs.fake_logits),
        }

    def update_discriminator(self, batch: Batch) -> Metrics:
        """Updates the discriminator on a batch and on fresh fakes; no generator variable changes.

        Args:
          batch: The global batch, as a distributed iterator gives it.

        Returns:
          Means over the global batch, by name.
        """
        seed = self._draw_seed("discriminator_latents", self._count_images(batch))
        return self._on_replicas_with_penalties(self._replica_update_discriminator, batch, seed)

    def update_generator(self) -> Metrics:
        """Updates the generator on fresh latents; no discriminator variable changes.

        Returns:
          Means over the global batch, by name.
        """
        seed = self._draw_seed("generator_latents", self.generator_updates)
        metrics = self._on_replicas(self._replica_update_generator, seed)
        self._count_generator_update()
        return metrics

    def update_both(self, batch: Batch) -> Metrics:
        """Updates both networks from one shared pass, both gradients at the old weights.

        Args:
          batch: The global batch, as a distributed iterator gives it.

        Returns:
          Means over the global batch, by name.
        """
        seed = self._draw_seed("shared_latents", self._count_images(batch))
        metrics = self._on_replicas_with_penalties(self._replica_update_both, batch, seed)
        self._count_generator_update()
        return metrics

    @tf.function(reduce_retracing=True, autograph=False)
    def sample(self, latents: tf.Tensor) -> tf.Tensor:
        """Generates images in inference mode: float32 [B, H, W, C] in `value_range`.

        Where there is an average of the weights, it is used.
        """
        average = self.generator_average
        with average.in_place_of_weights() if average else contextlib.nullcontext():
            return tf.cast(self.generator(latents, training=False), tf.float32)

    def _replica_update_discriminator(
        self, batch: Batch, seed: tf.Tensor, penalty_weights: list[tf.Tensor]
    ) -> Metrics:
        with tf.GradientTape() as tape:
            outputs = self._forward_assigning_only(self.discriminator, seed, batch)
            terms = self.discriminator_terms(outputs) | self._penalties(outputs, penalty_weights)
            loss, metrics = self._reduce(terms, "discriminator")
        check = apply_gradients(tape, loss, self.discriminator, self.discriminator_optimizer)
        average_over_replicas(self.discriminator)
        observed = self._means(self.observations(outputs), "discriminator")
        return metrics | observed | {f"discriminator/{GRADIENT_CHECK}": check}

    def _replica_update_generator(self, seed: tf.Tensor) -> Metrics:
        with tf.GradientTape() as tape:
            outputs = self._forward_assigning_only(self.generator, seed, None)
            loss, metrics = self._reduce(self.generator_terms(outputs), "generator")
        check = apply_gradients(tape, loss, self.generator, self.generator_optimizer)
        average_over_replicas(self.generator)
        return metrics | {f"generator/{GRADIENT_CHECK}": check}

    def _replica_update_both(
        self, batch: Batch, seed: tf.Tensor, penalty_weights: list[tf.Tensor]
    ) -> Metrics:
        with tf.GradientTape() as discriminator_tape, tf.GradientTape() as generator_tape:
            outputs = self._seeded_forward(seed, batch)
            with generator_tape.stop_recording():
                penalties = self._penalties(outputs, penalty_weights)
            terms = self.discriminator_terms(outputs) | penalties
            discriminator_loss, metrics = self._reduce(terms, "discriminator")
            generator_loss, generator_metrics = self._reduce(
                self.generator_terms(outputs), "generator"
            )
        discriminator_check = apply_gradients(
            discriminator_tape,
            discriminator_loss,
            self.discriminator,
            self.discriminator_optimizer,
        )
        generator_check = apply_gradients(
            generator_tape, generator_loss, self.generator, self.generator_optimizer
        )
        average_over_replicas(self.generator, self.discriminator)
        observed = self._means(self.observations(outputs), "discriminator")
        checks = {
            f"discriminator/{GRADIENT_CHECK}": discriminator_check,
            f"generator/{GRADIENT_CHECK}": generator_check,
        }
        return metrics | generator_metrics | observed | checks

    def _penalties(self, outputs: Outputs, weights: list[tf.Tensor]) -> Terms:
        """The regularizers' terms, [B] each; zeros where no weights are given."""
        if not weights:
            nothing = tf.zeros_like(outputs.real_logits)
            return {regularizer.name: nothing for regularizer in self.regularizers}

        def discriminate(images: tf.Tensor) -> tf.Tensor:
            return _as_logits(self.discriminator(images, training=True))

        terms = {}
        # A pass on the side: it moves no averages of batch normalization.
        with keras.StatelessScope():
            for regularizer, weight in zip(self.regularizers, weights, strict=True):
                images_of_both = (outputs.real_images, outputs.fake_images)
                terms[regularizer.name] = weight * regularizer.penalty(
                    discriminate, *images_of_both
                )
        return terms

    def _forward_assigning_only(
        self, network: keras.Model, seed: tf.Tensor, batch: Batch | None
    ) -> Outputs:
        """A pass in which the other network's layers assign nothing (moving averages, say)."""
        with keras.StatelessScope() as scope:
            outputs = self._seeded_forward(seed, batch)
        for variable in network.non_trainable_variables:
            value = scope.get_current_value(variable)
            if value is not None:
                variable.assign(value)
        return outputs

    def _seeded_forward(self, seed: tf.Tensor, batch: Batch | None) -> Outputs:
        """`forward` with this replica's latents and, in layers like dropout, its own seeds.

        Keras's layers count their draws in variables that a checkpoint does not hold. Set anew
        for each update they are functions of the run's counters, as the latents are.
        """
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replica_seed = tf.random.fold_in(seed, replica)
        states = [
            variable
            for network in (self.generator, self.discriminator)
            for variable in network.non_trainable_variables
            if variable.name == _SEED_STATE
        ]
        for number, state in enumerate(states):
            state.assign(tf.cast(tf.random.fold_in(replica_seed, number), state.dtype))
        return self.forward(self._replica_latents(seed), batch)

    def _replica_latents(self, seed: tf.Tensor) -> tf.Tensor:
        """This replica's part of the global batch of latents, so that replicas change nothing."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        latents = self.latents(self.global_batch_size, seed)
        size = self._replica_batch_size
        return latents[replica * size : (replica + 1) * size]

    def _reduce(self, terms: Terms, network: str) -> tuple[tf.Tensor, Metrics]:
        """This replica's share of the loss, the one place where it is reduced, and of the metrics.

        Optimizers sum gradients over the replicas, so each divides by the global batch size.
        """
        means = self._means(terms, network)
        loss = tf.add_n(list(means.values()))
        return loss, {f"{network}/loss": loss, **means}

    def _means(self, terms: Terms, network: str) -> Metrics:
        return {
            f"{network}/{name}": tf.reduce_sum(tf.cast(term, tf.float32)) / self.global_batch_size
            for name, term in terms.items()
        }

    def _draw_seed(self, stream: str, count: tf.Tensor) -> tf.Tensor:
        """The seed of an update's draws; another one after each rollback."""
        return stream_seed(self.seed, stream, count + self.rollbacks * _DRAWS_BETWEEN_ROLLBACKS)

    def _count_images(self, batch: Batch) -> tf.Tensor:
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

    def _on_replicas_with_penalties(
        self, update: Callable[..., Metrics], batch: Batch, seed: tf.Tensor
    ) -> Metrics:
        """Runs an update with the regularizers that are due in it.

        The choice is made outside of the replicas: within one, synchronized batch normalization
        could not talk to the others.
        """
        updates_before = self.images_seen // self.global_batch_size - 1
        due = [updates_before % regularizer.every_steps == 0 for regularizer in self.regularizers]
        weights = [
            tf.where(is_due, regularizer.weight * regularizer.every_steps, 0.0)
            for is_due, regularizer in zip(due, self.regularizers, strict=True)
        ]

        def run_with(weights: list[tf.Tensor]) -> Metrics:
            return self._on_replicas(update, batch, seed, weights)

        if all(regularizer.every_steps == 1 for regularizer in self.regularizers):
            return run_with(weights)
        return tf.cond(tf.reduce_any(due), lambda: run_with(weights), lambda: run_with([]))

    def _on_replicas(self, update: Callable[..., Metrics], *arguments: object) -> Metrics:
        """Runs an update on every replica; its metrics are summed in one message."""
        names: list[str] = []
        if self._jit_compile:
            name = update.__name__
            if name not in self._compiled:
                self._compiled[name] = tf.function(update, jit_compile=True)
            update = self._compiled[name]

        def replica_run(*arguments: object) -> tf.Tensor:
            metrics = update(*arguments)
            names[:] = metrics
            return tf.stack(list(metrics.values()))

        per_replica = self._strategy.run(replica_run, args=arguments)
        sums = self._strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return dict(zip(names, tf.unstack(sums, num=len(names)), strict=True))


def _counter(name: str) -> tf.Variable:
    return tf.Variable(
        0,
        dtype=tf.int64,
        trainable=False,
        name=name,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def _as_logits(outputs: tf.Tensor) -> tf.Tensor:
    """[B] or [B, 1] of any float -> [B] float32."""
    return tf.cast(tf.reshape(outputs, [-1]), tf.float32)


def _check_separate(generator: keras.Model, discriminator: keras.Model) -> None:
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        if not network.trainable_variables:
            raise ArgumentError(
                name, network.name, "must have trainable variables", "build it and unfreeze it"
            )
    shared = {id(v) for v in generator.variables} & {id(v) for v in discriminator.variables}
    if shared:
        names = [v.path for v in generator.variables if id(v) in shared]
        raise ArgumentError(
            "discriminator",
            discriminator.name,
            f"must share no variable with the generator, but shares {', '.join(names)}",
            "build separate layers",
        )
