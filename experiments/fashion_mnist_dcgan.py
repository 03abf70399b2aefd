"""A DCGAN (Radford et al. 2016) on Fashion-MNIST, 28x28x1."""

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
    """Latents [B, 100] -> images [B, 28, 28, 1] in [-1, 1]; 840,705 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_size,)),
            layers.Dense(7 * 7 * 128),
            layers.Reshape((7, 7, 128)),
            gan_core.fast.BatchNormalization(),
            gan_core.fast.Conv2DTranspose(64, 5, 2, "same", activation="selu"),
            gan_core.fast.BatchNormalization(),
            gan_core.fast.Conv2DTranspose(1, 5, 2, "same"),
            layers.Activation("tanh", dtype=keras.config.floatx()),
        ],
        name="generator",
    )


EXPERIMENT = Experiment(
    name="fashion_mnist_dcgan",
    build_generator=build_generator,
    build_discriminator=lambda: networks.build_dropout_discriminator((28, 28, 1)),
    latents=gan_core.NormalLatents(100),
    sisters={
        "no_dropout": networks.dcgan(
            (28, 28, 1),
            64,
            "no dropout, which blurs what the discriminator sees; leaky units, 4x4 kernels",
        )
    },
    defaults={"dataset": "fashion_mnist", "global_batch_size": 32, "optimizer": "rmsprop"},
)

if __name__ == "__main__":
    main(EXPERIMENT)
