import keras
import numpy as np
import pytest
import tensorflow as tf
import test_gan
import tiny_gan

import gan_core
from gan_core import update
from gan_core.players import Player


def scale_network():
    """x -> w x, with w = 2."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.set_weights([np.array([[2.0]], np.float32)])
    return network


def apply_gradients(tape, loss, player, optimizer):
    gradients = update._gradients(tape, loss, player, optimizer)
    return update._apply(optimizer, gradients, player.variables)


@pytest.mark.parametrize(("level", "is_finite"), [(3.0, True), (np.inf, False), (np.nan, False)])
def test_applies_the_gradient_and_says_whether_it_is_finite(level, is_finite):
    network, optimizer = scale_network(), keras.optimizers.SGD(0.5)
    optimizer.build(network.trainable_variables)
    player = Player(network, iter(()))
    with tf.GradientTape() as tape:
        tape.watch(player.weights)
        loss = tf.reduce_sum(player(tf.fill([1, 1], level)))
    check = float(apply_gradients(tape, loss, player, optimizer))
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
    assert float(apply_gradients(tape, loss, player, optimizer)) == 0.0
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
        return test_gan.batch_of(tf.fill([4, *tiny_gan.IMAGE_SHAPE], tf.cast(level, tf.float32)))

    tf.function(gan.update_discriminator, autograph=False)(mirrored.run(images))
    for a, b in zip(before, tiny_gan.values(gan.discriminator), strict=True):
        np.testing.assert_array_equal(a, b)


def test_many_passes_give_the_same_bits_in_each_run_and_trace(one_device):
    """Three passes and second derivatives: where a tape adds, the order is that of free memory."""
    penalties = {"r1": gan_core.r1, "wgan_gp": gan_core.wgan_gp}
    regularizers = [gan_core.Regularizer(*penalty, 0.5, 2) for penalty in penalties.items()]
    results = []
    for _ in range(3):
        gan = tiny_gan.build_gan(one_device, regularizers=regularizers)
        gan_core.train(
            gan,
            tiny_gan.batches(gan, one_device),
            total_steps=4,
            schedule=gan_core.alternating(2),
        )
        results.append(tiny_gan.values(gan.generator) + tiny_gan.values(gan.discriminator))
    for result in results[1:]:
        for expected, found in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(expected, found)


def test_sums_are_those_of_a_tape(one_device):
    """The passes' gradients add up to what one tape over all of them gives."""
    network, optimizer = scale_network(), keras.optimizers.SGD(1.0)
    optimizer.build(network.trainable_variables)
    player = Player(network, iter(()))
    with tf.GradientTape() as tape:
        tape.watch(player.weights)
        loss = tf.add_n([tf.reduce_sum(player(tf.fill([1, 1], x)) ** 2) for x in (1.0, 2.0, 3.0)])
    apply_gradients(tape, loss, player, optimizer)
    # d/dw of (1 + 4 + 9) w^2 at w = 2.
    assert network.get_weights()[0].item() == 2.0 - 2 * 14 * 2.0
