"""R3GAN's loss and penalties on street numbers, 32x32x3 (Huang et al. 2024), on small networks."""

from __future__ import annotations

import keras
from keras import layers

import gan_core
from experiments.examples import common


def residual(images: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    """Images + f(images), where f is zero at the start (Zhang et al. 2019, Fixup)."""
    inner = layers.LeakyReLU(0.2)(gan_core.fast.Conv2D(channels, 3, padding="same")(images))
    return images + layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros")(inner)


def build_generator() -> keras.Model:
    """Latents [B, 64] -> images [B, 32, 32, 3] in [-1, 1]."""
    latents = keras.Input((64,))
    images = layers.Reshape((4, 4, 128))(layers.Dense(4 * 4 * 128)(latents))
    for channels in (128, 64, 32):
        images = residual(images, images.shape[-1])
        images = gan_core.fast.Conv2DTranspose(channels, 4, 2, "same")(images)
        images = layers.LeakyReLU(0.2)(images)
    images = gan_core.fast.Conv2D(3, 3, padding="same")(residual(images, 32))
    return keras.Model(
        latents, layers.Activation("tanh", dtype=keras.config.floatx())(images), name="generator"
    )


def build_discriminator() -> keras.Model:
    """Images [B, 32, 32, 3] in [-1, 1] -> logits [B, 1]."""
    images = keras.Input((32, 32, 3))
    features = images
    for channels in (32, 64, 128):
        features = gan_core.fast.Conv2D(channels, 4, 2, "same")(features)
        features = residual(layers.LeakyReLU(0.2)(features), channels)
    logits = layers.Dense(1, dtype=keras.config.floatx())(layers.Flatten()(features))
    return keras.Model(images, logits, name="discriminator")


def main(run: common.ExampleRun) -> int:
    """Trains, or resumes; returns the exit code."""
    penalties = [
        gan_core.Regularizer("r1", gan_core.r1, weight=0.5),
        gan_core.Regularizer("r2", gan_core.r2, weight=0.5),
    ]
    with run.strategy.scope():
        gan = gan_core.Gan(
            generator=build_generator(),
            discriminator=build_discriminator(),
            generator_optimizer=gan_core.Adam(2e-4, beta_1=0.0, beta_2=0.99),
            discriminator_optimizer=gan_core.Adam(2e-4, beta_1=0.0, beta_2=0.99),
            latents=gan_core.NormalLatents(64),
            global_batch_size=run.options.global_batch_size,
            game=gan_core.Game(gan_core.relativistic(), penalties),
            average_half_life_images=10_000,
        )
    return run.train(gan, run.open_source((32, 32, 3)))


EXAMPLE = common.Example(main, dataset="svhn_cropped")

if __name__ == "__main__":
    EXAMPLE.main()
