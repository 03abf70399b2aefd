"""A DCGAN (Radford et al. 2016) on rock_paper_scissors at 256x256x3."""

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
    """Latents [B, 100] -> images [B, 256, 256, 3] in [-1, 1]; 27,507,331 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_size,)),
            layers.Dense(32 * 32 * 256),
            layers.Reshape((32, 32, 256)),
            gan_core.fast.BatchNormalization(),
            gan_core.fast.Conv2DTranspose(128, 5, 2, "same", activation="selu"),
            gan_core.fast.BatchNormalization(),
            gan_core.fast.Conv2DTranspose(64, 5, 2, "same", activation="selu"),
            gan_core.fast.BatchNormalization(),
            gan_core.fast.Conv2DTranspose(3, 5, 2, "same"),
            layers.Activation("tanh", dtype=keras.config.floatx()),
        ],
        name="generator",
    )


EXPERIMENT = Experiment(
    name="rock_paper_scissors_dcgan",
    build_generator=build_generator,
    build_discriminator=lambda: networks.build_dropout_discriminator((256, 256, 3)),
    latents=gan_core.NormalLatents(100),
    sisters={
        "deep": networks.dcgan(
            (256, 256, 3), 16, "six strided convolutions in the discriminator instead of two"
        )
    },
    defaults={"dataset": "rock_paper_scissors", "global_batch_size": 32},
)

if __name__ == "__main__":
    main(EXPERIMENT)
