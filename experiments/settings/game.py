"""Flags of networks and game: loss, labels, augmentation, penalties; the game that they make."""

from __future__ import annotations

import dataclasses
import re

import gan_core
from experiments.settings.flag import NEVER, Options, flag
from gan_core import ArgumentError

_ADAPTIVE = "adaptive"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Game(Options):
    """Networks and game: loss, augmentation, penalties."""

    networks: str = flag("original", NEVER)
    """Networks of the experiment: original, or the name of sister networks."""
    image_size: int = flag(0, NEVER)
    """Height and width of the images, a multiple of 16 up to 256, for networks that can be built
    for several sizes; 0 for that of the original networks."""
    num_classes: int = flag(
        0, NEVER, at_most=1e5, describes_data=True, aliases="class_conditional classes conditional"
    )
    """Number of classes, the data's labels, on which both networks are conditioned; each row of a
    grid is then a class (the first ones if there are many). 0 ignores labels."""
    loss: str = flag("non_saturating", NEVER, choices=tuple(gan_core.LOSSES))
    """Adversarial loss. relativistic compares each fake with a real image and is used with R1 and
    R2; wasserstein needs --wgan_gp_weight."""
    real_label: float = flag(1.0, NEVER, above=0)
    """Target of the discriminator for real images with --loss=non_saturating; 0.9 is one-sided
    label smoothing."""
    fake_label: float = flag(0.0, NEVER)
    """Target of the discriminator for fakes with --loss=non_saturating; a value above 0 smooths
    that side too."""
    augment: str = flag("", NEVER, items=gan_core.AUGMENTATIONS)
    """Augmentations of all images that the discriminator sees, for small datasets;
    comma-separated. For digits use translation,cutout."""
    augment_probability: str = flag("1", NEVER, unless=("augment", ""), aliases="ada")
    """Probability of each augmentation for each image, from 0 to 1. adaptive: it rises from 0 while
    the discriminator is too sure of real images (ADA), by 1 in 500,000 images."""
    augment_target: float = flag(0.6, NEVER, below=1, unless=("augment", ""), aliases="ada_target")
    """Mean sign of real logits above which the discriminator is too sure, for
    --augment_probability=adaptive."""
    r1_weight: float = flag(0.0, NEVER, aliases="gamma")
    """Weight of the R1 penalty on the discriminator's gradient at real images, half of the paper's
    gamma; 0 for none."""
    r1_every_steps: int = flag(1, NEVER, above=0, at_most=1e6)
    """Discriminator updates between R1 (and R2) penalties, whose weight is multiplied by this
    number."""
    r2_weight: float = flag(0.0, NEVER)
    """Weight of the R2 penalty, which is R1 at fake images and applied as often; 0 for none."""
    wgan_gp_weight: float = flag(0.0, NEVER)
    """Weight of WGAN-GP's penalty on the gradient between real and fake images, 10 in the paper; 0
    for none."""
    consistency_weight: float = flag(0.0, NEVER)
    """Weight of CR-GAN's penalty on the change of a real image's logit when the image is moved by
    up to an eighth of its sides, 10 in the paper; 0 for none."""
    lecam_weight: float = flag(0.0, NEVER)
    """Weight of LeCam's penalty on the distance of logits from the running mean of the other kind,
    for small datasets; 0.3 in the paper with --loss=hinge, 0 for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % 16 or self.image_size > 256:
            rule = "must be a multiple of 16 up to 256"
            raise ArgumentError("image_size", self.image_size, rule, "use 64 or 128, for example")
        gan_core.non_saturating(self.real_label, self.fake_label)
        if self.loss != "non_saturating" and (self.real_label, self.fake_label) != (1, 0):
            remedy = "leave --real_label, --fake_label out"
            raise ArgumentError("loss", self.loss, "has no labels to smooth", remedy)
        self._check_augmentation()

    def _check_augmentation(self) -> None:
        probability = self.augment_probability
        is_adaptive = probability == _ADAPTIVE
        if not is_adaptive and not re.fullmatch(r"1(\.0*)?|0?\.\d+|0", probability):
            rule, remedy = "must be from 0 to 1", "or use adaptive"
            raise ArgumentError("augment_probability", probability, rule, remedy)
        if not self.augment and (is_adaptive or float(probability) != 1):
            rule, remedy = "needs --augment", "name some, or leave it out"
            raise ArgumentError("augment_probability", probability, rule, remedy)
        if is_adaptive and self.loss not in ("non_saturating", "minimax", "hinge"):
            rule = (
                f"needs a loss for which a logit of 0 means undecided, unlike `loss` ({self.loss})"
            )
            raise ArgumentError("augment_probability", probability, rule, "use hinge, for example")
        if self.augment_target != Game.augment_target and not is_adaptive:
            rule, remedy = "needs an adaptive probability", "give --augment_probability=adaptive"
            raise ArgumentError("augment_target", self.augment_target, rule, remedy)


def make_game(settings: Game, game_class: type[gan_core.Game]) -> gan_core.Game:
    """The game of loss, penalties and augmentation.

    Args:
      settings: Names them.
      game_class: `gan_core.Game`, or its class-conditional subclass.
    """
    moved = gan_core.differentiable_augmentation("translation")
    penalties = [
        ("r1", gan_core.r1, settings.r1_weight, settings.r1_every_steps),
        ("r2", gan_core.r2, settings.r2_weight, settings.r1_every_steps),
        ("wgan_gp", gan_core.wgan_gp, settings.wgan_gp_weight, 1),
        ("consistency", gan_core.consistency(moved), settings.consistency_weight, 1),
    ]
    regularizers = [gan_core.Regularizer(*penalty) for penalty in penalties if penalty[2]]
    if settings.lecam_weight:
        regularizers.append(gan_core.lecam(settings.lecam_weight))
    labels = (settings.real_label, settings.fake_label)
    loss = gan_core.LOSSES[settings.loss](*labels if settings.loss == "non_saturating" else ())
    return game_class(loss, regularizers, _make_augmentation(settings))


def _make_augmentation(settings: Game) -> gan_core.Augment | None:
    names = list(filter(None, settings.augment.split(",")))
    if not names:
        return None
    if settings.augment_probability == _ADAPTIVE:
        probability = gan_core.AdaptiveProbability(settings.augment_target)
    else:
        probability = float(settings.augment_probability)
    return gan_core.differentiable_augmentation(*names, probability=probability)
