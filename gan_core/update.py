"""One update on one replica: the terms of a game, two tapes, gradients."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from gan_core import contracts, game_state
from gan_core.draw import Draw
from gan_core.game import Game
from gan_core.networks import Network
from gan_core.players import ModulePlayer, Outputs, Player, Players, make_player
from gan_core.types import DISCRIMINATOR, GENERATOR, Metrics, Terms, gradient_check


def _make_players(
    networks: Mapping[str, Network], seed: tf.Tensor
) -> dict[str, Player | ModulePlayer]:
    """The networks in this update, with this replica's seeds for layers like dropout.

    Keras's layers count their draws in variables that a checkpoint does not hold. Set anew for each
    update they are functions of the run's counters, as the latents are. They count in the seed's
    second number, where `fold_in` leaves what it folds in: so that is 0 in all of them.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    replica_seed = tf.random.fold_in(seed, replica)
    numbered = (tf.random.fold_in(replica_seed, number) for number in itertools.count())
    seeds = (tf.random.fold_in(seed, 0) for seed in numbered)
    return {name: make_player(network, seeds) for name, network in networks.items()}


@dataclasses.dataclass(frozen=True)
class ReplicaUpdate:
    """One pass through both networks, and the update of one or both from it.

    Attributes:
      game: What is played.
      networks: Both, by name.
      optimizers: Theirs.
      make_draw: (batch, seed, state=...) -> what an update is given on this replica.
    """

    game: Game
    networks: Mapping[str, Network]
    optimizers: Mapping[str, keras.optimizers.Optimizer]
    make_draw: Callable[..., Draw]

    def run(
        self,
        updated: Sequence[str],
        batch: Any,
        seed: tf.Tensor,
        penalty_weights: Sequence[float | None],
        state: Mapping[str, tf.Tensor],
    ) -> Metrics:
        """Updates the networks that are named.

        Args:
          updated: Names of one or both.
          batch: This replica's part of the global batch, or None.
          seed: Integer [2], the update's own.
          penalty_weights: Of the regularizers, in their order; None of one that is not due.
          state: What the game keeps from update to update.

        Returns:
          This replica's share of the means over the global batch, by name.
        """
        game, players = self.game, _make_players(self.networks, seed)
        draw = self.make_draw(batch, seed, state=state)
        doors = Players(
            players[GENERATOR], players[DISCRIMINATOR], draw, game.augment, game.patches
        )
        tapes = {name: tf.GradientTape(watch_accessed_variables=False) for name in players}
        with tapes[GENERATOR], tapes[DISCRIMINATOR]:
            for name in updated:
                tapes[name].watch(players[name].weights)
            outputs = game.forward(doors, draw)
            terms = {name: self._terms_of(name, outputs, draw) for name in updated}
            if DISCRIMINATOR in updated:
                # After all terms: of what a penalty computed first, the generator's tape would
                # know nothing. It needs no second derivatives of the generator.
                with tapes[GENERATOR].stop_recording(), doors.on_the_side():
                    penalties = self._penalties(outputs, draw, penalty_weights)
                terms[DISCRIMINATOR] = contracts.joined(
                    "regularizers", terms[DISCRIMINATOR], penalties
                )
            means = {name: self._means(terms[name], name, draw) for name in updated}
            # Stacked, for AddN adds in an order that is another one from run to run.
            losses = {name: tf.reduce_sum(tf.stack([*means[name].values()])) for name in updated}
        observed: Metrics = {}
        if DISCRIMINATOR in updated:
            with doors.on_the_side():
                observed = self._observations(outputs, draw)
        metrics: Metrics = {}
        for name in updated:
            check = apply_gradients(tapes[name], losses[name], players[name], self.optimizers[name])
            players[name].write_state()
            metrics |= {f"{name}/loss": losses[name], **means[name], gradient_check(name): check}
        return contracts.joined("observations", metrics, observed)

    def _terms_of(self, name: str, outputs: Outputs, draw: Draw) -> Terms:
        method = f"{name}_terms"
        return self._checked(method, getattr(self.game, method)(outputs), draw)

    def _penalties(self, outputs: Outputs, draw: Draw, weights: Sequence[float | None]) -> Terms:
        """The regularizers' terms; zeros where one is not due."""
        if not weights:
            return {}
        nothing = tf.zeros([draw.replica_batch_size], keras.config.floatx())
        terms = {
            regularizer.name: (
                nothing if weight is None else weight * regularizer.penalty(outputs, draw)
            )
            for regularizer, weight in zip(self.game.regularizers, weights, strict=True)
        }
        return self._checked("regularizers", terms, draw)

    def _observations(self, outputs: Outputs, draw: Draw) -> Metrics:
        own = self.game.observations(outputs)
        observations = game_state.observed(self.game.states, outputs, own)
        return self._means(self._per_example(observations), DISCRIMINATOR, draw)

    def _checked(self, origin: str, terms: Terms, draw: Draw) -> Terms:
        return contracts.checked_terms(origin, self._per_example(terms), draw.replica_batch_size)

    def _per_example(self, terms: Terms) -> Terms:
        return contracts.per_example(terms) if self.game.patches else terms

    def _means(self, terms: Terms, network: str, draw: Draw) -> Metrics:
        floats = {name: tf.cast(term, keras.config.floatx()) for name, term in terms.items()}
        return {
            f"{network}/{name}": tf.reduce_sum(values) / draw.global_batch_size
            for name, values in floats.items()
        }


def apply_gradients(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    player: Player | ModulePlayer,
    optimizer: keras.optimizers.Optimizer,
) -> tf.Tensor:
    """Updates one network by the gradients of its loss, summed over the replicas.

    Args:
      tape: What recorded the loss.
      loss: This replica's share of it, a scalar.
      player: Whose trainable variables are updated; the tape watched its weights.
      optimizer: By what.

    Returns:
      Scalar: 0 if all of this replica's gradients are finite, NaN otherwise. With loss
      scaling, which skips such updates itself, always 0.
    """
    variables = player.network.trainable_variables
    # Loss scaling multiplies all gradients by one number: it is what the loss's own starts from.
    scale = optimizer.scale_loss(tf.ones_like(loss))
    of_passes = tape.gradient(loss, player.passes or [player.weights], output_gradients=scale)
    gradients = [_sum_in_order(parts) for parts in zip(*of_passes, strict=True)]
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # To loss scaling an overflow is a matter of course: it leaves the update out.
        optimizer.apply(_spread_overflow(gradients), variables)
        return tf.zeros([], loss.dtype)
    optimizer.apply(gradients, variables)
    return _nothing_or_nan(gradients)


def _sum_in_order(parts: Sequence[tf.Tensor | None]) -> tf.Tensor | None:
    """The sum, with the same bits in each run and each trace; None where nothing is there.

    TensorFlow's AddN, by which tapes add and which Grappler makes of a chain of additions, starts
    with whichever term's memory happens to be free. Of two terms each order gives the same bits;
    more are stacked, which costs a copy and keeps their order.
    """
    # Of an embedding's gradient TensorFlow keeps the rows that were looked up; Adam's update is
    # defined for all of them.
    there = [tf.convert_to_tensor(part) for part in parts if part is not None]
    if len(there) > 2:
        return tf.reduce_sum(tf.stack(there), axis=0)
    return functools.reduce(tf.add, there) if there else None


def _spread_overflow(gradients: list[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Makes gradients non-finite on all replicas where they are on one.

    Loss scaling skips such updates, but Keras looks at the first replica alone.
    """
    context = tf.distribute.get_replica_context()
    everywhere = context.all_reduce(tf.distribute.ReduceOp.SUM, _nothing_or_nan(gradients))
    return [None if gradient is None else gradient + everywhere for gradient in gradients]


def _nothing_or_nan(gradients: list[tf.Tensor | None]) -> tf.Tensor:
    """0 if all gradients are finite, NaN otherwise; one pass over them, in one kernel each."""
    sums = [tf.reduce_sum(gradient) for gradient in gradients if gradient is not None]
    total = tf.add_n([tf.cast(each, keras.config.floatx()) for each in sums])
    return tf.where(tf.math.is_finite(total), tf.zeros([], total.dtype), float("nan"))
