"""A DCGAN (Radford et al. 2016) on rock_paper_scissors at 256x256x3."""

import keras
from keras import layers

from experiments import runner
from gan_core import BatchNormalization, NormalLatents


def build_generator(latent_size: int) -> keras.Model:
    """Latents [B, 100] -> images [B, 256, 256, 3] in [-1, 1]; 27,507,331 parameters."""
    return keras.Sequential(
        [
            keras.Input((latent_size,)),
            layers.Dense(32 * 32 * 256),
            layers.Reshape((32, 32, 256)),
            BatchNormalization(),
            layers.Conv2DTranspose(128, 5, 2, "same", activation="selu"),
            BatchNormalization(),
            layers.Conv2DTranspose(64, 5, 2, "same", activation="selu"),
            BatchNormalization(),
            layers.Conv2DTranspose(3, 5, 2, "same"),
            layers.Activation("tanh", dtype="float32"),
        ],
        name="generator",
    )


def build_discriminator() -> keras.Model:
    """Images [B, 256, 256, 3] in [-1, 1] -> logits [B, 1]; 734,081 parameters."""
    return keras.Sequential(
        [
            keras.Input((256, 256, 3)),
            layers.Conv2D(64, 5, 2, "same"),
            layers.LeakyReLU(0.2),
            layers.Dropout(0.4),
            layers.Conv2D(128, 5, 2, "same"),
            layers.LeakyReLU(0.2),
            layers.Dropout(0.4),
            layers.Flatten(),
            layers.Dense(1, dtype="float32"),
        ],
        name="discriminator",
    )


EXPERIMENT = runner.Experiment(
    name="rock_paper_scissors_dcgan",
    build_generator=build_generator,
    build_discriminator=build_discriminator,
    latents=NormalLatents(100),
    defaults={"dataset": "rock_paper_scissors", "global_batch_size": 32},
)

if __name__ == "__main__":
    runner.main(EXPERIMENT)
