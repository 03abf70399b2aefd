"""DCGAN (Radford et al. 2016) on street view house numbers, 32x32x3."""

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
    """Latents [B, 100] -> images [B, 32, 32, 3] in [-1, 1]; 4,936,963 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_size,)),
            layers.Dense(4 * 4 * 512),
            layers.Reshape((4, 4, 512)),
            gan_core.fast.BatchNormalization(),
            layers.LeakyReLU(0.2),
            gan_core.fast.Conv2DTranspose(256, 5, 2, "same"),
            gan_core.fast.BatchNormalization(),
            layers.LeakyReLU(0.2),
            gan_core.fast.Conv2DTranspose(128, 5, 2, "same"),
            gan_core.fast.BatchNormalization(),
            layers.LeakyReLU(0.2),
            gan_core.fast.Conv2DTranspose(3, 5, 2, "same"),
            layers.Activation("tanh", dtype=keras.config.floatx()),
        ],
        name="generator",
    )


def build_discriminator() -> keras.Model:
    """Images [B, 32, 32, 3] in [-1, 1] -> logits [B, 1]; 1,034,881 parameters."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            gan_core.fast.Conv2D(64, 5, 2, "same"),
            layers.LeakyReLU(0.2),
            gan_core.fast.Conv2D(128, 5, 2, "same"),
            gan_core.fast.BatchNormalization(),
            layers.LeakyReLU(0.2),
            gan_core.fast.Conv2D(256, 5, 2, "same"),
            gan_core.fast.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1, dtype=keras.config.floatx()),
        ],
        name="discriminator",
    )


EXPERIMENT = Experiment(
    name="svhn_dcgan",
    build_generator=build_generator,
    build_discriminator=build_discriminator,
    latents=gan_core.NormalLatents(100),
    sisters={
        "no_batch_norm": networks.dcgan(
            (32, 32, 3),
            64,
            "no batch norm in the discriminator, because R1 needs gradients at single images",
        )
    },
    defaults={"dataset": "svhn_cropped", "global_batch_size": 128},
)

if __name__ == "__main__":
    main(EXPERIMENT)
