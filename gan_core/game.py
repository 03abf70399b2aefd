"""The game that the two networks play: what each of them minimises."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from gan_core.draw import Draw
from gan_core.errors import ArgumentError
from gan_core.game_state import GameState
from gan_core.losses import AdversarialLoss, non_saturating
from gan_core.penalties import Regularizer
from gan_core.players import Augment, Outputs, Players
from gan_core.types import Terms


class Game:
    """What is played, apart from how it is executed: no variables, no replicas, no counters.

    What it keeps from update to update is declared by `states`, and held by the executor.

    To play another game override `forward` (labels, other inputs), `discriminator_terms` or
    `generator_terms` (other losses): the sum of a network's terms is what it minimises, and their
    means are what is logged. All of them are traced, on each replica, with its part of the batch.

    Args:
      loss: The adversarial pair; `losses.non_saturating()` when None.
      regularizers: Penalties that the discriminator minimises beside it.
      augment: What is done to all images that the discriminator sees, real or fake, in losses and
        penalties alike (Zhao et al. 2020, DiffAugment).
      patches: Whether the discriminator gives a logit for each patch of an image, [B, h, w, 1]
        (Isola et al. 2017, section 3.2.2). Losses are then computed for each patch, and terms
        [b, patches] stand for their means over an example's patches.

    Raises:
      ArgumentError: If a part is of another kind, or two regularizers have one name.
    """

    def __init__(
        self,
        loss: AdversarialLoss | None = None,
        regularizers: Sequence[Regularizer] = (),
        augment: Augment | None = None,
        patches: bool = False,
    ):
        if loss is not None and not isinstance(loss, AdversarialLoss):
            raise ArgumentError(
                "loss", repr(loss), "must be an AdversarialLoss", "call one: gan_core.hinge(), say"
            )
        self.regularizers = tuple(regularizers)
        for regularizer in self.regularizers:
            if not isinstance(regularizer, Regularizer):
                remedy = 'name and weigh it: Regularizer("r1", gan_core.r1, 0.1), say'
                raise ArgumentError("regularizers", regularizer, "must be a Regularizer", remedy)
        if augment is not None and not callable(augment):
            remedy = 'give gan_core.differentiable_augmentation("cutout"), say'
            raise ArgumentError("augment", repr(augment), "must be a function", remedy)
        self.loss = loss or non_saturating()
        self.augment = augment
        self.patches = patches
        names = [regularizer.name for regularizer in self.regularizers]
        for name in names:
            if names.count(name) > 1:
                raise ArgumentError(
                    "regularizers", name, "must have names of their own", "rename one"
                )

    @property
    def states(self) -> tuple[GameState, ...]:
        """What its parts keep from update to update; a game of one's own may add to it."""
        states = [getattr(part, "state", None) for part in (*self.regularizers, self.augment)]
        return tuple(state for state in states if state)

    def forward(self, players: Players, draw: Draw) -> Outputs:
        """One training pass; both networks' terms are taken from it."""
        return Outputs(players, draw)

    def discriminator_terms(self, outputs: Outputs) -> Terms:
        """What the discriminator minimises: terms by name, [B] each."""
        return self.loss.discriminator(outputs)

    def generator_terms(self, outputs: Outputs) -> Terms:
        """What the generator minimises: terms by name, [B] each."""
        return self.loss.generator(outputs)

    def observations(self, outputs: Outputs) -> Terms:
        """What is logged beside the discriminator's terms, [B] each: D(real) and D(fake)."""
        return {
            "real_probability": tf.sigmoid(outputs.real_logits),
            "fake_probability": tf.sigmoid(outputs.fake_logits),
        }
