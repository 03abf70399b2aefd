import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from test_gan import batch_of

import gan_core
from gan_core.optimizers import Adam, RMSprop


def variables():
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (5,), ()]
    return [keras.Variable(np.asarray(rng.normal(size=s), np.float32)) for s in shapes]


OF_BOTH = [
    {"weight_decay": 0.1},
    {"clipnorm": 0.5},
    {"clipvalue": 0.1},
    {"global_clipnorm": 0.5},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "weight_decay": 0.1, "global_clipnorm": 0.5},
    {"learning_rate": keras.optimizers.schedules.CosineDecay(0.01, 40)},
]
OF_ADAM = [{}, {"beta_1": 0.5}, {"beta_2": 0.9}, {"epsilon": 1e-3}, {"amsgrad": True}]


@pytest.mark.parametrize(
    ("kinds", "arguments"),
    [((keras.optimizers.Adam, Adam), arguments) for arguments in OF_ADAM + OF_BOTH]
    + [((keras.optimizers.RMSprop, RMSprop), arguments) for arguments in OF_BOTH],
)
def test_equals_keras_over_many_steps(kinds, arguments):
    results = []
    for kind in kinds:
        optimizer, weights = kind(**{"learning_rate": 0.01} | arguments), variables()
        optimizer.build(weights)
        rng = np.random.default_rng(1)
        for _ in range(50):
            gradients = [tf.constant(rng.normal(size=w.shape), tf.float32) for w in weights]
            optimizer.apply(gradients, weights)
        results.append([w.numpy() for w in weights] + [v.numpy() for v in optimizer.variables])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("float64")
def test_equals_the_formula_in_float64():
    """Keras's own rounds its betas to float32 here."""
    rng = np.random.default_rng(0)
    weights = keras.Variable(rng.normal(size=5))
    optimizer = Adam(0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    optimizer.build([weights])
    expected, mean, square = weights.numpy(), np.zeros(5), np.zeros(5)
    for step in range(1, 51):
        gradient = rng.normal(size=5)
        optimizer.apply([tf.constant(gradient)], [weights])
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        expected -= rate * mean / (np.sqrt(square) + 1e-7)
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-13)


def test_sparse_gradients_equal_keras():
    results = []
    for kind in (keras.optimizers.Adam, Adam):
        table = keras.Variable(np.ones((4, 2), np.float32))
        gradient = tf.IndexedSlices(tf.ones([2, 2]), tf.constant([0, 2]), tf.constant([4, 2]))
        optimizer = kind(0.1)
        optimizer.build([table])
        optimizer.apply([gradient], [table])
        results.append(table.numpy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


def test_is_saved_as_a_keras_optimizer():
    config = keras.saving.serialize_keras_object(Adam(0.3, beta_1=0.5))
    loaded = keras.saving.deserialize_keras_object(config)
    assert isinstance(loaded, Adam)
    assert loaded.beta_1 == 0.5


class SameLatents:
    """The same for all examples and updates."""

    size = tiny_gan.LATENT_SIZE

    def __call__(self, num_latents, seed):
        return tf.tile(tf.cos(tf.range(float(self.size)))[None], [num_latents, 1])


def sensitive(**arguments):
    """Adam whose steps are nearly in proportion to the gradients: at its own epsilon none are."""
    return lambda: Adam(0.05, beta_1=0.5, epsilon=0.1, **arguments)


def trained(strategy, optimizer, batches, **arguments):
    """A step after updates of both networks on batches of different images."""
    gan = tiny_gan.build_gan(
        strategy,
        batch_norm=False,
        optimizer=optimizer,
        latents=SameLatents(),
        global_batch_size=len(batches[0]),
        **arguments,
    )
    update = tf.function(gan.update_both, autograph=False)
    for images in batches:
        batch = strategy.experimental_distribute_values_from_function(
            lambda context, images=images: batch_of(
                np.split(images, strategy.num_replicas_in_sync)[context.replica_id_in_sync_group]
            )
        )
        metrics = update(batch)
    return gan, metrics


def weights_of(gan):
    averages = [a.numpy() for a in gan.generator_average.values] if gan.generator_average else []
    return tiny_gan.values(gan.generator) + tiny_gan.values(gan.discriminator) + averages


IMAGES = tiny_gan.source(24).images


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
@pytest.mark.parametrize("scaled", [False, True], ids=["", "scaled"])
def test_two_accumulated_half_batches_are_one_whole_batch(name, scaled, request):
    """Weights, clipped and averaged, on one device or two, with loss scaling or without."""
    strategy = request.getfixturevalue(name)

    def make(**arguments):
        adam = sensitive(global_clipnorm=0.3, **arguments)
        return lambda: keras.optimizers.LossScaleOptimizer(adam()) if scaled else adam()

    arguments = {"average_half_life_images": 100}
    whole, _ = trained(strategy, make(), np.split(IMAGES, 3), **arguments)
    halves = make(gradient_accumulation_steps=2)
    accumulated, _ = trained(strategy, halves, np.split(IMAGES, 6), **arguments)
    for expected, found in zip(weights_of(whole), weights_of(accumulated), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert int(accumulated.generator_optimizer.iterations) == 3


def test_an_update_that_only_accumulates_moves_nothing(one_device):
    optimizer = sensitive(gradient_accumulation_steps=3)
    arguments = {"average_half_life_images": 1e-3}
    two, _ = trained(one_device, optimizer, np.split(IMAGES, 6)[:2], **arguments)
    none = tiny_gan.build_gan(one_device, batch_norm=False, **arguments)
    for expected, found in zip(weights_of(none), weights_of(two), strict=True):
        np.testing.assert_array_equal(found, expected)
    three, _ = trained(one_device, optimizer, np.split(IMAGES, 6)[:3], **arguments)
    for average, weight in zip(
        three.generator_average.values, tiny_gan.values(three.generator), strict=True
    ):
        np.testing.assert_allclose(average.numpy(), weight, rtol=1e-6)
    assert any((a != b).any() for a, b in zip(weights_of(none), weights_of(three), strict=True))


@pytest.mark.parametrize("clip", [{"global_clipnorm": 0.1}, {"clipvalue": 0.02}])
def test_replicas_clip_the_sum_of_their_gradients(one_device, mirrored, clip):
    optimizer = sensitive(**clip)
    one, two = (trained(s, optimizer, np.split(IMAGES, 3))[0] for s in (one_device, mirrored))
    for expected, found in zip(weights_of(one), weights_of(two), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    free, _ = trained(one_device, sensitive(), np.split(IMAGES, 3))
    differences = [
        np.abs(a - b).max() for a, b in zip(weights_of(one), weights_of(free), strict=True)
    ]
    assert max(differences) > 1e-3, "the limit is reached"


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_a_rate_that_changes_is_logged(name, request):
    strategy = request.getfixturevalue(name)
    rate = gan_core.learning_rate(0.01, "linear", decay_steps=4)
    _, metrics = trained(strategy, lambda: Adam(rate), np.split(IMAGES, 3))
    for network in ("generator", "discriminator"):
        np.testing.assert_allclose(metrics[f"{network}/learning_rate"], 0.01 * (1 - 2 / 4))


@pytest.mark.parametrize("arguments", [{"clipnorm": 1.0}, {"gradient_accumulation_steps": 2}])
def test_refuses_what_keras_does_to_each_replica(mirrored, arguments):
    with pytest.raises(
        gan_core.ArgumentError, match=r"must compute the same on 2 .* use gan_core.Adam"
    ):
        tiny_gan.build_gan(mirrored, optimizer=lambda: keras.optimizers.Nadam(**arguments))


def test_refuses_two_averages(one_device):
    optimizer = sensitive(gradient_accumulation_steps=2, use_ema=True)
    with pytest.raises(gan_core.ArgumentError, match=r"`use_ema` \(True\) cannot be combined with"):
        tiny_gan.build_gan(one_device, optimizer=optimizer)
