"""Games of a few lines: each trains, goes on exactly, and does on two devices what one does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from sizes import sampled

import gan_core

pytestmark = pytest.mark.slow


def own_loss():
    """The variational bound of the KL divergence (Nowozin et al. 2016, f-GAN, table 6)."""
    return gan_core.AdversarialLoss(
        discriminator=lambda logits: {
            "real": -logits.real_logits,
            "fake": tf.exp(tf.tanh(logits.fake_logits) - 1.0),
        },
        generator=lambda logits: {"adversarial": -tf.exp(tf.tanh(logits.fake_logits) - 1.0)},
    )


def drift(outputs, draw):
    """Keeps scores near 0 (Karras et al. 2018, appendix A.1); here under noise on the images."""
    real = outputs.real_images
    return outputs.discriminate(real + 0.1 * draw.normal("drift", real.shape[1:])) ** 2


def generator_first(gan, batches):
    """A schedule of one's own: the discriminator answers the generator's move."""
    metrics = gan.update_generator()
    return metrics | gan.update_discriminator(next(batches))


GAMES = {
    "hinge": lambda: gan_core.Game(gan_core.hinge()),
    "own_loss": lambda: gan_core.Game(own_loss()),
    "own_penalty": lambda: gan_core.Game(regularizers=[gan_core.Regularizer("drift", drift, 0.1)]),
    "augmented": lambda: gan_core.Game(
        augment=gan_core.differentiable_augmentation("colour", "translation", "cutout")
    ),
}
SCHEDULES = {
    "simultaneous": gan_core.simultaneous(),
    "alternating": gan_core.alternating(2),
    "generator_first": generator_first,
}
PLAYED = pytest.mark.parametrize(
    ("name", "schedule"), [(name, schedule) for name in GAMES for schedule in SCHEDULES]
)


def build(name, strategy):
    return tiny_gan.build_gan(strategy, batch_norm=False, game=GAMES[name]())


def train(gan, schedule, strategy, total_steps):
    gan_core.train(
        gan,
        tiny_gan.batches(gan, strategy),
        total_steps=total_steps,
        schedule=SCHEDULES[schedule],
    )


def weights(gan):
    both = (*tiny_gan.values(gan.generator), *tiny_gan.values(gan.discriminator))
    return np.concatenate([np.ravel(value) for value in both])


@PLAYED
@pytest.mark.parametrize("precision", sampled(["float32", "mixed_bfloat16"], ["float32"]))
def test_goes_on_exactly(name, schedule, precision, one_device, tmp_path):
    keras.config.set_dtype_policy(precision)
    try:
        whole, later = build(name, one_device), build(name, one_device)
    finally:
        keras.config.set_dtype_policy("float32")
    start = weights(whole)
    train(whole, schedule, one_device, 2)
    checkpoints = gan_core.run.Checkpoints(tmp_path, whole)
    checkpoints.save({})
    checkpoints.wait()
    train(whole, schedule, one_device, 4)
    gan_core.run.Checkpoints(tmp_path, later).restore_latest()
    train(later, schedule, one_device, 4)
    np.testing.assert_array_equal(weights(later), weights(whole))
    assert np.isfinite(weights(whole)).all()
    assert np.mean(weights(whole) != start) > 0.9


@PLAYED
@pytest.mark.usefixtures("float64")
def test_two_devices_do_what_one_does(name, schedule, one_device, mirrored):
    results = []
    for strategy in (one_device, mirrored):
        gan = build(name, strategy)
        train(gan, schedule, strategy, 20)
        results.append(weights(gan))
    one, two = results
    assert one.dtype == np.float64
    assert np.linalg.norm(two - one) / np.linalg.norm(one) < 1e-9
