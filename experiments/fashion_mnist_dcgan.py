"""A DCGAN (Radford et al. 2016) on Fashion-MNIST, 28x28x1."""

import keras
from keras import layers

from experiments import networks, runner
from experiments.experiment import Experiment
from gan_core import BatchNormalization, Conv2DTranspose, NormalLatents


def build_generator(latent_size: int) -> keras.Model:
    """Latents [B, 100] -> images [B, 28, 28, 1] in [-1, 1]; 840,705 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_size,)),
            layers.Dense(7 * 7 * 128),
            layers.Reshape((7, 7, 128)),
            BatchNormalization(),
            Conv2DTranspose(64, 5, 2, "same", activation="selu"),
            BatchNormalization(),
            Conv2DTranspose(1, 5, 2, "same"),
            layers.Activation("tanh", dtype="float32"),
        ],
        name="generator",
    )


EXPERIMENT = Experiment(
    name="fashion_mnist_dcgan",
    build_generator=build_generator,
    build_discriminator=lambda: networks.build_dropout_discriminator((28, 28, 1)),
    latents=NormalLatents(100),
    defaults={"dataset": "fashion_mnist", "global_batch_size": 32, "optimizer": "rmsprop"},
)

if __name__ == "__main__":
    runner.main(EXPERIMENT)
