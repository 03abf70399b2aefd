"""Digits by their class, 28x28x1, with a projection discriminator (Miyato & Koyama 2018)."""

from __future__ import annotations

import keras
from keras import layers

import gan_core
from experiments.examples import common
from experiments.settings.conditional import ConditionalGame

NUM_CLASSES = 10


def build_generator() -> keras.Model:
    """Latents [B, 64] and labels [B] -> images [B, 28, 28, 1] in [-1, 1]."""
    latents, labels = keras.Input((64,)), keras.Input((), name="labels", dtype="int64")
    joined = layers.Concatenate()([latents, layers.Embedding(NUM_CLASSES, 64)(labels)])
    images = layers.Reshape((7, 7, 128))(layers.Dense(7 * 7 * 128)(joined))
    images = layers.LeakyReLU(0.2)(gan_core.fast.BatchNormalization()(images))
    images = gan_core.fast.Conv2DTranspose(64, 4, 2, "same")(images)
    images = layers.LeakyReLU(0.2)(gan_core.fast.BatchNormalization()(images))
    images = gan_core.fast.Conv2DTranspose(1, 4, 2, "same")(images)
    images = layers.Activation("tanh", dtype=keras.config.floatx())(images)
    return keras.Model([latents, labels], images, name="generator")


def build_discriminator() -> keras.Model:
    """Images [B, 28, 28, 1] and labels [B] -> logits [B, 1] (equation 6)."""
    images, labels = keras.Input((28, 28, 1)), keras.Input((), name="labels", dtype="int64")
    features = layers.LeakyReLU(0.2)(gan_core.fast.Conv2D(64, 4, 2, "same")(images))
    features = layers.LeakyReLU(0.2)(gan_core.fast.Conv2D(128, 4, 2, "same")(features))
    features = layers.LeakyReLU(0.2)(layers.Dense(128)(layers.Flatten()(features)))
    of_the_class = layers.Dot(1)([features, layers.Embedding(NUM_CLASSES, 128)(labels)])
    logits = layers.Add(dtype=keras.config.floatx())([of_the_class, layers.Dense(1)(features)])
    return keras.Model([images, labels], logits, name="discriminator")


def main(run: common.ExampleRun) -> int:
    """Trains, or resumes; returns the exit code."""
    with run.strategy.scope():
        gan = gan_core.Gan(
            generator=build_generator(),
            discriminator=build_discriminator(),
            generator_optimizer=gan_core.Adam(2e-4, beta_1=0.5),
            discriminator_optimizer=gan_core.Adam(2e-4, beta_1=0.5),
            latents=gan_core.NormalLatents(64),
            global_batch_size=run.options.global_batch_size,
            game=ConditionalGame(regularizers=[gan_core.Regularizer("r1", gan_core.r1, 0.5)]),
            average_half_life_images=5_000,
        )
    picture = gan_core.run.samples_by_class(gan, NUM_CLASSES)
    source = run.open_source((28, 28, 1))
    return run.train(gan, source, make_picture=picture)


EXAMPLE = common.Example(main, dataset="mnist")

if __name__ == "__main__":
    EXAMPLE.main()
