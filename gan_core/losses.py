"""Adversarial losses: pairs of per-example formulas on logits.

Nothing is reduced here. The step sums over the examples and divides by the global batch size,
once, so that a loss means the same on any number of replicas.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from gan_core.types import Terms


@dataclasses.dataclass(frozen=True)
class AdversarialLoss:
    """What the two networks minimise.

    Attributes:
      discriminator: (real_logits [B], fake_logits [B]) -> terms by name, each [B].
      generator: fake_logits [B] -> terms by name, each [B].
    """

    discriminator: Callable[[tf.Tensor, tf.Tensor], Terms]
    generator: Callable[[tf.Tensor], Terms]


def non_saturating() -> AdversarialLoss:
    """The non-saturating GAN loss (Goodfellow et al. 2014, section 3), on logits.

    The discriminator minimises the sigmoid cross-entropy of real logits with ones plus that of
    fake logits with zeros; the generator that of fake logits with ones:

        real = log(1 + exp(-d_real)),  fake = log(1 + exp(d_fake))
        adversarial = log(1 + exp(-d_fake))

    Each value is finite for any finite logit. Terms: `real`, `fake`; `adversarial`.
    """

    def discriminator(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> Terms:
        return {
            "real": _cross_entropy(real_logits, tf.ones_like(real_logits)),
            "fake": _cross_entropy(fake_logits, tf.zeros_like(fake_logits)),
        }

    def generator(fake_logits: tf.Tensor) -> Terms:
        return {"adversarial": _cross_entropy(fake_logits, tf.ones_like(fake_logits))}

    return AdversarialLoss(discriminator, generator)


def wasserstein() -> AdversarialLoss:
    """The Wasserstein loss (Arjovsky et al. 2017, equations 2 and 3): logits are critic scores.

        real = -d_real,  fake = d_fake;  adversarial = -d_fake

    It needs a critic kept Lipschitz from outside. Terms: `real`, `fake`; `adversarial`.
    """
    return AdversarialLoss(
        discriminator=lambda real_logits, fake_logits: {"real": -real_logits, "fake": fake_logits},
        generator=lambda fake_logits: {"adversarial": -fake_logits},
    )


def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
