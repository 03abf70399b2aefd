"""WGAN-GP on street numbers, 32x32x3 (Gulrajani et al. 2017)."""

from __future__ import annotations

import keras
from keras import layers

import gan_core
from experiments.examples import common


def build_generator() -> keras.Model:
    """Latents [B, 128] -> images [B, 32, 32, 3] in [-1, 1]; 1,593,859 parameters."""
    return keras.Sequential(
        [
            keras.Input((128,)),
            layers.Dense(4 * 4 * 256),
            layers.Reshape((4, 4, 256)),
            gan_core.fast.BatchNormalization(),
            layers.ReLU(),
            gan_core.fast.Conv2DTranspose(128, 5, 2, "same"),
            gan_core.fast.BatchNormalization(),
            layers.ReLU(),
            gan_core.fast.Conv2DTranspose(64, 5, 2, "same"),
            gan_core.fast.BatchNormalization(),
            layers.ReLU(),
            gan_core.fast.Conv2DTranspose(3, 5, 2, "same"),
            layers.Activation("tanh", dtype=keras.config.floatx()),
        ],
        name="generator",
    )


def build_critic() -> keras.Model:
    """Images [B, 32, 32, 3] in [-1, 1] -> scores [B, 1]; 1,033,089 parameters.

    Without batch normalization, which mixes examples: the penalty is of each alone.
    """
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            gan_core.fast.Conv2D(64, 5, 2, "same"),
            layers.LeakyReLU(0.2),
            gan_core.fast.Conv2D(128, 5, 2, "same"),
            layers.LeakyReLU(0.2),
            gan_core.fast.Conv2D(256, 5, 2, "same"),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1, dtype=keras.config.floatx()),
        ],
        name="critic",
    )


def main(run: common.ExampleRun) -> int:
    """Trains, or resumes; returns the exit code."""
    with run.strategy.scope():
        gan = gan_core.Gan(
            generator=build_generator(),
            discriminator=build_critic(),
            generator_optimizer=gan_core.Adam(1e-4, beta_1=0.0, beta_2=0.9),
            discriminator_optimizer=gan_core.Adam(1e-4, beta_1=0.0, beta_2=0.9),
            latents=gan_core.NormalLatents(128),
            global_batch_size=run.options.global_batch_size,
            game=gan_core.Game(
                gan_core.wasserstein(), [gan_core.Regularizer("wgan_gp", gan_core.wgan_gp, 10.0)]
            ),
        )
    return run.train(gan, run.open_source((32, 32, 3)))


EXAMPLE = common.Example(main, dataset="svhn_cropped", discriminator_updates=5)

if __name__ == "__main__":
    EXAMPLE.main()
