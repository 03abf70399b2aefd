"""Adversarial losses: pairs of per-example formulas on logits.

Nothing is reduced here: the update sums over examples and divides by the global batch size, so that
a loss means the same on any number of replicas. Losses with a logarithm are finite for any finite
logit. In the formulas `d_real` and `d_fake` are the discriminator's logits.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from etils import epy

from gan_core.errors import ArgumentError

# Programs list the losses in their help before TensorFlow, whose import takes seconds.
with epy.lazy_imports():
    import tensorflow as tf
if TYPE_CHECKING:
    from gan_core.types import Terms


class Logits(Protocol):
    """The inputs of a loss, for example `Outputs`; a logit that no loss reads is not computed."""

    @property
    def real_logits(self) -> tf.Tensor:
        """Floats [b]; [b, patches] in a game of patches."""

    @property
    def fake_logits(self) -> tf.Tensor:
        """Floats [b]; [b, patches] in a game of patches."""


@dataclasses.dataclass(frozen=True)
class AdversarialLoss:
    """The pair of losses that the two networks minimise.

    Attributes:
      discriminator: Maps `Logits` to terms by name, floats of the shape of the logits.
      generator: The same for the generator.
    """

    discriminator: Callable[[Logits], Terms]
    generator: Callable[[Logits], Terms]


def non_saturating(real_label: float = 1.0, fake_label: float = 0.0) -> AdversarialLoss:
    """The non-saturating GAN loss (Goodfellow et al. 2014, section 3).

    The discriminator minimises the sigmoid cross-entropy of real logits with ones plus that of
    fake logits with zeros; the generator that of fake logits with ones:

        real = log(1 + exp(-d_real)),  fake = log(1 + exp(d_fake));
        adversarial = log(1 + exp(-d_fake))

    Args:
      real_label: Target of the discriminator for real images; 0.9 is one-sided label smoothing
        (Salimans et al. 2016, section 3.4).
      fake_label: Its target for fakes; a value above 0 smooths that side too, which moves the
        optimal discriminator away from the ratio of densities.

    Returns:
      Terms `real`, `fake`; `adversarial`.

    Raises:
      ArgumentError: If the labels are not 0 <= fake_label < real_label <= 1.
    """
    if not 0 <= fake_label < real_label <= 1:
        raise ArgumentError(
            "real_label",
            real_label,
            f"must be above `fake_label` ({fake_label}), both in [0, 1]",
            "use 0.9 and 0.0, for example",
        )

    def discriminator(logits: Logits) -> Terms:
        return {
            "real": _cross_entropy(logits.real_logits, real_label),
            "fake": _cross_entropy(logits.fake_logits, fake_label),
        }

    return AdversarialLoss(
        discriminator=discriminator,
        generator=lambda logits: {"adversarial": _cross_entropy(logits.fake_logits, 1.0)},
    )


def minimax() -> AdversarialLoss:
    """The saturating loss (Goodfellow et al. 2014, equation 1).

        real = log(1 + exp(-d_real)),  fake = log(1 + exp(d_fake));  adversarial = -fake

    Its gradient vanishes where the discriminator is confident.
    Terms: `real`, `fake`; `adversarial`.
    """
    return AdversarialLoss(
        discriminator=non_saturating().discriminator,
        generator=lambda logits: {"adversarial": -_cross_entropy(logits.fake_logits, 0.0)},
    )


def hinge() -> AdversarialLoss:
    """The hinge loss (Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17).

        real = max(0, 1 - d_real),  fake = max(0, 1 + d_fake);  adversarial = -d_fake

    Terms: `real`, `fake`; `adversarial`.
    """
    return AdversarialLoss(
        discriminator=lambda logits: {
            "real": tf.nn.relu(1.0 - logits.real_logits),
            "fake": tf.nn.relu(1.0 + logits.fake_logits),
        },
        generator=lambda logits: {"adversarial": -logits.fake_logits},
    )


def least_squares() -> AdversarialLoss:
    """The least squares loss (Mao et al. 2017, equation 9, with labels 0 and 1).

        real = (d_real - 1)^2 / 2,  fake = d_fake^2 / 2;  adversarial = (d_fake - 1)^2 / 2

    Terms: `real`, `fake`; `adversarial`.
    """
    return AdversarialLoss(
        discriminator=lambda logits: {
            "real": 0.5 * (logits.real_logits - 1.0) ** 2,
            "fake": 0.5 * logits.fake_logits**2,
        },
        generator=lambda logits: {"adversarial": 0.5 * (logits.fake_logits - 1.0) ** 2},
    )


def wasserstein() -> AdversarialLoss:
    """The Wasserstein loss (Arjovsky et al. 2017, equations 2 and 3): logits are critic scores.

        real = -d_real,  fake = d_fake;  adversarial = -d_fake

    The critic must be kept Lipschitz by other means, for example `wgan_gp`.
    Terms: `real`, `fake`; `adversarial`.
    """
    return AdversarialLoss(
        discriminator=lambda logits: {"real": -logits.real_logits, "fake": logits.fake_logits},
        generator=lambda logits: {"adversarial": -logits.fake_logits},
    )


def relativistic() -> AdversarialLoss:
    """The relativistic pairing loss (Jolicoeur-Martineau 2019; R3GAN, Huang et al. 2024, eq. 2).

        relativistic = log(1 + exp(d_fake - d_real));
        adversarial = log(1 + exp(d_real - d_fake))

    Each fake is compared with one real image, so the generator's update needs real images
    too. R3GAN adds R1 and R2. Terms: `relativistic`; `adversarial`.
    """
    return AdversarialLoss(
        discriminator=lambda logits: {
            "relativistic": tf.nn.softplus(logits.fake_logits - logits.real_logits)
        },
        generator=lambda logits: {
            "adversarial": tf.nn.softplus(logits.real_logits - logits.fake_logits)
        },
    )


def _cross_entropy(logits: tf.Tensor, label: float) -> tf.Tensor:
    """-label log(sigmoid(logits)) - (1 - label) log(1 - sigmoid(logits)).

    TensorFlow's implementation uses the logits four times, and its gradient adds the four parts in
    an order that varies from run to run; this one uses them at most twice.
    """
    terms = [(label, -logits), (1.0 - label, logits)]
    parts = [weight * tf.nn.softplus(logit) for weight, logit in terms if weight]
    return functools.reduce(tf.add, parts)


LOSSES: Mapping[str, Callable[..., AdversarialLoss]] = {
    maker.__name__: maker
    for maker in (non_saturating, minimax, hinge, least_squares, wasserstein, relativistic)
}
"""The functions above by name."""
