"""The game of the two networks: the losses that each of them minimises."""

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
    """The rules of training, apart from their execution: it holds no variable, replica or counter.

    Subclass it for other rules: override `forward` for labels or other inputs, and
    `discriminator_terms` or `generator_terms` for other losses. A network minimises the sum of its
    terms, and the log shows their means. All methods are traced on each replica, with its part of
    the batch (b examples): `draw` holds its images, latents and random numbers by name. Memory
    between updates is declared in `states`, and held by the gan.

    Args:
      loss: The adversarial pair; `losses.non_saturating()` when None.
      regularizers: Penalties that the discriminator minimises in addition.
      augment: Applied to all images that the discriminator sees, real or fake, in losses and
        penalties alike (Zhao et al. 2020, DiffAugment).
      patches: Whether the discriminator returns a logit for each patch of an image, [b, h, w, 1]
        (Isola et al. 2017, section 3.2.2). Losses are then computed per patch, and terms
        [b, patches] are averaged over an example's patches.

    Raises:
      ArgumentError: If a part is of the wrong kind, or two regularizers share a name.
    """

    def __init__(
        self,
        loss: AdversarialLoss | None = None,
        regularizers: Sequence[Regularizer] = (),
        augment: Augment | None = None,
        patches: bool = False,
    ):
        if loss is not None and not isinstance(loss, AdversarialLoss):
            remedy = "call a loss function, for example gan_core.hinge()"
            raise ArgumentError("loss", repr(loss), "must be an AdversarialLoss", remedy)
        self.regularizers = tuple(regularizers)
        for regularizer in self.regularizers:
            if not isinstance(regularizer, Regularizer):
                remedy = 'give it a name and a weight: Regularizer("r1", gan_core.r1, 0.1)'
                raise ArgumentError("regularizers", regularizer, "must be a Regularizer", remedy)
        if augment is not None and not callable(augment):
            remedy = 'give gan_core.differentiable_augmentation("cutout"), for example'
            raise ArgumentError("augment", repr(augment), "must be a function", remedy)
        self.loss = loss or non_saturating()
        self.augment = augment
        self.patches = patches
        names = [regularizer.name for regularizer in self.regularizers]
        for name in names:
            if names.count(name) > 1:
                raise ArgumentError("regularizers", name, "must have unique names", "rename one")

    @property
    def states(self) -> tuple[GameState, ...]:
        """The numbers that its parts keep from update to update; a subclass may add some."""
        states = [getattr(part, "state", None) for part in (*self.regularizers, self.augment)]
        return tuple(state for state in states if state)

    def forward(self, players: Players, draw: Draw) -> Outputs:
        """The outputs of one pass through both networks; each is computed when first read.

        Real and fake images pass through the discriminator separately.
        """
        return Outputs(players, draw)

    def discriminator_terms(self, outputs: Outputs) -> Terms:
        """The discriminator's loss as terms by name, floats [b] each."""
        return self.loss.discriminator(outputs)

    def generator_terms(self, outputs: Outputs) -> Terms:
        """The generator's loss as terms by name, floats [b] each."""
        return self.loss.generator(outputs)

    def observations(self, outputs: Outputs) -> Terms:
        """Values that are only logged, floats [b] each: by default sigmoids of both logits.

        They are D(real) and D(fake), computed in updates of the discriminator only. For critics,
        whose logits are scores, they are not probabilities.
        """
        return {
            "real_probability": tf.sigmoid(outputs.real_logits),
            "fake_probability": tf.sigmoid(outputs.fake_logits),
        }
