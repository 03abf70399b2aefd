"""The small network that learns to tell the classes of images apart."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from gan_core.data.resizing import ImageShape
from gan_core.fast.layers import BatchNormalization, Conv2D

NUM_FEATURES = 128
_SHIFT = 2
_LEARNING_RATE = 3e-3


def classifier_network(image_shape: ImageShape, num_classes: int, seed: int) -> keras.Model:
    """Four convolutions, down to sides of 4: each position of the last sees most of the image.

    Args:
      image_shape: (H, W, C).
      num_classes: K.
      seed: Of the weights.

    Returns:
      Uint8 [B, H, W, C] -> features, float32 [B, 128]: means over the last layer's positions; and
      logits, float32 [B, K].
    """
    images = keras.Input(image_shape, dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, dtype="float32")(images)
    third_stride = 1 if max(image_shape[:2]) <= 32 else 2
    layers = [(32, 5, 2), (64, 3, 2), (NUM_FEATURES, 3, third_stride), (NUM_FEATURES, 3, 2)]
    for depth, (width, kernel_size, strides) in enumerate(layers):
        x = Conv2D(
            width,
            kernel_size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.HeNormal(seed=seed + depth),
            dtype="float32",
        )(x)
        x = BatchNormalization(momentum=0.97, dtype="float32")(x)
        x = keras.layers.ReLU(dtype="float32")(x)
    features = keras.layers.GlobalAveragePooling2D(dtype="float32")(x)
    start = keras.initializers.GlorotUniform(seed=seed)
    logits = keras.layers.Dense(num_classes, kernel_initializer=start, dtype="float32")(features)
    return keras.Model(images, [features, logits])


def train_classifier(
    network: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int,
    num_updates: int,
    batch_size: int,
) -> None:
    """Minimises the cross-entropy by Adam, at a rate that falls to 0 along a cosine.

    Args:
      network: As `classifier_network` makes it; its weights are changed.
      images: Uint8 [N, H, W, C].
      labels: Int64 [N].
      seed: Of the images' order and shifts.
      num_updates: How many batches it is trained on.
      batch_size: Images in each.
    """
    rate = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, num_updates)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(network.trainable_variables)

    @tf.function
    def update(batch: tf.Tensor, classes: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            _, logits = network(batch, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
            loss = tf.reduce_mean(losses)
        variables = [variable.value for variable in network.trainable_variables]
        optimizer.apply(tape.gradient(loss, variables), network.trainable_variables)

    batches = _batches(images, labels, seed, num_updates, batch_size)
    bar = {"desc": "Training the classifier", "total": num_updates, "unit": " updates"}
    for batch, classes in tqdm(batches, **bar, disable=None, delay=2, leave=False):
        update(tf.constant(batch), tf.constant(classes))


def _batches(
    images: np.ndarray, labels: np.ndarray, seed: int, num_updates: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each image once an epoch, shifted at random; edges are repeated."""
    choose = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    for _ in range(num_updates):
        while len(order) < batch_size:
            order = np.concatenate([order, choose.permutation(len(images))])
        taken, order = order[:batch_size], order[batch_size:]
        shifts = choose.integers(-_SHIFT, _SHIFT + 1, (2, batch_size, 1))
        rows, columns = (
            np.clip(np.arange(side) + shift, 0, side - 1)
            for side, shift in zip(images.shape[1:3], shifts, strict=True)
        )
        yield images[taken[:, None, None], rows[:, :, None], columns[:, None, :]], labels[taken]
