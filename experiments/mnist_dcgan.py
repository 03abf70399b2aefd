"""A convolutional GAN on MNIST, 28x28x1, whose generator ends in a dense layer."""

from __future__ import annotations

from etils import epy

import gan_core
from experiments import networks
from experiments.program.experiment import Experiment
from experiments.program.main import main

with epy.lazy_imports():
    import keras
    from keras import layers


def build_generator(latent_size: int) -> keras.Model:
    """Latents [B, 256] -> images [B, 28, 28, 1] in [-1, 1]; 21,162,496 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_size,)),
            layers.Dense(5 * 5 * 128, activation="tanh"),
            layers.Reshape((5, 5, 128)),
            gan_core.fast.UpSamplingConv2D(64, 5, activation="tanh"),
            gan_core.fast.UpSamplingConv2D(32, 5, activation="tanh"),
            gan_core.fast.UpSamplingConv2D(16, 5, activation="tanh"),
            layers.Flatten(),
            layers.Dense(28 * 28),
            layers.Activation("tanh", dtype=keras.config.floatx()),
            layers.Reshape((28, 28, 1), dtype=keras.config.floatx()),
        ],
        name="generator",
    )


def build_discriminator() -> keras.Model:
    """Images [B, 28, 28, 1] in [-1, 1] -> logits [B, 1]; 14,209 parameters."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            # Tanh after pooling equals tanh before it, for a quarter of the work.
            gan_core.fast.Conv2D(64, 5, padding="same"),
            layers.MaxPooling2D(2),
            layers.Activation("tanh"),
            layers.Flatten(),
            layers.Dense(1, dtype=keras.config.floatx()),
        ],
        name="discriminator",
    )


EXPERIMENT = Experiment(
    name="mnist_dcgan",
    build_generator=build_generator,
    build_discriminator=build_discriminator,
    latents=gan_core.NormalLatents(256),
    sisters={
        "strided": networks.dcgan(
            (28, 28, 1),
            64,
            "two strided convolutions in the discriminator instead of one with 14,209 parameters",
        )
    },
    defaults={"dataset": "mnist", "global_batch_size": 128},
)

if __name__ == "__main__":
    main(EXPERIMENT)
