import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.draw import stream_seed
from gan_core.errors import ArgumentError


class Pass:
    """Outputs of a discriminator that is a formula."""

    def __init__(self, discriminate, real_images, fake_images):
        self.discriminate = discriminate
        self.real_images, self.fake_images = real_images, fake_images
        self.real_logits = discriminate(real_images)


def draw_of(batch_size):
    return gan_core.Draw(
        None,
        stream_seed(0, "test", 0),
        latents=gan_core.NormalLatents(2),
        global_batch_size=batch_size,
        replica_batch_size=batch_size,
        value_range=(-1.0, 1.0),
    )


def test_of_a_linear_discriminator_it_is_the_square_of_its_weights():
    weights = tf.constant(np.random.default_rng(0).normal(size=(4, 4, 3)), tf.float32)

    outputs = Pass(
        lambda images: tf.einsum("bhwc,hwc->b", images, weights),
        tf.ones([2, 4, 4, 3]),
        tf.zeros([5, 4, 4, 3]),
    )
    expected = float(tf.reduce_sum(weights**2))
    np.testing.assert_allclose(gan_core.r1(outputs, None), [expected] * 2, rtol=1e-6)
    np.testing.assert_allclose(gan_core.r2(outputs, None), [expected] * 5, rtol=1e-6)


def test_wgan_gp_of_a_linear_discriminator_is_how_far_its_norm_is_from_one(one_device):
    """And between the images, at places of each pair's own, for one that is quadratic."""
    weights = tf.constant(np.random.default_rng(0).normal(size=(4, 4, 3)), tf.float32)
    real, fake = tf.ones([4, 4, 4, 3]), -tf.ones([4, 4, 4, 3])
    linear = Pass(lambda images: tf.einsum("bhwc,hwc->b", images, weights), real, fake)
    norm = float(tf.sqrt(tf.reduce_sum(weights**2)))

    def penalty(outputs):
        return one_device.run(lambda: gan_core.wgan_gp(outputs, draw_of(4)))

    np.testing.assert_allclose(penalty(linear), [(norm - 1) ** 2] * 4, rtol=1e-5)
    quadratic = Pass(lambda images: tf.reduce_sum(images**2, axis=[1, 2, 3]), real, fake)
    places = one_device.run(lambda: 1.0 - 2.0 * draw_of(4).uniform("wgan_gp"))
    norms = 2.0 * np.abs(places) * np.sqrt(48.0)
    assert len(set(norms)) == 4
    np.testing.assert_allclose(penalty(quadratic), (norms - 1) ** 2, rtol=1e-4)


def test_consistency_is_the_square_of_what_augmenting_does_to_the_logit():
    images = tf.reshape(tf.range(3.0), [3, 1, 1, 1])
    outputs = Pass(lambda x: tf.reduce_sum(3.0 * x, axis=[1, 2, 3]), images, images)
    penalty = gan_core.consistency(lambda images, draw, name: images + 2.0)
    np.testing.assert_allclose(penalty(outputs, None), [36.0] * 3)


def test_weights_by_gamma_are_those_of_the_papers():
    """Mescheder et al. 2018: gamma / 2 times the mean of the squared norms."""
    lazy = gan_core.Regularizer.of_gamma("r1", gan_core.r1, 10.0, every_updates=16)
    assert lazy == gan_core.Regularizer("r1", gan_core.r1, 5.0, 16)


class FixedLogits:
    real_logits = tf.constant([1.0, 3.0])
    fake_logits = tf.constant([-2.0, 0.0])


def test_lecam_compares_with_the_running_means_of_the_other_kind():
    lecam = gan_core.lecam(0.3, decay=0.75)
    draw = draw_of(2)
    draw.state = {name: tf.constant(value) for name, value in lecam.state.initial.items()}
    np.testing.assert_array_equal(lecam.penalty(FixedLogits, draw), [0.0, 0.0])
    real = fake = 0.0
    for number in range(1, 8):
        means = {"real_logit": tf.constant(float(number)), "fake_logit": tf.constant(-2.0 * number)}
        draw.state = lecam.state.update(draw.state, means, 2)
        share = max(0.25, 1 / number)
        real += share * (number - real)
        fake += share * (-2.0 * number - fake)
        np.testing.assert_allclose(
            lecam.penalty(FixedLogits, draw),
            [(1.0 - fake) ** 2 + (-2.0 - real) ** 2, (3.0 - fake) ** 2 + (0.0 - real) ** 2],
            rtol=1e-5,
        )


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_lecam_refuses_a_mean_that_does_not_run(decay):
    with pytest.raises(ArgumentError, match=r"`decay` \(.*\) must be in \[0, 1\)"):
        gan_core.lecam(0.3, decay)


def test_each_example_has_its_own():
    images = tf.reshape(tf.range(3.0), [3, 1, 1, 1])
    outputs = Pass(lambda x: tf.reduce_sum(x**3, axis=[1, 2, 3]), images, images)
    penalty = gan_core.r1(outputs, None)
    np.testing.assert_allclose(penalty, [(3 * x**2) ** 2 for x in range(3)])


@pytest.mark.parametrize(
    ("weight", "every", "name"), [(0.0, 1, "weight"), (1.0, 0, "every_updates")]
)
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
