"""Functional and subclassed Keras models and modules: the same game, the same numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from keras import layers

import gan_core
from gan_core.errors import ArgumentError

NUM_CLASSES = 4
KINDS = ["functional", "subclassed", "module"]


def functional_networks():
    latents, labels = keras.Input((5,)), keras.Input((), name="labels", dtype="int32")
    mixed = latents + layers.Embedding(NUM_CLASSES, 5)(labels)
    images = layers.Reshape((8, 8, 3))(layers.Dense(8 * 8 * 3, activation="tanh")(mixed))
    generator = keras.Model([latents, labels], images)
    images, labels = keras.Input((8, 8, 3)), keras.Input((), name="labels", dtype="int32")
    features = layers.Dense(4)(layers.Flatten()(images))
    logits = layers.Dot(1)([features, layers.Embedding(NUM_CLASSES, 4)(labels)])
    return generator, keras.Model([images, labels], logits)


class Generator(keras.Model):
    def __init__(self):
        super().__init__()
        self.table = layers.Embedding(NUM_CLASSES, 5)
        self.dense = layers.Dense(8 * 8 * 3, activation="tanh")

    def call(self, latents, labels):
        return tf.reshape(self.dense(latents + self.table(labels)), [-1, 8, 8, 3])


class Discriminator(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)
        self.table = layers.Embedding(NUM_CLASSES, 4)

    def call(self, images, labels, training=None):
        features = self.dense(tf.reshape(images, [-1, 8 * 8 * 3]))
        return tf.reduce_sum(features * self.table(labels), axis=1)


def subclassed_networks():
    generator, discriminator = Generator(), Discriminator()
    labels = tf.zeros([1], tf.int32)
    discriminator(generator(tf.zeros([1, 5]), labels), labels)
    return generator, discriminator


class Layer(tf.Module):
    def __init__(self, size_in, size_out):
        super().__init__()
        self.table = tf.Variable(tf.zeros([NUM_CLASSES, size_out if size_in > 5 else size_in]))
        self.kernel = tf.Variable(tf.zeros([size_in, size_out]))
        self.bias = tf.Variable(tf.zeros([size_out]))


class GeneratorModule(Layer):
    def __call__(self, latents, labels):
        mixed = latents + tf.gather(self.table, labels)
        return tf.reshape(tf.tanh(mixed @ self.kernel + self.bias), [-1, 8, 8, 3])


class DiscriminatorModule(Layer):
    modes = None

    def __call__(self, images, *, labels, training):
        if self.modes is not None:
            self.modes.append(training)
        features = tf.reshape(images, [-1, 8 * 8 * 3]) @ self.kernel + self.bias
        return tf.reduce_sum(features * tf.gather(self.table, labels), axis=1)


def networks(strategy, kind):
    """Both networks of a kind, with the same weights in each kind."""
    rng = np.random.default_rng(0)
    with strategy.scope():
        if kind == "functional":
            generator, discriminator = functional_networks()
        elif kind == "subclassed":
            generator, discriminator = subclassed_networks()
        else:
            generator = GeneratorModule(5, 8 * 8 * 3)
            discriminator = DiscriminatorModule(8 * 8 * 3, 4)
        for network in (generator, discriminator):
            values = {len(v.shape) * 1000 + v.shape[0]: v for v in network.variables}
            for _, variable in sorted(values.items()):
                variable.assign(rng.normal(0.0, 0.3, variable.shape).astype(np.float32))
    return generator, discriminator


class Conditional(gan_core.Game):
    def forward(self, players, draw):
        return gan_core.Outputs(players, draw, labels=tf.cast(draw.batch.labels % 4, tf.int32))


def build(strategy, kind, **arguments):
    generator, discriminator = networks(strategy, kind)
    regularizers = [gan_core.Regularizer("r1", gan_core.r1, 0.1)]
    usual = {"game": Conditional(gan_core.relativistic(), regularizers)}
    return tiny_gan.build_gan(
        strategy, generator=generator, discriminator=discriminator, **usual | arguments
    )


def weights_of(gan):
    """By shape: kinds create their variables in orders of their own."""
    variables = [*gan.generator.trainable_variables, *gan.discriminator.trainable_variables]
    return {tuple(v.shape): tf.convert_to_tensor(v).numpy() for v in variables}


def train(gan, strategy, total_steps, schedule=None):
    batches = tiny_gan.batches(gan, strategy)
    gan_core.train(gan, batches, total_steps=total_steps, schedule=schedule)


def trained(strategy, kind):
    gan = build(strategy, kind, average_half_life_images=20)
    train(gan, strategy, 4, gan_core.alternating(1))
    return gan


@pytest.fixture(scope="module")
def functional(one_device):
    gan = trained(one_device, "functional")
    return weights_of(gan), samples(gan)


def samples(gan):
    return gan.sample(gan.latents(4, [0, 1]), labels=tf.range(4)).numpy()


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
@pytest.mark.parametrize("kind", KINDS[1:])
def test_each_kind_trains_as_the_functional_one(kind, name, request, functional):
    expected_weights, expected_samples = functional
    gan = trained(request.getfixturevalue(name), kind)
    weights = weights_of(gan)
    assert len(weights) == 6
    for shape, value in expected_weights.items():
        np.testing.assert_allclose(weights[shape], value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(samples(gan), expected_samples, atol=1e-5)
    for shape, value in weights_of(gan).items():
        np.testing.assert_array_equal(value, weights[shape], "sampling leaves the weights")
    network = gan.generator
    unaveraged = network(gan.latents(4, [0, 1]), labels=tf.range(4))
    assert np.abs(samples(gan) - unaveraged).max() > 1e-5


@pytest.mark.parametrize("kind", KINDS[1:])
def test_each_kind_goes_on_from_a_checkpoint(kind, one_device, tmp_path):
    whole, first, second = (build(one_device, kind) for _ in range(3))
    train(whole, one_device, 4)
    train(first, one_device, 2)
    checkpoints = gan_core.run.Checkpoints(tmp_path, first)
    checkpoints.save({})
    checkpoints.wait()
    gan_core.run.Checkpoints(tmp_path, second).restore_latest()
    train(second, one_device, 4)
    for shape, value in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(second)[shape], value)


def test_a_module_is_told_the_mode_where_it_asks_for_it(one_device):
    gan = build(one_device, "module")
    modes = []
    gan.discriminator.__dict__["modes"] = modes
    gan.update_both(next(tiny_gan.batches(gan, one_device)))
    assert modes
    assert all(modes)


def test_a_subclassed_model_passes_the_mode_on_and_keeps_dropout_resumable(one_device):
    class Dropping(keras.Model):
        def __init__(self):
            super().__init__()
            self.stack = [layers.Flatten(), layers.Dropout(0.5), layers.Dense(1)]

        def call(self, images):
            for layer in self.stack:
                images = layer(images)
            return images

    def build():
        keras.utils.set_random_seed(1)
        with one_device.scope():
            discriminator = Dropping()
            discriminator(tf.zeros([1, 8, 8, 3]))
        return tiny_gan.build_gan(one_device, discriminator=discriminator)

    batch = next(tiny_gan.batches(build(), one_device))
    first, second = build(), build()
    once, again = first.update_both(batch), second.update_both(batch)
    assert float(once["discriminator/real"]) == float(again["discriminator/real"])
    next_once = first.update_both(batch)
    assert float(next_once["discriminator/real"]) != float(once["discriminator/real"])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_subclassed_model_computes_in_its_policy(policy, one_device):
    keras.config.set_dtype_policy(policy)
    try:
        optimizer = lambda: keras.optimizers.LossScaleOptimizer(tiny_gan.adam())  # noqa: E731
        gan = build(one_device, "subclassed", optimizer=optimizer, game=Conditional())
    finally:
        keras.config.set_dtype_policy("float32")
    before = weights_of(gan)
    train(gan, one_device, 2)
    assert gan.generator(tf.zeros([1, 5]), tf.zeros([1], tf.int32)).dtype == policy[6:]
    for shape, value in weights_of(gan).items():
        assert value.dtype == np.float32
        assert np.isfinite(value).all()
        assert (value != before[shape]).any()


class TwoGenerators(keras.Model):
    """CycleGAN's generators in one model: which one is asked for by name."""

    def __init__(self):
        super().__init__()
        self.both = {name: layers.Conv2D(3, 3, padding="same") for name in ("to_a", "to_b")}

    def call(self, images, direction):
        return self.both[direction](images)


class TwoDiscriminators(keras.Model):
    def __init__(self):
        super().__init__()
        self.both = {name: layers.Dense(1) for name in ("a", "b")}

    def call(self, images, domain="a"):
        return self.both[domain](tf.reshape(images, [-1, 8 * 8 * 3]))


class Cycle(gan_core.Game):
    def forward(self, players, draw):
        fakes = players.generate(draw.real_images, direction="to_b")
        back = players.generate(fakes, direction="to_a")
        return {
            "real": players.discriminate(draw.real_images, domain="a"),
            "fake": players.discriminate(fakes, domain="b"),
            "cycle": tf.reduce_mean(tf.abs(back - draw.real_images), axis=[1, 2, 3]),
        }

    def discriminator_terms(self, outputs):
        return {"real": (outputs["real"] - 1) ** 2, "fake": outputs["fake"] ** 2}

    def generator_terms(self, outputs):
        return {"fake": (outputs["fake"] - 1) ** 2, "cycle": outputs["cycle"]}

    def observations(self, outputs):
        return {}


def two_networks(strategy):
    with strategy.scope():
        generator, discriminator = TwoGenerators(), TwoDiscriminators()
        for direction, domain in (("to_a", "a"), ("to_b", "b")):
            discriminator(generator(tf.zeros([1, 8, 8, 3]), direction=direction), domain=domain)
    return generator, discriminator


def test_two_networks_play_as_one_without_latents(one_device):
    generator, discriminator = two_networks(one_device)
    gan = tiny_gan.build_gan(
        one_device, generator=generator, discriminator=discriminator, game=Cycle(), latents=None
    )
    images = next(tiny_gan.batches(gan, one_device))
    before = [v.numpy() for v in generator.trainable_variables]
    metrics = gan.update_both(images)
    assert np.isfinite(float(metrics["generator/cycle"]))
    for old, variable in zip(before, generator.trainable_variables, strict=True):
        assert (old != variable.numpy()).any()
    assert gan.sample(tf.zeros([2, 8, 8, 3]), direction="to_b").shape == (2, 8, 8, 3)
    gan.game = gan_core.Game()
    with pytest.raises(ArgumentError, match=r"`latents` \(None\) are needed by the game; give"):
        gan.update_both(images)


def test_refuses_what_is_not_built_all_through(one_device):
    generator = TwoGenerators()
    generator(tf.zeros([1, 8, 8, 3]), direction="to_a")
    with pytest.raises(ArgumentError, match=r"must be built, but its conv2d\w* is not; call it"):
        tiny_gan.build_gan(one_device, generator=generator)
    with pytest.raises(ArgumentError, match=r"must be built, but its generator\w* is not"):
        tiny_gan.build_gan(one_device, generator=Generator())


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_that_do_not_fit_are_named(kind, one_device):
    gan = build(one_device, kind)
    latents = gan.latents(4, [0, 1])
    with pytest.raises(ArgumentError, match=r"`conditions` \(none\) .* \(labels\); give"):
        gan.sample(latents)
    words = r"`conditions` \(colour, labels\) must be the further inputs of .* \(labels\); give"
    with pytest.raises(ArgumentError, match=words):
        gan.sample(latents, labels=tf.range(4), colour=tf.range(4))


def test_refuses_modules_that_cannot_play(one_device):
    class Silent(tf.Module):
        def __call__(self, latents):
            return latents

    class Mixed(Silent):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, name="mine")
            self.kernel = tf.Variable(tf.zeros([1]))

    words = r"`generator` \(Module\) must be a Keras model, or a tf.Module with `__call__`"
    with pytest.raises(ArgumentError, match=words):
        tiny_gan.build_gan(one_device, generator=tf.Module())
    with pytest.raises(ArgumentError, match=r"must have trainable variables"):
        tiny_gan.build_gan(one_device, generator=Silent())
    with pytest.raises(
        ArgumentError, match=r"misses the weights of the Keras layer mine in it; mak"
    ):
        tiny_gan.build_gan(one_device, generator=Mixed())


def test_refuses_a_module_built_outside_of_the_scope(mirrored):
    generator = GeneratorModule(5, 8 * 8 * 3)
    with pytest.raises(ArgumentError, match=r"`generator` .* must be built under the strategy"):
        tiny_gan.build_gan(mirrored, generator=generator)
