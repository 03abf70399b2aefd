"""Any experiment's two networks made conditional on a class: `--num_classes`.

Sets may have labels for a part of their images only: the others, -1, are played for without one.
"""

from __future__ import annotations

import math

import keras
import tensorflow as tf
from keras import layers
from keras.config import floatx

import gan_core
from experiments.program.experiment import Experiment
from gan_core import ArgumentError

_EMBEDDING_SIZE = 32


class ConditionalGame(gan_core.Game):
    """Fakes are made and judged under the labels of the real images beside them."""

    def forward(self, players: gan_core.Players, draw: gan_core.Draw) -> gan_core.Outputs:
        """One pass; both networks have an input named `labels`."""
        return gan_core.Outputs(players, draw, labels=draw.batch.labels)


class ClassVectors(layers.Embedding):
    """A learned vector of each class; of an unknown one, -1, a vector of zeros."""

    def call(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels, int64 [B] -> vectors [B, D]."""
        is_known = keras.ops.cast(labels >= 0, self.compute_dtype)
        return super().call(keras.ops.maximum(labels, 0)) * is_known[:, None]


def build_networks(
    experiment: Experiment, num_classes: int
) -> tuple[keras.Model, keras.Model, keras.Model, keras.Model]:
    """The networks with a further input, `labels`, int64 [B], and those of the experiment in them.

    The generator's latents are joined to a learned vector of the class. To the discriminator's
    logit comes the product of its last features and another one (Miyato & Koyama 2018, equation 6).

    Raises:
      ArgumentError: If the discriminator does not end in a dense layer.
    """
    latent_size = experiment.latents.size
    inner_generator = experiment.build_generator(latent_size + _EMBEDDING_SIZE)
    latents, labels = keras.Input((latent_size,)), keras.Input((), name="labels", dtype="int64")
    of_the_class = ClassVectors(num_classes, _EMBEDDING_SIZE, dtype=floatx())(labels)
    images = inner_generator(layers.Concatenate(dtype=floatx())([latents, of_the_class]))
    generator = keras.Model([latents, labels], images, name="generator")

    inner_discriminator = experiment.build_discriminator()
    last = inner_discriminator.layers[-1]
    if not isinstance(last, layers.Dense):
        raise ArgumentError(
            "num_classes", num_classes, f"does not go with {experiment.name}", "leave it out"
        )
    labels = keras.Input((), name="labels", dtype="int64")
    num_features = last.input.shape[-1]
    # Keras's range for vectors, 0.05, would drown the logit of many features: the last layer's own
    # is 0.003 for those of 256x256 pixels. Wider for few ones, the discriminator wins at once.
    largest = min(0.05, math.sqrt(6 / (num_classes + num_features)))
    start = keras.initializers.RandomUniform(-largest, largest)
    of_the_class = ClassVectors(num_classes, num_features, start, dtype=floatx())(labels)
    product = layers.Dot(1, dtype=floatx())([last.input, of_the_class])
    logits = layers.Add(dtype=floatx())([inner_discriminator.outputs[0], product])
    inputs = [inner_discriminator.inputs[0], labels]
    discriminator = keras.Model(inputs, logits, name="discriminator")
    return generator, discriminator, inner_generator, inner_discriminator


def check_labels(source: gan_core.data.ImageSource, num_classes: int) -> None:
    """Raises `ArgumentError` unless labels are of so many classes, and one at least is known."""
    highest = int(source.labels.max())
    if highest < 0:
        raise ArgumentError(
            "num_classes",
            num_classes,
            f"needs images with labels, but none of {source.name} has one",
            "give data with labels, or leave it out",
        )
    if highest >= num_classes:
        raise ArgumentError(
            "num_classes",
            num_classes,
            f"must be above the largest label of {source.name}, {highest}",
            f"use {highest + 1}",
        )


def labels_in_turn(first: int, count: int, num_classes: int) -> tf.Tensor:
    """int64 [count]: classes of pictures number `first`, `first` + 1, ... of many."""
    return tf.range(first, first + count, dtype=tf.int64) % num_classes
