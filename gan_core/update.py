"""The discriminator's update, the generator's, and both from one shared pass, on one replica.

Each function here runs on every replica with that replica's part of the batch, b of the B examples
of the global batch. A *term* is one float per example. By default a game's terms are sigmoid
cross-entropies of logits:

    discriminator_terms: `real`, of real logits with ones; `fake`, of fake logits with zeros
    generator_terms: `adversarial`, of fake logits with ones

A replica's share of a term is the sum of its b values divided by B. Shares add up to the mean over
the global batch: this is the one reduction of the engine, and `gan.py` adds the metrics, Keras the
gradients. A network's loss is the sum of its terms' shares.

A `Player` is a network in one update. It reads its weights once, at the start, and each forward
pass uses a copy of them: gradients are taken by each copy and added in the order of the passes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from gan_core import contracts, game_state
from gan_core.draw import Draw
from gan_core.game import Game
from gan_core.players import ModulePlayer, Outputs, Player, Players
from gan_core.types import DISCRIMINATOR, GENERATOR, Metrics, Terms, gradient_check

PenaltyWeights = Sequence[float | None]
"""Weights of a game's regularizers in their order; None for one that is not due."""


def update_discriminator(
    game: Game,
    players: Players,
    draw: Draw,
    optimizer: keras.optimizers.Optimizer,
    penalty_weights: PenaltyWeights,
) -> Metrics:
    """Updates the discriminator on real images and fresh fakes; returns this replica's shares."""
    discriminator = players.discriminator
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(discriminator.weights)
        outputs = game.forward(players, draw)
        terms = _checked(game, "discriminator_terms", game.discriminator_terms(outputs), draw)
        with players.without_state_updates():
            penalties = _penalties(game, outputs, draw, penalty_weights)
        terms = contracts.joined("regularizers", terms, penalties)
        shares = _shares(DISCRIMINATOR, terms, draw)
        loss = _sum(shares)
    with players.without_state_updates():
        observed = _observations(game, outputs, draw)
    gradients = _gradients(tape, loss, discriminator, optimizer)
    check = _apply(optimizer, gradients, discriminator.variables)
    discriminator.write_state()
    metrics = _metrics(DISCRIMINATOR, loss, shares, check)
    return contracts.joined("observations", metrics, observed)


def update_generator(
    game: Game, players: Players, draw: Draw, optimizer: keras.optimizers.Optimizer
) -> Metrics:
    """Updates the generator on fresh latents; returns this replica's shares."""
    generator = players.generator
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(generator.weights)
        outputs = game.forward(players, draw)
        terms = _checked(game, "generator_terms", game.generator_terms(outputs), draw)
        shares = _shares(GENERATOR, terms, draw)
        loss = _sum(shares)
    gradients = _gradients(tape, loss, generator, optimizer)
    check = _apply(optimizer, gradients, generator.variables)
    generator.write_state()
    return _metrics(GENERATOR, loss, shares, check)


def update_both(
    game: Game,
    players: Players,
    draw: Draw,
    discriminator_optimizer: keras.optimizers.Optimizer,
    generator_optimizer: keras.optimizers.Optimizer,
    penalty_weights: PenaltyWeights,
) -> Metrics:
    """Updates both networks from one shared pass; returns this replica's shares.

    Both gradients are taken at the old weights: the tapes hold the values that the pass has read,
    so updating the discriminator first does not change the generator's gradient.
    """
    discriminator, generator = players.discriminator, players.generator
    discriminator_tape = tf.GradientTape(watch_accessed_variables=False)
    generator_tape = tf.GradientTape(watch_accessed_variables=False)
    with generator_tape, discriminator_tape:
        discriminator_tape.watch(discriminator.weights)
        generator_tape.watch(generator.weights)
        outputs = game.forward(players, draw)
        terms = _checked(game, "discriminator_terms", game.discriminator_terms(outputs), draw)
        generator_terms = _checked(game, "generator_terms", game.generator_terms(outputs), draw)
        # Penalties are computed off the generator's tape, which needs no second derivatives. They
        # come after all terms: outputs are computed when first read, and one that a penalty reads
        # first would be missing from that tape.
        with generator_tape.stop_recording(), players.without_state_updates():
            penalties = _penalties(game, outputs, draw, penalty_weights)
        terms = contracts.joined("regularizers", terms, penalties)
        shares = _shares(DISCRIMINATOR, terms, draw)
        generator_shares = _shares(GENERATOR, generator_terms, draw)
        loss, generator_loss = _sum(shares), _sum(generator_shares)
    with players.without_state_updates():
        observed = _observations(game, outputs, draw)
    gradients = _gradients(discriminator_tape, loss, discriminator, discriminator_optimizer)
    check = _apply(discriminator_optimizer, gradients, discriminator.variables)
    discriminator.write_state()
    metrics = _metrics(DISCRIMINATOR, loss, shares, check)
    gradients = _gradients(generator_tape, generator_loss, generator, generator_optimizer)
    check = _apply(generator_optimizer, gradients, generator.variables)
    generator.write_state()
    metrics |= _metrics(GENERATOR, generator_loss, generator_shares, check)
    return contracts.joined("observations", metrics, observed)


def _penalties(game: Game, outputs: Outputs, draw: Draw, weights: PenaltyWeights) -> Terms:
    """The regularizers' weighted terms; zeros for one that is not due."""
    if not weights:
        return {}
    zeros = tf.zeros([draw.replica_batch_size], keras.config.floatx())
    terms = {
        regularizer.name: zeros if weight is None else weight * regularizer.penalty(outputs, draw)
        for regularizer, weight in zip(game.regularizers, weights, strict=True)
    }
    return _checked(game, "regularizers", terms, draw)


def _observations(game: Game, outputs: Outputs, draw: Draw) -> Metrics:
    """Shares of values that are only logged, such as D(real) and D(fake)."""
    own = game.observations(outputs)
    observed = game_state.observed(game.states, outputs, own)
    return _shares(DISCRIMINATOR, contracts.per_example(observed, game.patches), draw)


def _checked(game: Game, origin: str, terms: Terms, draw: Draw) -> Terms:
    """Terms of one float per example, those of patches averaged; raises for any other shape."""
    terms = contracts.per_example(terms, game.patches)
    return contracts.checked_terms(origin, terms, draw.replica_batch_size)


def _shares(network: str, terms: Terms, draw: Draw) -> Metrics:
    """This replica's shares of the terms, as `<network>/<term>`."""
    floats = {name: tf.cast(term, keras.config.floatx()) for name, term in terms.items()}
    return {
        f"{network}/{name}": tf.reduce_sum(values) / draw.global_batch_size
        for name, values in floats.items()
    }


def _sum(shares: Metrics) -> tf.Tensor:
    """This replica's share of a loss: the sum of those of its terms.

    They are stacked because AddN adds in an order that varies from run to run.
    """
    return tf.reduce_sum(tf.stack([*shares.values()]))


def _metrics(network: str, loss: tf.Tensor, shares: Metrics, check: tf.Tensor) -> Metrics:
    return {f"{network}/loss": loss, **shares, gradient_check(network): check}


def _gradients(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    player: Player | ModulePlayer,
    optimizer: keras.optimizers.Optimizer,
) -> list[tf.Tensor | None]:
    """Gradients of this replica's loss by a network's weights, summed over its passes.

    With loss scaling they are multiplied by the scale, but the logged loss is not: the chain rule
    starts with the scale in place of d loss / d loss = 1.
    """
    scale = optimizer.scale_loss(tf.ones_like(loss))
    of_passes = tape.gradient(loss, player.passes or [player.weights], output_gradients=scale)
    return [_sum_in_order(parts) for parts in zip(*of_passes, strict=True)]


def _sum_in_order(parts: Sequence[tf.Tensor | None]) -> tf.Tensor | None:
    """A sum whose bits are the same in each run and each trace; None if all parts are None.

    Tapes add by TensorFlow's AddN, and Grappler turns chains of additions into it. AddN starts with
    whichever term's memory happens to be free. Two terms give the same bits in either order; more
    are stacked, which costs a copy and fixes their order.
    """
    # The gradient of an embedding, which holds only the rows that were looked up, becomes dense:
    # Adam must update all rows.
    dense = [tf.convert_to_tensor(part) for part in parts if part is not None]
    if len(dense) > 2:
        return tf.reduce_sum(tf.stack(dense), axis=0)
    return functools.reduce(tf.add, dense) if dense else None


def _apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[tf.Tensor | None],
    variables: Sequence[keras.Variable | tf.Variable],
) -> tf.Tensor:
    """Applies gradients, which Keras sums over the replicas, to a network's variables.

    Returns:
      Scalar: 0 if all of this replica's gradients are finite, NaN otherwise. With loss scaling,
      which skips updates that overflow, always 0.
    """
    check = _zero_or_nan(gradients)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # Keras skips the update if the first replica overflows: NaN on one replica must reach all.
        context = tf.distribute.get_replica_context()
        everywhere = context.all_reduce(tf.distribute.ReduceOp.SUM, check)
        gradients = [None if each is None else each + everywhere for each in gradients]
        check = tf.zeros_like(check)
    optimizer.apply(gradients, variables)
    return check


def _zero_or_nan(gradients: list[tf.Tensor | None]) -> tf.Tensor:
    """NaN if a gradient, or the sum of all, is not finite; 0 otherwise."""
    sums = [tf.reduce_sum(gradient) for gradient in gradients if gradient is not None]
    total = tf.add_n([tf.cast(each, keras.config.floatx()) for each in sums])
    return tf.where(tf.math.is_finite(total), tf.zeros([], total.dtype), float("nan"))
