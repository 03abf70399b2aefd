import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError


class Shades(keras.Model):
    """Each class is a shade of its own; the latent's first number decides between two halves."""

    def __init__(self):
        super().__init__()
        self.scale = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")

    def call(self, latents, labels):
        shades = tf.cast(labels, tf.float32)[:, None] / 10.0
        side = tf.cast(latents[:, :1] > 0, tf.float32)
        images = self.scale(shades) - 0.5 * side
        return tf.broadcast_to(images[:, None, None, :], [tf.shape(labels)[0], 8, 8, 3])


@pytest.fixture
def gan(one_device):
    with one_device.scope():
        generator = Shades()
        generator(tf.zeros([1, tiny_gan.LATENT_SIZE]), labels=tf.zeros([1], tf.int64))
    return tiny_gan.build_gan(one_device, generator=generator)


def test_each_row_is_a_class_and_each_column_a_latent(gan):
    picture = gan_core.run.samples_by_class(gan, 3, num_columns=4)()
    assert picture.shape == (3 * 8, 4 * 8, 3)
    cells = picture[::8, ::8, 0].astype(float)
    latents = gan.latents(4, gan_core.stream_seed(gan.seed, "sample_latents", 0))
    sides = np.asarray(latents[:, 0] > 0, float)
    expected = np.arange(3)[:, None] / 10 - 0.5 * sides
    np.testing.assert_allclose(cells, (expected + 1) * 127.5, atol=0.51)


def test_any_inputs_and_conditions_can_be_shown(gan):
    latents, labels = tf.zeros([2, tiny_gan.LATENT_SIZE]), tf.constant([0, 5], tf.int64)
    picture = gan_core.run.samples_of(gan, latents, num_columns=2, labels=labels)()
    np.testing.assert_allclose(picture[0, ::8, 0], [127.5, 191.25], atol=0.51)


def test_refuses_no_classes_and_a_gan_that_draws_no_latents(gan):
    with pytest.raises(ArgumentError, match=r"`num_classes` \(0\) must be above 0"):
        gan_core.run.samples_by_class(gan, 0)
    gan.latents = None
    with pytest.raises(ArgumentError, match=r"`latents` \(None\) must be a distribution"):
        gan_core.run.SampleGrid(gan, gan_core.run.Writer(), "tiny")
