import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core import losses
from gan_core.draw import stream_seed
from gan_core.errors import ArgumentError
from gan_core.players import Player, layer_seeds
from gan_core.types import Batch


def batch_of(images):
    images = tf.convert_to_tensor(images)
    return Batch(images, tf.fill([len(images)], tf.constant(-1, tf.int64)))


class Ones:
    """Latents that are all one: the generator becomes a constant."""

    size = 1

    def __call__(self, num_latents, seed):
        return tf.ones([num_latents, 1])


def linear_gan(strategy, *, loss, learning_rate, latents, channels, optimizer, batch_size=4):
    with strategy.scope():
        return gan_core.Gan(
            generator=keras.Sequential(
                [
                    keras.Input((latents.size,)),
                    keras.layers.Dense(channels, use_bias=False),
                    keras.layers.Reshape((1, 1, channels)),
                ]
            ),
            discriminator=keras.Sequential(
                [
                    keras.Input((1, 1, channels)),
                    keras.layers.Flatten(),
                    keras.layers.Dense(1, use_bias=False),
                ]
            ),
            generator_optimizer=optimizer(learning_rate),
            discriminator_optimizer=optimizer(learning_rate),
            latents=latents,
            global_batch_size=batch_size,
            game=gan_core.Game(loss),
        )


class NumpyAdam:
    """Kingma & Ba 2015, algorithm 1, with the epsilon where Keras has it."""

    def __init__(self, learning_rate, beta_1=0.5, beta_2=0.999, epsilon=1e-7):
        self.rate, self.beta_1, self.beta_2, self.epsilon = learning_rate, beta_1, beta_2, epsilon
        self.count, self.first, self.second = 0, 0.0, 0.0

    def step(self, weight, gradient):
        self.count += 1
        self.first = self.beta_1 * self.first + (1 - self.beta_1) * gradient
        self.second = self.beta_2 * self.second + (1 - self.beta_2) * gradient**2
        bias = np.sqrt(1 - self.beta_2**self.count) / (1 - self.beta_1**self.count)
        return weight - self.rate * bias * self.first / (np.sqrt(self.second) + self.epsilon)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_updates_equal_a_calculation_in_plain_numpy(one_device):
    gan = linear_gan(
        one_device,
        loss=losses.non_saturating(),
        learning_rate=0.01,
        latents=gan_core.NormalLatents(2),
        channels=3,
        optimizer=tiny_gan.adam,
    )
    generator = gan.generator.get_weights()[0].astype(np.float64)  # [2, 3]
    critic = gan.discriminator.get_weights()[0].astype(np.float64)  # [3, 1]
    generator_adam, critic_adam = NumpyAdam(0.01), NumpyAdam(0.01)
    rng = np.random.default_rng(0)
    for number in range(3):
        real = rng.uniform(-1, 1, (4, 1, 1, 3)).astype(np.float32)
        metrics = gan.update_both(batch_of(real))
        latents = gan.latents(4, stream_seed(0, "shared_latents", 4 * number)).numpy()
        x, fake = real.reshape(4, 3), latents @ generator
        d_real, d_fake = x @ critic, fake @ critic
        expected_loss = np.mean(np.log1p(np.exp(-d_real)) + np.log1p(np.exp(d_fake)))
        np.testing.assert_allclose(metrics["discriminator/loss"], expected_loss, rtol=1e-5)
        np.testing.assert_allclose(
            metrics["generator/adversarial"], np.mean(np.log1p(np.exp(-d_fake))), rtol=1e-5
        )
        np.testing.assert_allclose(
            metrics["discriminator/real_probability"], np.mean(sigmoid(d_real)), rtol=1e-5
        )
        critic_gradient = (x.T @ (sigmoid(d_real) - 1) + fake.T @ sigmoid(d_fake)) / 4
        generator_gradient = latents.T @ ((sigmoid(d_fake) - 1) @ critic.T) / 4
        critic = critic_adam.step(critic, critic_gradient)
        generator = generator_adam.step(generator, generator_gradient)
        np.testing.assert_allclose(gan.discriminator.get_weights()[0], critic, atol=2e-6)
        np.testing.assert_allclose(gan.generator.get_weights()[0], generator, atol=2e-6)


def test_dirac_gan_leaves_its_equilibrium_at_the_rate_of_the_closed_form(one_device):
    """Mescheder et al. 2018, lemma 2.3: simultaneous descent grows the radius by sqrt(1 + h^2)."""
    rate = 0.1
    gan = linear_gan(
        one_device,
        loss=losses.wasserstein(),
        learning_rate=rate,
        latents=Ones(),
        channels=1,
        optimizer=keras.optimizers.SGD,
    )
    gan.generator.set_weights([np.array([[1.0]])])
    gan.discriminator.set_weights([np.array([[0.5]])])

    def radius():
        return np.hypot(gan.generator.get_weights()[0], gan.discriminator.get_weights()[0]).item()

    start = radius()
    for _ in range(10):
        gan.update_both(batch_of(tf.zeros([4, 1, 1, 1])))
    np.testing.assert_allclose(radius() / start, (1 + rate**2) ** 5, rtol=1e-5)


def test_discriminator_update_changes_no_generator_variable(one_device):
    gan = tiny_gan.build_gan(one_device)
    before, critic_before = tiny_gan.values(gan.generator), tiny_gan.values(gan.discriminator)
    gan.update_discriminator(batch_of(tiny_gan.source().images[:8]))
    for old, new in zip(before, tiny_gan.values(gan.generator), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(critic_before, tiny_gan.values(gan.discriminator), strict=True):
        assert (old != new).any(), "each variable of the discriminator, averages included, moves"
    assert int(gan.images_seen) == 8
    assert int(gan.generator_updates) == 0
    assert int(gan.generator_optimizer.iterations) == 0


def test_generator_update_changes_no_discriminator_variable(one_device):
    gan = tiny_gan.build_gan(one_device)
    before, generator_before = tiny_gan.values(gan.discriminator), tiny_gan.values(gan.generator)
    gan.update_generator()
    for old, new in zip(before, tiny_gan.values(gan.discriminator), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(generator_before, tiny_gan.values(gan.generator), strict=True):
        assert (old != new).any()
    assert int(gan.images_seen) == 0
    assert int(gan.generator_updates) == 1
    assert int(gan.discriminator_optimizer.iterations) == 0


def test_two_updates_in_turn_move_averages_like_one_shared_pass(one_device):
    """The discriminator sees real then fake in both; its averages must take both in, in order."""
    shared, in_turn = (tiny_gan.build_gan(one_device) for _ in range(2))
    images = tiny_gan.source().images[:8]
    # The same latents in both: only then are the passes the same.
    for gan in (shared, in_turn):
        gan.latents = lambda num_latents, seed: tf.ones([num_latents, tiny_gan.LATENT_SIZE])
    shared.update_both(batch_of(images))
    in_turn.update_discriminator(batch_of(images))
    for a, b in zip(
        tiny_gan.values(shared.discriminator), tiny_gan.values(in_turn.discriminator), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_own_terms_are_minimised_and_logged(one_device):
    class WithBrightness(gan_core.Game):
        def generator_terms(self, outputs):
            brightness = tf.reduce_mean(outputs.fake_images, axis=[1, 2, 3])
            return super().generator_terms(outputs) | {"brightness": brightness}

    gan = tiny_gan.build_gan(one_device, game=WithBrightness())
    metrics = gan.update_generator()
    np.testing.assert_allclose(
        metrics["generator/loss"],
        metrics["generator/adversarial"] + metrics["generator/brightness"],
        rtol=1e-6,
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_float32_weights(one_device, policy):
    keras.config.set_dtype_policy(policy)
    try:
        gan = tiny_gan.build_gan(
            one_device, optimizer=lambda: keras.optimizers.LossScaleOptimizer(tiny_gan.adam())
        )
    finally:
        keras.config.set_dtype_policy("float32")
    weights = gan.generator.trainable_variables
    before = [weight.numpy() for weight in weights]
    metrics = gan.update_both(batch_of(tiny_gan.source().images[:8]))
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(weight.dtype == "float32" for weight in weights)
    assert all((a != b.numpy()).any() for a, b in zip(before, weights, strict=True))


def test_two_replicas_equal_one_device(one_device, mirrored):
    """The same global batch, on networks without batch normalization: the same trajectory."""
    source = tiny_gan.source()
    weights, metrics = [], []
    for strategy in (one_device, mirrored):
        gan = tiny_gan.build_gan(strategy, batch_norm=False)
        batches = gan_core.data.image_batches(source, global_batch_size=8, strategy=strategy)
        update = tf.function(gan.update_both)
        for _ in range(4):
            last = update(next(batches))
        weights.append(tiny_gan.values(gan.generator) + tiny_gan.values(gan.discriminator))
        metrics.append({name: float(value) for name, value in last.items()})
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-5)
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_refuses_networks_that_share_a_variable(one_device):
    shared = keras.layers.Dense(3)
    latent, image = keras.Input((3,)), keras.Input((3,))
    parts = {
        "generator": keras.Model(latent, shared(latent)),
        "discriminator": keras.Model(image, keras.layers.Dense(1)(shared(image))),
    }
    with pytest.raises(ArgumentError, match="must share no variable with the generator, but"):
        tiny_gan.build_gan(one_device, **parts)


def test_refuses_a_frozen_network(one_device):
    generator = tiny_gan.build_generator()
    generator.trainable = False
    with pytest.raises(ArgumentError, match=r"`generator` .* must have trainable variables"):
        tiny_gan.build_gan(one_device, generator=generator)


def test_refuses_one_optimizer_for_both(one_device):
    optimizer = tiny_gan.adam()
    with pytest.raises(ArgumentError, match=r"must not be the generator's; make two"):
        tiny_gan.build_gan(
            one_device, generator_optimizer=optimizer, discriminator_optimizer=optimizer
        )


def test_refuses_a_batch_that_does_not_divide(mirrored):
    with pytest.raises(ArgumentError, match=r"`global_batch_size` \(7\) must be .* the 2 replicas"):
        tiny_gan.build_gan(mirrored, global_batch_size=7)


def dropout_gan(strategy):
    with strategy.scope():
        discriminator = keras.Sequential(
            [
                keras.Input(tiny_gan.IMAGE_SHAPE),
                keras.layers.Dropout(0.5),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
    return tiny_gan.build_gan(strategy, discriminator=discriminator)


def test_dropout_depends_on_the_update_alone(one_device):
    """A new process, whose layers have drawn nothing yet, draws what the old one would have."""
    batch = batch_of(tiny_gan.source().images[:8])
    old, new = dropout_gan(one_device), dropout_gan(one_device)
    first = old.update_both(batch)
    for source, target in ((old.generator, new.generator), (old.discriminator, new.discriminator)):
        target.set_weights(source.get_weights())
    for counter in ("step", "images_seen", "generator_updates"):
        getattr(new, counter).assign(getattr(old, counter))
    second, again = old.update_both(batch), new.update_both(batch)
    assert {k: float(v) for k, v in second.items()} == {k: float(v) for k, v in again.items()}
    assert float(first["discriminator/real"]) != float(second["discriminator/real"])


def test_dropout_masks_differ_between_replicas(mirrored):
    gan = dropout_gan(mirrored)
    logits = []

    def spread(outputs):
        logits.append(outputs.real_logits)
        return {}

    gan.game.observations = spread
    images = np.repeat(tiny_gan.source().images[:1], 4, axis=0)
    batch = mirrored.run(lambda: batch_of(images))
    gan.update_both(batch)
    first, second = (np.asarray(part) for part in logits)
    assert first.shape == (4,)
    assert not np.isclose(first, second).any()


def test_penalties_are_computed_only_where_they_are_due(one_device):
    """Whatever others there are: a penalty that is not due may be what takes most of the time."""
    computed = []

    def penalty(every_steps):
        def count(outputs, draw):
            computed[-1].append(every_steps)
            return tf.ones([8])

        return gan_core.Regularizer(f"every_{every_steps}", count, 0.5, every_steps)

    gan = tiny_gan.build_gan(one_device, regularizers=[penalty(n) for n in (1, 4, 2, 3)])
    batch = batch_of(tiny_gan.source().images[:8])
    for number in range(13):
        computed.append([])
        metrics = gan.update_discriminator(batch)
        due = [n for n in (1, 4, 2, 3) if number % n == 0]
        assert computed[-1] == due
        found = {n for n in (1, 4, 2, 3) if metrics[f"discriminator/every_{n}"] == n * 0.5}
        assert found == set(due)
        assert all(metrics[f"discriminator/every_{n}"] == 0 for n in {1, 4, 2, 3} - found)


def test_layers_with_seeds_share_none_over_their_passes(one_device):
    """Keras adds one to the second number of a layer's seed with each draw."""
    with one_device.scope():
        stack = [keras.Input((4,)), *(keras.layers.Dropout(0.5) for _ in range(3))]
        network = keras.Sequential([*stack, keras.layers.Dense(1)])
    seeds_of_layers = layer_seeds(tf.constant([1, 2]))
    players = [Player(network, seeds_of_layers) for _ in range(2)]
    seeds = [tuple(state.numpy()) for player in players for state in player._state]
    assert len(seeds) == 6
    drawn = {(first, second + draw) for first, second in seeds for draw in range(8)}
    assert len(drawn) == 6 * 8


class FixedLatents:
    """No draws: XLA makes other numbers of the same seed."""

    size = tiny_gan.LATENT_SIZE

    def __call__(self, num_latents, seed):
        return tf.reshape(tf.cos(tf.range(float(num_latents * self.size))), [-1, self.size])


@pytest.mark.parametrize("update", ["update_both", "update_discriminator", "update_generator"])
def test_compiled_updates_equal_the_others(one_device, update):
    results = []
    for jit_compile in (False, True):
        gan = tiny_gan.build_gan(one_device, jit_compile=jit_compile, latents=FixedLatents())
        batches = tiny_gan.batches(gan, one_device)
        run = tf.function(getattr(gan, update))
        arguments = () if update == "update_generator" else (next(batches),)
        metrics = [run(*arguments) for _ in range(3)]
        weights = [*gan.generator.get_weights(), *gan.discriminator.get_weights()]
        results.append([*(float(v) for m in metrics for v in m.values()), *weights])
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=2e-5)


def test_compiled_draws_are_others_after_a_rollback(one_device):
    """Of float images too: what looks at their range is not compiled."""
    fakes = []
    for rollbacks in (0, 1, 2, 0):
        gan = tiny_gan.build_gan(one_device, jit_compile=True)
        gan.rollbacks.assign(rollbacks)
        metrics = gan.update_both(tf.zeros([8, *tiny_gan.IMAGE_SHAPE]))
        fakes.append(float(metrics["discriminator/fake"]))
    assert len(set(fakes)) == 3
    assert fakes[0] == fakes[3]


def test_several_replicas_are_not_compiled(mirrored):
    with pytest.raises(gan_core.ArgumentError, match="single replica"):
        tiny_gan.build_gan(mirrored, jit_compile=True)


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
@pytest.mark.parametrize("traced", [False, True])
def test_a_loop_of_ones_own_does_what_train_does(name, traced, request):
    strategy = request.getfixturevalue(name)
    own, expected = (tiny_gan.build_gan(strategy, batch_norm=False) for _ in range(2))

    def step(batch):
        own.update_discriminator(batch)
        own.update_generator()
        own.end_step()

    if traced:
        step = tf.function(step)
    batches = tiny_gan.batches(own, strategy)
    for _ in range(2):
        step(next(batches))
    batches = tiny_gan.batches(expected, strategy)
    gan_core.train(expected, batches, total_steps=2, schedule=gan_core.alternating(1))
    for counter in ("step", "images_seen", "generator_updates"):
        assert getattr(own, counter).numpy() == getattr(expected, counter).numpy()
    for one, two in zip(
        tiny_gan.values(own.generator), tiny_gan.values(expected.generator), strict=True
    ):
        np.testing.assert_allclose(one, two, atol=1e-6)
