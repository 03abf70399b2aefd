"""A GAN with uniform latents on a folder of dog photos, 64x64x3."""

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
    """Latents [B, 1000] -> images [B, 64, 64, 3] in [-1, 1]; 9,664,259 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_size,)),
            layers.Dense(1024, activation="tanh"),
            layers.Dense(8 * 8 * 128),
            gan_core.fast.BatchNormalization(),
            layers.Activation("tanh"),
            layers.Reshape((8, 8, 128)),
            gan_core.fast.UpSamplingConv2D(64, 5, upsampling=4, activation="tanh"),
            gan_core.fast.UpSamplingConv2D(3, 5),
            layers.Activation("tanh", dtype=keras.config.floatx()),
        ],
        name="generator",
    )


EXPERIMENT = Experiment(
    name="dog_gan",
    build_generator=build_generator,
    build_discriminator=networks.build_tanh_discriminator,
    latents=gan_core.UniformLatents(1000),
    sisters={"leaky": networks.leaky_networks()},
    defaults={"dataset": "folder", "global_batch_size": 64},
)

if __name__ == "__main__":
    main(EXPERIMENT)
