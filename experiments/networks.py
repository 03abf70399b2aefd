"""Networks that several experiments share."""

from __future__ import annotations

from etils import epy

import gan_core

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
            gan_core.fast.Conv2D(64, 5, padding="same", activation="tanh"),
            layers.MaxPooling2D(2),
            gan_core.fast.Conv2D(128, 5, padding="valid", activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(1024, activation="tanh"),
            layers.Dense(1, dtype=keras.config.floatx()),
        ],
        name="discriminator",
    )
