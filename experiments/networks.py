"""Networks that several experiments share."""

import keras
from keras import layers


def build_tanh_discriminator() -> keras.Model:
    """Images [B, 64, 64, 3] in [-1, 1] -> logits [B, 1]; 25,901,953 parameters."""
    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            layers.Conv2D(64, 5, padding="same", activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Conv2D(128, 5, padding="valid", activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(1024, activation="tanh"),
            layers.Dense(1, dtype="float32"),
        ],
        name="discriminator",
    )
