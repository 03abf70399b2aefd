"""What cannot be meant is refused when it is built or traced, in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from keras import layers

import gan_core
from gan_core import contracts
from gan_core.errors import ArgumentError


def discriminator_ending_in(strategy, layer, *arguments, flat=True, **options):
    with strategy.scope():
        ending = [*([layers.Flatten()] if flat else []), layer(*arguments, **options)]
        return keras.Sequential([keras.Input((8, 8, 3)), *ending])


def update(strategy, **arguments):
    gan = tiny_gan.build_gan(strategy, **arguments)
    return gan.update_both(next(tiny_gan.batches(gan, strategy)))


@pytest.mark.parametrize(
    ("layer", "arguments", "remedy"),
    [
        (
            layers.Dense,
            (2,),
            r"one logit per example, \[B\] or \[B, 1\]; end in a Dense\(1\), or use Game\(patc",
        ),
        (layers.Conv2D, (1, 3), r"one logit per example, \[B\] or \[B, 1\]; end in"),
    ],
)
def test_refuses_anything_but_one_logit_an_example(one_device, layer, arguments, remedy):
    network = discriminator_ending_in(one_device, layer, *arguments, flat=layer is layers.Dense)
    with pytest.raises(ArgumentError, match=r"`discriminator` .* must return " + remedy):
        update(one_device, discriminator=network)


def test_refuses_anything_but_one_logit_a_patch_in_a_game_of_patches(one_device):
    game = gan_core.Game(patches=True)
    for layer, arguments in ((layers.Dense, (1,)), (layers.Conv2D, (2, 3))):
        network = discriminator_ending_in(one_device, layer, *arguments, flat=layer is layers.Dense)
        words = r"must return one logit per patch, \[B, h, w, 1\]; leave out Game\(patches=True\)"
        with pytest.raises(ArgumentError, match=words):
            update(one_device, discriminator=network, game=game)


def test_warns_of_a_final_sigmoid(one_device):
    network = discriminator_ending_in(one_device, layers.Dense, 1, activation="sigmoid")
    with pytest.warns(RuntimeWarning, match="ends in a sigmoid, but losses take logits"):
        tiny_gan.build_gan(one_device, discriminator=network)


@pytest.mark.parametrize("value", [tf.constant(1.0), tf.zeros([8, 8]), tf.zeros([8], tf.int32)])
def test_refuses_terms_that_are_not_one_float_an_example(one_device, value):
    class Wrong(gan_core.Game):
        def generator_terms(self, outputs):
            return {"mine": value}

    words = r"`generator_terms` \(mine: .*\) must return one float per example, \[8\]"
    with pytest.raises(ArgumentError, match=words):
        update(one_device, game=Wrong())


def test_refuses_terms_without_names(one_device):
    class Wrong(gan_core.Game):
        def generator_terms(self, outputs):
            return tf.zeros([8])

    with pytest.raises(ArgumentError, match="must return terms by name"):
        update(one_device, game=Wrong())


def test_refuses_regularizers_of_one_name_or_named_like_a_term(one_device):
    def zeros(outputs, draw):
        return tf.zeros([8])

    twice = [gan_core.Regularizer("mine", zeros, 1.0)] * 2
    with pytest.raises(ArgumentError, match=r"`regularizers` \(mine\) must have unique names"):
        gan_core.Game(regularizers=twice)
    fake = [gan_core.Regularizer("fake", zeros, 1.0)]
    with pytest.raises(
        ArgumentError, match=r"`regularizers` \(fake\) must not have the name of a term"
    ):
        update(one_device, regularizers=fake)


@pytest.mark.parametrize("name", ["loss", "gradient", "learning_rate"])
def test_refuses_terms_named_like_what_the_step_logs(name, one_device):
    class Wrong(gan_core.Game):
        def generator_terms(self, outputs):
            return {name: tf.zeros([8])}

    with pytest.raises(
        ArgumentError, match=rf"`generator_terms` \({name}\) is a name that the update"
    ):
        update(one_device, game=Wrong())


def test_refuses_observations_named_like_a_term(one_device):
    class Wrong(gan_core.Game):
        def observations(self, outputs):
            return {"real": outputs.real_logits}

    with pytest.raises(
        ArgumentError,
        match=r"`observations` \(discriminator/real\) must not have the name of a term",
    ):
        update(one_device, game=Wrong())

    class Worse(gan_core.Game):
        def observations(self, outputs):
            return {"learning_rate": outputs.real_logits}

    rate = keras.optimizers.schedules.CosineDecay(0.1, 10)
    with pytest.raises(ArgumentError, match=r"`observations` \(discriminator/learning_rate\) must"):
        update(one_device, game=Worse(), optimizer=lambda: gan_core.Adam(rate))


def test_takes_regularizers_from_any_iterable(one_device):
    one = gan_core.Regularizer("r1", gan_core.r1, 1.0, every_updates=np.int64(2))
    assert gan_core.Game(regularizers=iter([one])).regularizers == (one,)


def test_refuses_losses_that_no_game_would_take(one_device):
    for kind in ("kernel_regularizer", "activity_regularizer"):
        regularized = discriminator_ending_in(one_device, layers.Dense, 1, **{kind: "l2"})
        words = r"has a Keras regularizer \(.*\), whose loss is not a term of the game"
        with pytest.raises(ArgumentError, match=words):
            tiny_gan.build_gan(one_device, discriminator=regularized)


def test_refuses_a_generator_that_is_sampled_with_other_weights_than_trained(one_device):
    with one_device.scope():
        last = layers.SpectralNormalization(layers.Dense(192, activation="tanh"))
        stack = [keras.Input((5,)), last, layers.Reshape((8, 8, 3))]
        generator = keras.Sequential(stack)
    with pytest.raises(ArgumentError, match="has Keras's SpectralNormalization"):
        tiny_gan.build_gan(one_device, generator=generator)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"regularizers": [gan_core.r1]},
            r"`regularizers` .* must be a Regularizer; give it a name",
        ),
        ({"augment": "cutout"}, r"`augment` \('cutout'\) must be a function; give gan_core.diff"),
    ],
)
def test_refuses_games_of_other_parts(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        gan_core.Game(**arguments)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_refuses_seeds_that_no_stream_takes(seed, one_device):
    with pytest.raises(ArgumentError, match=r"`seed` .* must be from 0 to 2\*\*32 - 1"):
        tiny_gan.build_gan(one_device, seed=seed)


def test_refuses_integers_of_which_the_range_is_not_known(one_device):
    gan = tiny_gan.build_gan(one_device)
    images = tf.cast(tiny_gan.source().images[:8], tf.int32)
    with pytest.raises(ArgumentError, match=r"`batch` \(images of int32\) must be uint8"):
        gan.update_both(images)


def test_refuses_a_range_that_the_generator_does_not_give(one_device):
    with pytest.raises(
        ArgumentError, match=r"`value_range` .* must be the range of the generator's tanh"
    ):
        tiny_gan.build_gan(one_device, value_range=(0.0, 1.0))


def test_refuses_sizes_that_do_not_fit(one_device):
    with pytest.raises(ArgumentError, match=r"`latents` \(6\) must have the size .* input, 5; use"):
        tiny_gan.build_gan(one_device, latents=gan_core.NormalLatents(6))
    with one_device.scope():
        small = keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(
        ArgumentError,
        match=r"`discriminator` \(images \[4, 4, 3\]\) must accept the generator's images",
    ):
        tiny_gan.build_gan(one_device, discriminator=small)


@pytest.mark.parametrize("optimizer", ["adam", None, tf.Variable(1.0)])
def test_refuses_what_is_no_optimizer(one_device, optimizer):
    with pytest.raises(
        ArgumentError, match=r"must be a Keras optimizer; make one, for example gan_core\.Adam"
    ):
        tiny_gan.build_gan(one_device, generator_optimizer=optimizer)


def test_refuses_an_optimizer_that_was_used_before(one_device):
    optimizer = tiny_gan.adam()
    optimizer.build([tf.Variable(1.0)])
    with pytest.raises(ArgumentError, match="must not have been used before; make a new one"):
        tiny_gan.build_gan(one_device, discriminator_optimizer=optimizer)


def test_refuses_a_loss_by_name():
    with pytest.raises(ArgumentError, match=r"`loss` \('hinge'\) must be an AdversarialLoss; call"):
        gan_core.Game("hinge")


def test_refuses_networks_built_outside_of_the_scope(mirrored):
    generator = tiny_gan.build_generator()
    with pytest.raises(ArgumentError, match=r"`generator` .* must be built under the strategy"):
        tiny_gan.build_gan(mirrored, generator=generator)


def test_the_last_activation_is_found_behind_a_reshape():
    network = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, activation="tanh"), layers.Reshape((2, 2))]
    )
    assert contracts._last_activation(network) == "tanh"
    assert contracts._last_activation(tiny_gan.build_generator()) == "tanh"
