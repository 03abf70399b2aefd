import keras
import numpy as np
import pytest
import tensorflow as tf
import test_step
import tiny_gan

from gan_core import network_update
from gan_core.players import Player


def scale_network():
    """x -> w x, with w = 2."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.set_weights([np.array([[2.0]], np.float32)])
    return network


@pytest.mark.parametrize(("level", "is_finite"), [(3.0, True), (np.inf, False), (np.nan, False)])
def test_applies_the_gradient_and_says_whether_it_is_finite(level, is_finite):
    network, optimizer = scale_network(), keras.optimizers.SGD(0.5)
    optimizer.build(network.trainable_variables)
    player = Player(network, iter(()))
    with tf.GradientTape() as tape:
        tape.watch(player.weights)
        loss = tf.reduce_sum(player(tf.fill([1, 1], level)))
    check = float(network_update.apply_gradients(tape, loss, player, optimizer))
    if is_finite:
        assert check == 0.0
        assert network.get_weights()[0].item() == 2.0 - 0.5 * level
    else:
        assert np.isnan(check)


def test_a_gradient_that_is_large_but_finite_is_no_failure():
    """Of 1e25, whose square is no float32."""
    network, optimizer = scale_network(), keras.optimizers.SGD(1e-25)
    optimizer.build(network.trainable_variables)
    player = Player(network, iter(()))
    with tf.GradientTape() as tape:
        tape.watch(player.weights)
        loss = tf.reduce_sum(player(tf.fill([1, 1], 1e25)))
    assert float(network_update.apply_gradients(tape, loss, player, optimizer)) == 0.0
    assert network.get_weights()[0].item() == 1.0


def test_an_overflow_on_one_replica_skips_the_update_on_all(mirrored):
    gan = tiny_gan.build_gan(
        mirrored,
        batch_norm=False,
        optimizer=lambda: keras.optimizers.LossScaleOptimizer(tiny_gan.adam()),
    )
    gan.images_seen.assign(8)  # the range of a run's first images is checked
    before = tiny_gan.values(gan.discriminator)

    def images():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        level = tf.where(tf.equal(replica, 1), np.inf, 0.5)
        return test_step.batch_of(tf.fill([4, *tiny_gan.IMAGE_SHAPE], tf.cast(level, tf.float32)))

    tf.function(gan.update_discriminator, autograph=False)(mirrored.run(images))
    for a, b in zip(before, tiny_gan.values(gan.discriminator), strict=True):
        np.testing.assert_array_equal(a, b)
