"""Differentiable augmentation of the images that the discriminator sees, real and fake alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from gan_core.choices import AUGMENTATIONS
from gan_core.draw import Draw
from gan_core.errors import ArgumentError, check_known, check_positive
from gan_core.game_state import GameState, Numbers
from gan_core.losses import Logits
from gan_core.players import Augment
from gan_core.types import Terms

_SHIFT = 1 / 8
_CUTOUT = 1 / 2
_PROBABILITY = "augment_probability"


@dataclasses.dataclass(frozen=True)
class AdaptiveProbability:
    """A probability that rises while the discriminator overfits (Karras et al. 2020, ADA).

    r, the mean of sign(D(real)), measures overfitting: 0 if the discriminator cannot tell real
    images from fakes, 1 if it has memorised them all. Each update moves the probability up if r is
    above the target and down if it is below, between 0 and 1. (The paper moves it after every
    fourth.) It needs a loss in which a logit of 0 means undecided: non-saturating, minimax, hinge.
    Logged: `game/augment_probability`, `discriminator/real_sign`.

    Attributes:
      target: Target of r, in (-1, 1).
      num_images: Real images in which the probability can rise from 0 to 1.

    Raises:
      ArgumentError: If one is out of its range.
    """

    target: float = 0.6
    num_images: int = 500_000

    def __post_init__(self) -> None:
        check_positive("num_images", self.num_images)
        if not -1 < self.target < 1:
            raise ArgumentError("target", self.target, "must be between -1 and 1", "use 0.6")

    @property
    def state(self) -> GameState:
        """The probability, initially 0."""

        def update(numbers: Numbers, means: Numbers, num_images: int) -> Numbers:
            move = tf.sign(means["real_sign"] - self.target) * (num_images / self.num_images)
            return {_PROBABILITY: tf.clip_by_value(numbers[_PROBABILITY] + move, 0.0, 1.0)}

        def observe(outputs: Logits) -> Terms:
            return {"real_sign": tf.sign(outputs.real_logits)}

        return GameState({_PROBABILITY: 0.0}, update, observe)


def differentiable_augmentation(
    *names: str, probability: float | AdaptiveProbability = 1.0
) -> Augment:
    """DiffAugment (Zhao et al. 2020, section 3), independently for each image.

    It keeps a discriminator from memorising small data sets. Because it changes real and fake
    images alike, generators do not learn it. Use translation and cutout for digits.

    Args:
      *names: Augmentations, in this order. `colour`: brightness plus -0.5 to 0.5, saturation times
        0 to 2, contrast times 0.5 to 1.5. `translation`: by up to an eighth of each side, padded
        with zeros. `cutout`: a square of half of each side, at a random place, becomes zero.
        `flip`: half of the images are mirrored left to right; generators may learn this one.
      probability: Probability of each augmentation for each image, in [0, 1]; or an adaptive one.

    Returns:
      (images [b, H, W, C], draw, stream name) -> images of the same shape and type.

    Raises:
      ArgumentError: If a name is not recognised, none is given, or `probability` is out of range.
    """
    for name in names or ("nothing",):
        check_known("augment", name, AUGMENTATIONS)
    if not isinstance(probability, AdaptiveProbability) and not 0 <= probability <= 1:
        raise ArgumentError("probability", probability, "must be in [0, 1]", "use 1.0 for always")
    return _Augmentation(names, probability)


@dataclasses.dataclass(frozen=True)
class _Augmentation:
    names: tuple[str, ...]
    probability: float | AdaptiveProbability

    @property
    def state(self) -> GameState | None:
        """The state of an adaptive probability; None for a constant one."""
        return getattr(self.probability, "state", None)

    def __call__(self, images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
        probability = self.probability
        if isinstance(probability, AdaptiveProbability):
            if _PROBABILITY not in draw.state:
                raise ArgumentError(
                    "probability",
                    probability,
                    "needs the game's state",
                    "pass the augmentation to the game: gan_core.Game(augment=...)",
                )
            probability = draw.state[_PROBABILITY]
        for name in self.names:
            augmented = _BY_NAME[name](images, draw, f"{stream}/{name}")
            if self.probability != 1.0:
                is_due = draw.uniform(f"{stream}/{name}/is_due", (1, 1, 1)) < probability
                augmented = tf.where(is_due, augmented, images)
            images = augmented
        return images


def _colour(images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
    shape = (1, 1, 1)
    brightness = draw.uniform(f"{stream}/brightness", shape, -0.5, 0.5)
    saturation = draw.uniform(f"{stream}/saturation", shape, 0.0, 2.0)
    contrast = draw.uniform(f"{stream}/contrast", shape, 0.5, 1.5)
    images += tf.cast(brightness, images.dtype)
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = (images - grey) * tf.cast(saturation, images.dtype) + grey
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return (images - mean) * tf.cast(contrast, images.dtype) + mean


def _translation(images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
    for axis, side in ((1, "down"), (2, "right")):
        size = images.shape[axis]
        most = round(size * _SHIFT)
        shifts = _whole_numbers(draw, f"{stream}/{side}", -most, most)
        # One line of zeros on each side, the source of all pixels from outside of the image.
        padding = [[0, 0]] * axis + [[1, 1]] + [[0, 0]] * (3 - axis)
        sources = tf.clip_by_value(tf.range(size) - shifts[:, None] + 1, 0, size + 1)
        images = tf.gather(tf.pad(images, padding), sources, axis=axis, batch_dims=1)
    return images


def _cutout(images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
    inside = tf.ones([1, 1, 1, 1], tf.bool)
    for axis, side in ((1, "down"), (2, "right")):
        size = images.shape[axis]
        length = round(size * _CUTOUT)
        centres = _whole_numbers(draw, f"{stream}/{side}", 0, size - length % 2)
        offsets = tf.range(size) - centres[:, None] + length // 2
        shape = [-1, size, 1, 1] if axis == 1 else [-1, 1, size, 1]
        inside &= tf.reshape((offsets >= 0) & (offsets < length), shape)
    return tf.where(inside, tf.zeros([], images.dtype), images)


def _flip(images: tf.Tensor, draw: Draw, stream: str) -> tf.Tensor:
    return tf.where(draw.uniform(stream, (1, 1, 1)) < 0.5, tf.reverse(images, [2]), images)


def _whole_numbers(draw: Draw, stream: str, low: int, high: int) -> tf.Tensor:
    """Integers, int32 [b], uniform from `low` to `high`, both included."""
    return tf.cast(tf.floor(draw.uniform(stream, (), float(low), high + 1.0)), tf.int32)


_BY_NAME: dict[str, Callable[[tf.Tensor, Draw, str], tf.Tensor]] = {
    "colour": _colour,
    "translation": _translation,
    "cutout": _cutout,
    "flip": _flip,
}
