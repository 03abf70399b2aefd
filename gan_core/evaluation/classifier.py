"""Features of a small classifier, trained once on the labelled images themselves."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from gan_core.data.resizing import ImageShape, fit_array
from gan_core.data.source import UNKNOWN_LABEL, ImageSource, check_same_shape
from gan_core.errors import ArgumentError, check_positive
from gan_core.evaluation.extractor import Extracted, Extractor
from gan_core.fast.layers import BatchNormalization, Conv2D
from gan_core.files import Arrays, cached_arrays, content_hash

_VERSION = 1
"""Version of the network, its training and its preprocessing, a part of the classifier's identity.

Raise it with each change to what this module computes, and only then: values under different
versions are not comparable, while upgrades of libraries and refactorings keep recorded values
comparable.
"""

_NUM_FEATURES = 128
_LONGEST_SIDE = 64
_HELD_OUT = 0.1
_BATCH = 500
_SHIFT = 2
_LEARNING_RATE = 3e-3


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Classifier(Extractor):
    """An extractor that also gives class probabilities.

    Attributes:
      accuracy: Share of test images that are classified correctly, 0 to 1.
      num_test_images: Number of test images.
    """

    accuracy: float
    num_test_images: int

    def describe(self) -> str:
        """One line for people: identity and accuracy."""
        return (
            f"{self.name} {self.content_hash[:6]}: {self.accuracy:.2%} of "
            f"{self.num_test_images:,} test images right"
        )


class _Selection:
    """Some labelled images of a source, fitted to a shape when they are read.

    Args:
      source: The images, which may exceed memory.
      numbers: Numbers of the selected images, integers [M].
      shape: (H, W, C) that images are fitted to; their own when None.

    Attributes:
      shape: (M, H, W, C).
      dtype: Type of the images.
      labels: Int64 [M].
    """

    def __init__(self, source: ImageSource, numbers: np.ndarray, shape: ImageShape | None = None):
        self._source, self._numbers = source, numbers
        self._to = shape or source.image_shape
        self.dtype, self.shape = source.images.dtype, (len(numbers), *self._to)
        self.labels = source.labels[numbers]

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray:
        images: np.ndarray = self._source.images[self._numbers[part]]
        if images.shape[1:] == self._to:
            return images
        return np.stack([fit_array(image, self._to, "none") for image in images])

    def fitted(self, shape: ImageShape) -> _Selection:
        """The same images in another shape."""
        return _Selection(self._source, self._numbers, shape)


def trained_classifier(
    train: ImageSource,
    test: ImageSource | None = None,
    *,
    cache_dir: Path,
    seed: int = 0,
    num_updates: int = 1500,
    batch_size: int = 128,
) -> Classifier:
    """A small convolutional network, trained on the labels of `train` on first use.

    Its features are the 128 channels of the last convolution, averaged over positions as in
    Inception. Training takes a fixed number of updates (about a minute on two cores at 28x28 or
    32x32) on images shifted at random by up to 2 pixels, with Adam and a learning rate that decays
    to 0. Weights and accuracy are cached below `cache_dir` under a hash of images, labels, settings
    and this module's version. The accuracy is printed after training; `describe()` repeats it.

    The features capture differences between classes, and little of what classes share:
    backgrounds, colours, fine texture. Values depend on the weights, so the names of metrics
    contain a hash of them: only values under the same hash are comparable.

    Args:
      train: Labelled images; images of unknown class are left out. Sides above 64 are averaged
        down.
      test: Labelled images that are not trained on; a tenth of `train` when None.
      cache_dir: Folder of the weights.
      seed: Seed of weights, order and shifts, 0 or above. The same seed gives the same weights on
        CPUs of one kind; CPUs with and without AVX-512, for example, differ.
      num_updates: Number of updates.
      batch_size: Images per update.

    Raises:
      ArgumentError: If there are fewer than two classes, if the sets differ in shape, or if
        `cache_dir` cannot be used.
    """
    check_positive("num_updates", num_updates)
    check_positive("batch_size", batch_size)
    learned, checked = _labelled_sets(train, test, seed)
    shape = _network_shape(train.image_shape)
    num_classes = max(len(train.class_names), 1 + max(learned.labels.max(), checked.labels.max()))
    settings = {"seed": seed, "num_updates": num_updates, "batch_size": batch_size}
    sets = [learned, learned.labels, checked, checked.labels]
    digest = content_hash(*sets, shape, int(num_classes), settings, {"version": _VERSION})
    network = classifier_network(shape, int(num_classes), seed)

    def compute() -> Arrays:
        print(f"training a classifier on {train.name}, once: a minute or more", file=sys.stderr)
        train_classifier(network, learned.fitted(shape), learned.labels, **settings)
        accuracy = _accuracy(network, checked.fitted(shape))
        print(f"a classifier trained on {train.name}: {accuracy:.2%} right", file=sys.stderr)
        weights = {f"weight_{i:03d}": weight for i, weight in enumerate(network.get_weights())}
        return weights | {"accuracy": np.array(accuracy)}

    arrays = cached_arrays(Path(cache_dir) / "classifiers" / f"{digest[:24]}.npz", compute)
    accuracy = float(arrays.pop("accuracy"))
    weights = [arrays[name] for name in sorted(arrays)]
    network.set_weights(weights)
    return Classifier(
        name="classifier",
        content_hash=content_hash(digest, *weights),
        image_shape=shape,
        extract_batch=_extraction(network),
        batch_size=_BATCH,
        accuracy=accuracy,
        num_test_images=len(checked.labels),
    )


def _labelled_sets(
    train: ImageSource, test: ImageSource | None, seed: int
) -> tuple[_Selection, _Selection]:
    """Images for training, and images for measuring the accuracy."""
    known = np.flatnonzero(train.labels != UNKNOWN_LABEL)
    if len(np.unique(train.labels[known])) < 2:
        rule = "must have labels of two classes or more"
        raise ArgumentError("train", train.name, rule, "without labels take `random_convolutions`")
    if test is not None:
        check_same_shape(train, test)
        checked = np.flatnonzero(test.labels != UNKNOWN_LABEL)
        if not len(checked):
            raise ArgumentError("test", test.name, "must have labels", "leave it out")
        return _Selection(train, known), _Selection(test, checked)
    order = np.random.default_rng(seed).permutation(len(known))
    held_out = max(1, round(_HELD_OUT * len(order)))
    parts = (np.sort(order[held_out:]), np.sort(order[:held_out]))
    return _Selection(train, known[parts[0]]), _Selection(train, known[parts[1]])


def _network_shape(shape: ImageShape) -> ImageShape:
    """Sides divided by a whole number if the longer one exceeds 64."""
    height, width, channels = shape
    factor = math.ceil(max(height, width) / _LONGEST_SIDE)
    return max(1, height // factor), max(1, width // factor), channels


def _accuracy(network: keras.Model, images: _Selection) -> float:
    extract = _extraction(network)
    starts = range(0, len(images), _BATCH)
    batches = [extract(images[start : start + _BATCH]).probabilities for start in starts]
    probabilities = np.concatenate([batch for batch in batches if batch is not None])
    return float(np.mean(probabilities.argmax(axis=1) == images.labels))


def _extraction(network: keras.Model) -> Callable[[np.ndarray], Extracted]:
    @tf.function(reduce_retracing=True)
    def run(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, logits = network(images, training=False)
        return features, tf.nn.softmax(logits)

    def extract(images: np.ndarray) -> Extracted:
        features, probabilities = run(tf.constant(images))
        return Extracted(features.numpy(), probabilities.numpy())

    return extract


def classifier_network(image_shape: ImageShape, num_classes: int, seed: int) -> keras.Model:
    """Four convolutions, down to sides of 4; the last one's receptive field is most of the image.

    Args:
      image_shape: (H, W, C).
      num_classes: K.
      seed: Seed of the weights.

    Returns:
      Uint8 [B, H, W, C] -> features, float32 [B, 128], means over positions; and logits, float32
      [B, K].
    """
    images = keras.Input(image_shape, dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, dtype="float32")(images)
    third_stride = 1 if max(image_shape[:2]) <= 32 else 2
    layers = [(32, 5, 2), (64, 3, 2), (_NUM_FEATURES, 3, third_stride), (_NUM_FEATURES, 3, 2)]
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
    images: np.ndarray | _Selection,
    labels: np.ndarray,
    *,
    seed: int,
    num_updates: int,
    batch_size: int,
) -> None:
    """Minimises the cross-entropy with Adam and a cosine decay of the learning rate to 0.

    Args:
      network: A `classifier_network`; its weights change.
      images: Uint8 [N, H, W, C].
      labels: Int64 [N].
      seed: Seed of order and shifts.
      num_updates: Number of batches.
      batch_size: Images per batch.
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
    images: np.ndarray | _Selection,
    labels: np.ndarray,
    seed: int,
    num_updates: int,
    batch_size: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches with each image once per epoch, shifted at random; edges are repeated."""
    choose = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    places = np.arange(batch_size)[:, None, None]
    for _ in range(num_updates):
        while len(order) < batch_size:
            order = np.concatenate([order, choose.permutation(len(images))])
        taken, order = order[:batch_size], order[batch_size:]
        shifts = choose.integers(-_SHIFT, _SHIFT + 1, (2, batch_size, 1))
        rows, columns = (
            np.clip(np.arange(side) + shift, 0, side - 1)
            for side, shift in zip(images.shape[1:3], shifts, strict=True)
        )
        yield images[taken][places, rows[:, :, None], columns[:, None, :]], labels[taken]
