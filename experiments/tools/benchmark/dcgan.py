"""The DCGAN of svhn_dcgan at other resolutions, to measure cost against resolution."""

from __future__ import annotations

import math

import keras
from keras import layers

from experiments.program.experiment import Experiment
from gan_core import ArgumentError, NormalLatents
from gan_core.fast import BatchNormalization, Conv2D, Conv2DTranspose

_SIDES = ("16", "32", "64", "128", "256", "512")
_CHANNELS_AT_OUTPUT = 64


def dcgan(side: str) -> Experiment:
    """Networks for images of `side` pixels, a power of two.

    Twice the channels for each halving of the map, 512 at most (Radford et al. 2016, figure 1).

    At 32 these are the networks of svhn_dcgan.
    """
    if side not in _SIDES:
        raise ArgumentError(
            "experiment", f"dcgan_{side}", f"must name a side of {', '.join(_SIDES)}", "choose one"
        )
    resolution = int(side)
    halvings = int(math.log2(resolution)) - 2
    widths = [min(_CHANNELS_AT_OUTPUT * 2**level, 512) for level in range(halvings)]

    def build_generator(latent_size: int) -> keras.Model:
        first = min(2 * widths[-1], 512)
        network = keras.Sequential([keras.Input((latent_size,)), layers.Dense(4 * 4 * first)])
        network.add(layers.Reshape((4, 4, first)))
        for width in reversed(widths[1:]):
            network.add(BatchNormalization())
            network.add(layers.LeakyReLU(0.2))
            network.add(Conv2DTranspose(width, 5, 2, "same"))
        network.add(BatchNormalization())
        network.add(layers.LeakyReLU(0.2))
        network.add(Conv2DTranspose(3, 5, 2, "same"))
        network.add(layers.Activation("tanh", dtype="float32"))
        return network

    def build_discriminator() -> keras.Model:
        network = keras.Sequential([keras.Input((resolution, resolution, 3))])
        for level, width in enumerate(widths):
            network.add(Conv2D(width, 5, 2, "same"))
            if level:
                network.add(BatchNormalization())
            network.add(layers.LeakyReLU(0.2))
        network.add(layers.Flatten())
        network.add(layers.Dense(1, dtype="float32"))
        return network

    return Experiment(
        name=f"dcgan_{resolution}",
        build_generator=build_generator,
        build_discriminator=build_discriminator,
        latents=NormalLatents(100),
        defaults={"global_batch_size": 128},
    )
