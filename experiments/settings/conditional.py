"""Class-conditional networks and game of `--num_classes`, for the networks of any experiment.

Datasets may have labels for some images only: images labelled -1 get a zero class vector.
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
_MOST_PIXELS_HIGH = 4096
"""Of a grid by class: all its images are made at once, and a film of them is in memory."""


class ConditionalGame(gan_core.Game):
    """Game in which fakes are made and judged with the labels of the real images in the batch."""

    def forward(self, players: gan_core.Players, draw: gan_core.Draw) -> gan_core.Outputs:
        """One pass; both networks have an input named `labels`."""
        return gan_core.Outputs(players, draw, labels=draw.batch.labels)


class ClassVectors(layers.Embedding):
    """Embedding of classes, with zeros for the unknown class -1."""

    def call(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels, int64 [B] -> vectors [B, D]."""
        is_known = keras.ops.cast(labels >= 0, self.compute_dtype)
        return super().call(keras.ops.maximum(labels, 0)) * is_known[:, None]


def build_networks(
    experiment: Experiment, num_classes: int
) -> tuple[keras.Model, keras.Model, keras.Model, keras.Model]:
    """Conditional generator and discriminator, and the experiment's networks inside them.

    Both have a second input `labels`, int64 [B]. The generator's latents are concatenated with a
    class vector. The discriminator's logit is increased by the inner product of its last features
    and another class vector (Miyato & Koyama 2018, equation 6).

    Raises:
      ArgumentError: If the discriminator does not end in a dense layer.
    """
    latent_size = experiment.latents.size
    inner_generator = experiment.build_generator(latent_size + _EMBEDDING_SIZE)
    latents, labels = keras.Input((latent_size,)), keras.Input((), name="labels", dtype="int64")
    class_vectors = ClassVectors(num_classes, _EMBEDDING_SIZE, dtype=floatx())(labels)
    images = inner_generator(layers.Concatenate(dtype=floatx())([latents, class_vectors]))
    generator = keras.Model([latents, labels], images, name="generator")

    inner_discriminator = experiment.build_discriminator()
    last = inner_discriminator.layers[-1]
    if not isinstance(last, layers.Dense):
        rule = f"needs a dense last layer, which the discriminator of {experiment.name} lacks"
        raise ArgumentError("num_classes", num_classes, rule, "leave it out")
    labels = keras.Input((), name="labels", dtype="int64")
    num_features = last.input.shape[-1]
    # Keras's range for vectors, 0.05, would drown the logit of many features: the last layer's own
    # is 0.003 for those of 256x256 pixels. With a wider one for few features, the discriminator
    # wins at once.
    largest = min(0.05, math.sqrt(6 / (num_classes + num_features)))
    initializer = keras.initializers.RandomUniform(-largest, largest)
    class_vectors = ClassVectors(num_classes, num_features, initializer, dtype=floatx())(labels)
    product = layers.Dot(1, dtype=floatx())([last.input, class_vectors])
    logits = layers.Add(dtype=floatx())([inner_discriminator.outputs[0], product])
    inputs = [inner_discriminator.inputs[0], labels]
    discriminator = keras.Model(inputs, logits, name="discriminator")
    return generator, discriminator, inner_generator, inner_discriminator


def check_labels(source: gan_core.data.ImageSource, num_classes: int) -> None:
    """Raises `ArgumentError` unless some labels are known, and all are below `num_classes`."""
    highest = int(source.labels.max())
    if highest < 0:
        rule = f"needs images with labels, but none of {source.name} has one"
        remedy = "give data with labels, or leave it out"
        raise ArgumentError("num_classes", num_classes, rule, remedy)
    if highest >= num_classes:
        rule = f"must be above the largest label of {source.name}, {highest}"
        raise ArgumentError("num_classes", num_classes, rule, f"use {highest + 1}")


def make_picture(gan: gan_core.Gan, num_classes: int) -> gan_core.run.MakePicture | None:
    """The maker of grids with a class per row; None for the usual grid without classes."""
    if not num_classes:
        return None
    height = gan.generator.output_shape[1]
    num_rows = min(num_classes, max(10, _MOST_PIXELS_HIGH // height))
    return gan_core.run.samples_by_class(gan, num_rows)


def cycled_labels(first: int, count: int, num_classes: int) -> tf.Tensor:
    """int64 [count]: classes of pictures number `first`, `first` + 1, ..., in turn."""
    return tf.range(first, first + count, dtype=tf.int64) % num_classes
