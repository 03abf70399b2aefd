"""Generators and discriminators that several experiments share."""

from __future__ import annotations

from etils import epy

import gan_core
from experiments.program.experiment import Networks

with epy.lazy_imports():
    import keras
    from keras import layers


def build_dropout_discriminator(image_shape: tuple[int, int, int]) -> keras.Model:
    """Images [B, H, W, C] in [-1, 1] -> logits [B, 1]: two strided convolutions with dropout.

    212,865 parameters for 28x28x1, 734,081 for 256x256x3.
    """
    return keras.Sequential(
        [
            keras.Input(image_shape),
            gan_core.fast.Conv2D(64, 5, 2, "same"),
            layers.LeakyReLU(0.2),
            layers.Dropout(0.4),
            gan_core.fast.Conv2D(128, 5, 2, "same"),
            layers.LeakyReLU(0.2),
            layers.Dropout(0.4),
            layers.Flatten(),
            layers.Dense(1, dtype=keras.config.floatx()),
        ],
        name="discriminator",
    )


def build_tanh_discriminator() -> keras.Model:
    """Images [B, 64, 64, 3] in [-1, 1] -> logits [B, 1]; 25,901,953 parameters."""
    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            # Tanh after pooling equals tanh before it, for a quarter of the work.
            gan_core.fast.Conv2D(64, 5, padding="same"),
            layers.MaxPooling2D(2),
            layers.Activation("tanh"),
            gan_core.fast.Conv2D(128, 5, padding="valid"),
            layers.MaxPooling2D(2),
            layers.Activation("tanh"),
            layers.Flatten(),
            layers.Dense(1024, activation="tanh"),
            layers.Dense(1, dtype=keras.config.floatx()),
        ],
        name="discriminator",
    )


def dcgan(
    image_shape: tuple[int, int, int], num_channels: int, about: str, *, is_resizable: bool = False
) -> Networks:
    """DCGAN networks (Radford et al. 2016), but without batch norm in the discriminator.

    Args:
      image_shape: (H, W, C) of the images.
      num_channels: Channels next to the images, doubled at each halving of their sides.
      about: Difference from the experiment's own networks.
      is_resizable: Whether they can be built for other sizes.
    """

    def shape(image_size: int) -> tuple[int, int, int]:
        return (image_size, image_size, image_shape[-1]) if image_size else image_shape

    return Networks(
        about,
        lambda latent_size, image_size=0: build_dcgan_generator(
            latent_size, shape(image_size), num_channels
        ),
        lambda image_size=0: build_dcgan_discriminator(shape(image_size), num_channels),
        is_resizable,
    )


def leaky_networks() -> Networks:
    """Sister networks of those for 64x64 pictures whose layers end in tanh."""
    about = "leaky units, which do not saturate as tanh does; any image size"
    return dcgan((64, 64, 3), 32, about, is_resizable=True)


def build_dcgan_generator(
    latent_size: int, image_shape: tuple[int, int, int], num_channels: int
) -> keras.Model:
    """Latents [B, Z] -> images [B, H, W, C] in [-1, 1]; each transposed convolution doubles sides.

    The first feature map has the image's sides halved `num_halvings` times. The last one has
    `num_channels`, and each one before it twice as many, up to 512.
    """
    halvings = num_halvings(image_shape)
    height, width = (side >> halvings for side in image_shape[:2])
    widths = [min(512, num_channels << level) for level in range(halvings)][::-1]
    network = keras.Sequential(name="generator")
    network.add(keras.Input((latent_size,)))
    network.add(layers.Dense(height * width * widths[0], use_bias=False))
    network.add(layers.Reshape((height, width, widths[0])))
    for filters in [*widths[1:], None]:
        network.add(gan_core.fast.BatchNormalization())
        network.add(layers.LeakyReLU(0.2))
        if filters:
            network.add(gan_core.fast.Conv2DTranspose(filters, 4, 2, "same", use_bias=False))
    network.add(gan_core.fast.Conv2DTranspose(image_shape[-1], 4, 2, "same"))
    network.add(layers.Activation("tanh", dtype=keras.config.floatx()))
    return network


def build_dcgan_discriminator(image_shape: tuple[int, int, int], num_channels: int) -> keras.Model:
    """Images [B, H, W, C] in [-1, 1] -> logits [B, 1]; each convolution halves sides.

    It has no batch norm, which mixes images: gradient penalties need the gradient at one image.
    """
    network = keras.Sequential(name="discriminator")
    network.add(keras.Input(image_shape))
    for level in range(num_halvings(image_shape)):
        network.add(gan_core.fast.Conv2D(min(512, num_channels << level), 4, 2, "same"))
        network.add(layers.LeakyReLU(0.2))
    network.add(layers.Flatten())
    network.add(layers.Dense(1, dtype=keras.config.floatx()))
    return network


def num_halvings(image_shape: tuple[int, int, int]) -> int:
    """Number of halvings until a side is odd or below 8 pixels: 32 -> 3, 28 -> 2."""
    sides, count = image_shape[:2], 0
    while all(side % 2 == 0 and side >= 8 for side in sides):
        sides, count = tuple(side // 2 for side in sides), count + 1
    return count
