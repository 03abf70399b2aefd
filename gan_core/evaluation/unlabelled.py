"""Features for images without labels: responses of random filters at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.evaluation.extractor import Extracted, Extractor
from gan_core.files import content_hash

_NUM_SCALES = 3
_FIRST, _SECOND = 32, 16
_COLOUR_FILTERS = 8
_SMALLEST_SIDE = 16


def random_convolutions(seed: int = 0) -> Extractor:
    """Two layers of fixed random convolutions on a pyramid of three scales: 192 features.

    The pyramid halves each image twice by averaging. At each scale there are 32 filters of 5x5
    pixels, three quarters of which ignore the mean colour; a ReLU; averaging over 2x2 pixels; 16
    filters of 3x3; a ReLU; and means over the four quarters of the image.

    Random filters need no download and no training, so they are the same for all datasets, on all
    machines. Networks with random weights distinguish distributions (Naeem et al. 2020 prefer them
    to Inception for images unlike photographs). Self-supervised training, for example to predict
    rotations, would learn nothing from digits, textures and other images without an upright, and
    would give different features for each dataset.

    The features capture colours and their rough position, contrast, and textures and edges of up
    to about 40 pixels; noise and blur only if they are strong (for a thousand drawn digits, noise
    of 8 levels increases the Fréchet distance to 1.5 times that of other digits, a blur over 3
    pixels to 1.7 times). They do not capture meaning: a face with three eyes of the right texture
    is not noticed, two pictures of one dog are as far apart as pictures of two dogs, and of
    structures wider than 40 pixels they capture only the parts.

    Args:
      seed: Seed of the filters, 0 or above.

    Returns:
      An extractor for images of any size with sides of 16 or more; grey images become RGB.
    """
    draw = np.random.default_rng(seed)
    first = draw.standard_normal((5, 5, 3, _FIRST))
    first[..., _COLOUR_FILTERS:] -= first[..., _COLOUR_FILTERS:].mean(axis=(0, 1))
    first /= np.sqrt(np.sum(first**2, axis=(0, 1, 2)))
    second = draw.standard_normal((_NUM_SCALES, 3, 3, _FIRST, _SECOND)) / (9 * _FIRST) ** 0.5
    first, second = first.astype(np.float32), second.astype(np.float32)

    @tf.function(reduce_retracing=True)
    def run(images: tf.Tensor) -> tf.Tensor:
        return _responses(tf.cast(images, tf.float32) / 127.5 - 1.0, first, second)

    def extract(images: np.ndarray) -> Extracted:
        if min(images.shape[1:3]) < _SMALLEST_SIDE:
            raise ArgumentError(
                "images",
                list(images.shape),
                f"must have sides of {_SMALLEST_SIDE} or more",
                "enlarge them",
            )
        return Extracted(run(tf.constant(images)).numpy())

    return Extractor(
        name="random_convolutions",
        content_hash=content_hash("random convolutions, 1", first, second),
        image_shape=(None, None, 3),
        extract_batch=extract,
        batch_size=100,
    )


def _responses(images: tf.Tensor, first: np.ndarray, second: Sequence[np.ndarray]) -> tf.Tensor:
    """[B, H, W, 3] -> [B, 192]."""
    features = []
    for mixing in second:
        responses = tf.nn.relu(tf.nn.conv2d(images, first, 1, "SAME"))
        responses = tf.nn.avg_pool2d(responses, 2, 2, "SAME")
        responses = tf.nn.relu(tf.nn.conv2d(responses, mixing, 1, "SAME"))
        features += _quarters(responses)
        images = tf.nn.avg_pool2d(images, 2, 2, "SAME")
    return tf.concat(features, axis=1)


def _quarters(responses: tf.Tensor) -> list[tf.Tensor]:
    """Means over the four quarters of the image: [B, H, W, C] -> four of [B, C]."""
    middle_row, middle_column = tf.shape(responses)[1] // 2, tf.shape(responses)[2] // 2
    halves = responses[:, :middle_row], responses[:, middle_row:]
    return [
        tf.reduce_mean(quarter, axis=[1, 2])
        for half in halves
        for quarter in (half[:, :, :middle_column], half[:, :, middle_column:])
    ]
