"""Trains one kind of tiny GAN on a number of replicas, in a process of its own.

A process may make one MirroredStrategy only.

    python replicas_program.py REPLICAS OUTPUT KIND
"""

import sys

import keras
import numpy as np
import tensorflow as tf
import tiny_gan
from keras import layers

import gan_core


def build_spectral_discriminator():
    return keras.Sequential(
        [
            keras.Input(tiny_gan.IMAGE_SHAPE),
            layers.SpectralNormalization(layers.Conv2D(4, 3, 2, "same")),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.SpectralNormalization(layers.Dense(1)),
        ]
    )


def build(strategy, kind):
    own = {}
    if kind == "spectral":
        keras.utils.set_random_seed(3)
        with strategy.scope():
            own["discriminator"] = build_spectral_discriminator()
    gan = tiny_gan.build_gan(
        strategy,
        batch_norm=kind in ("per_replica", "synchronized"),
        regularizers=[gan_core.Regularizer("r1", gan_core.r1, 1.0, every_updates=2)],
        average_half_life_images=100,
        **own,
    )
    if kind == "synchronized":
        gan_core.fast.synchronize_batch_normalization(gan.generator)
        gan_core.fast.synchronize_batch_normalization(gan.discriminator)
    return gan


def main(num_replicas, output, kind):
    gan_core.run.make_virtual_devices(num_replicas)
    strategy = gan_core.make_strategy("auto")
    assert strategy.num_replicas_in_sync == num_replicas
    gan = build(strategy, kind)
    losses = []
    gan_core.train(
        gan,
        tiny_gan.batches(gan, strategy),
        total_steps=20,
        schedule=gan_core.alternating(2),
        hooks=[lambda step, metrics: losses.append(metrics["discriminator/loss"].numpy())],
    )
    results = {"metrics/loss": np.array(losses)[None]}
    for name, network in (("generator", gan.generator), ("discriminator", gan.discriminator)):
        for number, variable in enumerate(network.variables):
            copies = strategy.experimental_local_results(variable.value)
            results[f"{name}/{number}"] = np.stack([tf.convert_to_tensor(c) for c in copies])
    for number, average in enumerate(gan.generator_average.values):
        results[f"average/{number}"] = average.numpy()[None]
    np.savez(output, **results)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
