"""A feed-forward GAN on Fashion-MNIST, 28x28x1, with images in [0, 1]."""

from __future__ import annotations

from etils import epy

import gan_core
from experiments.program.experiment import Experiment
from experiments.program.main import main

with epy.lazy_imports():
    import keras
    from keras import layers


def build_generator(latent_size: int) -> keras.Model:
    """Latents [B, 30] -> images [B, 28, 28, 1] in [0, 1]; 112,560 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_size,)),
            layers.Dense(32, activation="selu"),
            layers.Dense(64, activation="selu"),
            layers.Dense(128, activation="selu"),
            layers.Dense(28 * 28),
            layers.Activation("sigmoid", dtype=keras.config.floatx()),
            layers.Reshape((28, 28, 1), dtype=keras.config.floatx()),
        ],
        name="generator",
    )


def build_discriminator() -> keras.Model:
    """Images [B, 28, 28, 1] in [0, 1] -> logits [B, 1]; 110,849 parameters."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(128, activation="selu"),
            layers.Dense(64, activation="selu"),
            layers.Dense(32, activation="selu"),
            layers.Dense(1, dtype=keras.config.floatx()),
        ],
        name="discriminator",
    )


EXPERIMENT = Experiment(
    name="fashion_mnist_gan",
    build_generator=build_generator,
    build_discriminator=build_discriminator,
    latents=gan_core.NormalLatents(30),
    value_range=(0.0, 1.0),
    defaults={"dataset": "fashion_mnist", "global_batch_size": 32, "optimizer": "rmsprop"},
)

if __name__ == "__main__":
    main(EXPERIMENT)
