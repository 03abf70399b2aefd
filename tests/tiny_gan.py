"""Networks so small that a step takes milliseconds, for the tests."""

import keras
import numpy as np
from keras import layers

import gan_core

IMAGE_SHAPE = (8, 8, 3)
LATENT_SIZE = 5


def build_generator(latent_size=LATENT_SIZE, batch_norm=True):
    stack = [
        keras.Input((latent_size,)),
        layers.Dense(4 * 4 * 4, use_bias=not batch_norm),
        layers.Reshape((4, 4, 4)),
    ]
    if batch_norm:
        stack.append(gan_core.fast.BatchNormalization(momentum=0.9))
    stack += [layers.LeakyReLU(0.2), layers.Conv2DTranspose(3, 3, 2, "same", activation="tanh")]
    return keras.Sequential(stack, name="generator")


def build_discriminator(batch_norm=True):
    stack = [keras.Input(IMAGE_SHAPE), layers.Conv2D(4, 3, 2, "same", use_bias=not batch_norm)]
    if batch_norm:
        stack.append(gan_core.fast.BatchNormalization(momentum=0.9))
    stack += [layers.LeakyReLU(0.2), layers.Flatten(), layers.Dense(1)]
    return keras.Sequential(stack, name="discriminator")


def adam(learning_rate=2e-4):
    return gan_core.Adam(learning_rate, beta_1=0.5)


def build_gan(strategy, *, batch_norm=True, optimizer=adam, regularizers=(), **arguments):
    """A step on the tiny networks; `arguments` are its own, over the usual ones."""
    keras.utils.set_random_seed(3)
    with strategy.scope():
        usual = {
            "generator": build_generator(batch_norm=batch_norm),
            "discriminator": build_discriminator(batch_norm=batch_norm),
            "generator_optimizer": optimizer(),
            "discriminator_optimizer": optimizer(),
            "latents": gan_core.NormalLatents(LATENT_SIZE),
            "global_batch_size": 8,
            "game": gan_core.Game(regularizers=regularizers),
        }
        return gan_core.Gan(**usual | arguments)


def batches(gan, strategy):
    """Batches of `source()` from where the run stands in it."""
    return gan_core.data.image_batches(
        source(),
        global_batch_size=8,
        strategy=strategy,
        first_image=int(gan.images_seen.numpy()),
    )


def source(count=37):
    """Images that differ, each with its own number as the label."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *IMAGE_SHAPE), dtype=np.uint8)
    return gan_core.data.ImageSource("tiny", images, np.arange(count))


def values(network):
    return [variable.numpy() for variable in network.variables]
