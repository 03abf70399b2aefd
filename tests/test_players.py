import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError
from gan_core.networks import call_network
from gan_core.players import Player


def moving_network(strategy):
    with strategy.scope():
        layer = keras.layers.BatchNormalization(momentum=0.5)
        return keras.Sequential([keras.Input((1,)), layer]), layer


def test_replicas_keep_the_mean_of_what_each_has_seen(mirrored):
    network, layer = moving_network(mirrored)

    def replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        player = Player(network, iter(()))
        player(tf.fill([4, 1], 2.0 * tf.cast(number, tf.float32)))
        player.write_state()

    mirrored.run(replica)
    copies = mirrored.experimental_local_results(layer.moving_mean.value)
    assert [float(copy.numpy()[0]) for copy in copies] == [0.5, 0.5]


def test_state_goes_from_call_to_call_and_is_written_only_when_asked(one_device):
    network, layer = moving_network(one_device)
    player = Player(network, iter(()))
    player(tf.fill([4, 1], 4.0))
    with player.without_state_updates():
        player(tf.fill([4, 1], 100.0))
    player(tf.fill([4, 1], 4.0))
    assert float(layer.moving_mean[0]) == 0.0
    one_device.run(player.write_state)
    assert float(layer.moving_mean[0]) == pytest.approx(3.0)


def conditional_networks(strategy):
    with strategy.scope():
        return conditional_generator(), conditional_discriminator()


def conditional_generator():
    latents, labels = keras.Input((5,)), keras.Input((), name="labels", dtype="int32")
    table = keras.layers.Embedding(4, 5)
    mixed = keras.layers.Multiply()([latents, table(labels)])
    flat = keras.layers.Dense(8 * 8 * 3, activation="tanh")(mixed)
    return keras.Model([latents, labels], keras.layers.Reshape((8, 8, 3))(flat))


def conditional_discriminator():
    images, labels = keras.Input((8, 8, 3)), keras.Input((), name="labels", dtype="int32")
    features = keras.layers.Dense(4, name="features")(keras.layers.Flatten()(images))
    table = keras.layers.Embedding(4, 4)
    logits = keras.layers.Dot(1)([features, table(labels)])
    return keras.Model([images, labels], logits)


class Conditional(gan_core.Game):
    def forward(self, players, draw):
        return gan_core.Outputs(players, draw, labels=draw.batch.labels % 4)


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic"])
@pytest.mark.parametrize("schedule", [gan_core.simultaneous(), gan_core.alternating(2)])
def test_conditional_games_train_under_each_schedule(one_device, loss, schedule):
    generator, discriminator = conditional_networks(one_device)
    regularizers = [gan_core.Regularizer("r1", gan_core.r1, 0.1, every_updates=2)]
    game = Conditional(getattr(gan_core, loss)(), regularizers)
    gan = tiny_gan.build_gan(
        one_device, generator=generator, discriminator=discriminator, game=game
    )
    kernels = [generator.layers[-2].kernel, discriminator.get_layer("features").kernel]
    before = [kernel.numpy() for kernel in kernels]
    gan_core.train(gan, tiny_gan.batches(gan, one_device), total_steps=3, schedule=schedule)
    assert all((a != kernel.numpy()).any() for a, kernel in zip(before, kernels, strict=True))
    pictures = gan.sample(gan.latents(2, [0, 1]), labels=tf.constant([1, 3]))
    assert pictures.shape == (2, 8, 8, 3)


def test_a_condition_that_the_network_does_not_know_is_refused(one_device):
    generator, discriminator = conditional_networks(one_device)
    gan = tiny_gan.build_gan(one_device, generator=generator, discriminator=discriminator)
    with pytest.raises(ArgumentError, match=r"`conditions` \(none\) must be the further inputs of"):
        gan.update_both(next(tiny_gan.batches(gan, one_device)))


def test_a_generator_update_without_a_batch_says_so_when_the_game_wants_one(one_device):
    gan = tiny_gan.build_gan(one_device, game=gan_core.Game(gan_core.relativistic()))
    words = r"`batch` \(None\) is needed by this game, .*update_generator\(batch\)"
    with pytest.raises(ArgumentError, match=words):
        gan.update_generator()
    gan.update_generator(next(tiny_gan.batches(gan, one_device)))
    assert int(gan.images_seen) == 0


def test_what_the_discriminator_sees_is_augmented_in_losses_and_penalties_alike(one_device):
    seen = []

    def augment(images, draw, name):
        seen.append(name)
        return images * draw.uniform(name, (1, 1, 1))

    regularizers = [gan_core.Regularizer("r1", gan_core.r1, 1.0)]
    gan = tiny_gan.build_gan(
        one_device, game=gan_core.Game(regularizers=regularizers, augment=augment)
    )
    metrics = gan.update_both(next(tiny_gan.batches(gan, one_device)))
    assert seen == ["augment/0", "augment/1", "augment/2"]
    assert np.isfinite(float(metrics["discriminator/r1"]))


def test_losses_of_patches_are_computed_before_the_mean(one_device):
    """Mean of (D - 1)^2 over the patches, not (mean of D - 1)^2; R1 is of the mean logit."""
    with one_device.scope():
        convolution = keras.layers.Conv2D(1, 4, 4, name="patches")
        discriminator = keras.Sequential([keras.Input((8, 8, 3)), convolution])
    regularizers = [gan_core.Regularizer("r1", gan_core.r1, 1.0)]
    game = gan_core.Game(gan_core.least_squares(), regularizers, patches=True)
    gan = tiny_gan.build_gan(one_device, discriminator=discriminator, game=game)
    kernel = convolution.kernel.numpy()
    images = tf.random.stateless_uniform([8, 8, 8, 3], [0, 1], -1.0, 1.0)
    logits = discriminator(images).numpy()
    metrics = gan.update_discriminator(images)
    assert float(metrics["discriminator/real"]) == pytest.approx(np.mean((logits - 1) ** 2) / 2)
    expected = np.mean(1 / (1 + np.exp(-logits)))
    assert float(metrics["discriminator/real_probability"]) == pytest.approx(expected, rel=1e-5)
    assert float(metrics["discriminator/r1"]) == pytest.approx(np.sum(kernel**2) / 4, rel=1e-5)


def functional_dropout():
    images = keras.Input((200,))
    return keras.Model(images, keras.layers.Dropout(0.5)(images))


class SubclassedDropout(keras.Model):
    """Its `call` does not mention the mode, which Keras hands to inner layers all the same."""

    def __init__(self):
        super().__init__()
        self.dropout = keras.layers.Dropout(0.5)
        self(tf.zeros([1, 200]))

    def call(self, images):
        return self.dropout(images)


@pytest.mark.parametrize(
    "build",
    [
        functional_dropout,
        lambda: keras.Sequential([keras.Input((200,)), keras.layers.Dropout(0.5)]),
        lambda: keras.Sequential([keras.Input((200,)), functional_dropout()]),
        SubclassedDropout,
    ],
    ids=["functional", "sequential", "nested", "subclassed"],
)
def test_layers_train_in_an_update_and_infer_in_samples(build, one_device):
    """The mode reaches every layer, in each version of Keras that setup.cfg allows."""
    with one_device.scope():
        network = build()
    ones = tf.ones([1, 200])
    seeds = iter([tf.constant([1, 2], tf.int32)])
    trained = one_device.run(lambda: Player(network, seeds)(ones)).numpy()
    assert set(np.unique(trained)) == {0.0, 2.0}
    assert 50 < np.count_nonzero(trained) < 150
    np.testing.assert_array_equal(call_network(network, ones, {}, training=False), ones)
