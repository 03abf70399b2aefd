import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError


def test_of_a_linear_discriminator_it_is_the_square_of_its_weights():
    weights = tf.constant(np.random.default_rng(0).normal(size=(4, 4, 3)), tf.float32)

    def discriminate(images):
        return tf.einsum("bhwc,hwc->b", images, weights)

    real, fake = tf.ones([2, 4, 4, 3]), tf.zeros([5, 4, 4, 3])
    expected = float(tf.reduce_sum(weights**2))
    np.testing.assert_allclose(gan_core.r1(discriminate, real, fake), [expected] * 2, rtol=1e-6)
    np.testing.assert_allclose(gan_core.r2(discriminate, real, fake), [expected] * 5, rtol=1e-6)


def test_each_example_has_its_own():
    images = tf.reshape(tf.range(3.0), [3, 1, 1, 1])
    penalty = gan_core.r1(lambda x: tf.reduce_sum(x**3, axis=[1, 2, 3]), images, images)
    np.testing.assert_allclose(penalty, [(3 * x**2) ** 2 for x in range(3)])


@pytest.mark.parametrize(("weight", "every", "name"), [(0.0, 1, "weight"), (1.0, 0, "every_steps")])
def test_refuses(weight, every, name):
    with pytest.raises(ArgumentError, match=rf"`{name}` \(0.*\) must be above 0"):
        gan_core.Regularizer("r1", gan_core.r1, weight, every)


def linear_gan(strategy, every_steps):
    """A linear discriminator, whose R1 is the square of its weights, and a frozen pace."""
    with strategy.scope():
        discriminator = keras.Sequential(
            [keras.Input(tiny_gan.IMAGE_SHAPE), keras.layers.Flatten(), keras.layers.Dense(1)]
        )
    return tiny_gan.build_gan(
        strategy,
        batch_norm=False,
        optimizer=lambda: keras.optimizers.SGD(0.0),
        discriminator=discriminator,
        regularizers=[gan_core.Regularizer("r1", gan_core.r1, 0.5, every_steps)],
    )


@pytest.mark.parametrize("update", ["update_both", "update_discriminator"])
def test_a_lazy_one_is_due_every_so_often_and_the_same_on_average(one_device, update):
    gan = linear_gan(one_device, every_steps=3)
    kernel = gan.discriminator.trainable_variables[0].numpy()
    batches = tiny_gan.batches(gan, one_device)
    step = tf.function(lambda batch: getattr(gan, update)(batch))
    terms = []
    for _ in range(6):
        metrics = step(next(batches))
        terms.append(float(metrics["discriminator/r1"]))
        total = sum(float(metrics[f"discriminator/{name}"]) for name in ("real", "fake", "r1"))
        assert float(metrics["discriminator/loss"]) == pytest.approx(total, rel=1e-6)
    expected = 0.5 * float(np.sum(kernel**2))
    np.testing.assert_allclose(terms, [3 * expected, 0, 0] * 2, rtol=1e-5)


def test_it_moves_no_averages_of_batch_normalization(one_device):
    """With and without a penalty too weak to matter, the moving statistics are equal."""
    values = []
    for weight in (None, 1e-30):
        regularizers = [gan_core.Regularizer("r1", gan_core.r1, weight)] if weight else []
        gan = tiny_gan.build_gan(one_device, regularizers=regularizers)
        gan_core.train(gan, tiny_gan.batches(gan, one_device), total_steps=2)
        values.append(tiny_gan.values(gan.discriminator))
    for a, b in zip(*values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
