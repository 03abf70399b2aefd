"""Features of a small classifier that is trained once on the labelled images themselves."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gan_core.data.resizing import ImageShape, fit_array
from gan_core.data.source import UNKNOWN_LABEL, ImageSource
from gan_core.errors import ArgumentError, check_positive
from gan_core.evaluation import small_network as network_module
from gan_core.evaluation.extractor import Extracted, Extractor
from gan_core.evaluation.small_network import classifier_network, train_classifier
from gan_core.files import Arrays, cached_arrays, checksum, content_hash

_LONGEST_SIDE = 64
_HELD_OUT = 0.1
_BATCH = 500


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Classifier(Extractor):
    """An extractor that knows classes, and how well.

    Attributes:
      accuracy: The share of test images, 0 to 1, whose class it names.
      num_test_images: How many they were.
    """

    accuracy: float
    num_test_images: int

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.name} {self.content_hash[:6]}: {self.accuracy:.2%} of "
            f"{self.num_test_images:,} test images right"
        )


class _ReadWhenAsked:
    """Images of an array that may be larger than memory, read where they are asked for.

    `images[numbers]`, `images[start:end]`, or as arrays are indexed by several arrays at once,
    `images[numbers, rows, columns]`, of which the first holds images' numbers [B, 1, 1].

    Attributes:
      shape: (N, H, W, C).
      dtype: Theirs.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: Any) -> np.ndarray:
        if not isinstance(part, tuple):
            return self._read(part)
        numbers, *pixels = part
        images = self._read(numbers.ravel())
        found: np.ndarray = images[(np.arange(len(images)).reshape(numbers.shape), *pixels)]
        return found

    def _read(self, part: slice | np.ndarray) -> np.ndarray:
        raise NotImplementedError


class _Rows(_ReadWhenAsked):
    """Some of the images.

    Args:
      images: Uint8 [N, H, W, C].
      numbers: Of those that are meant, integers [M].
    """

    def __init__(self, images: np.ndarray | _ReadWhenAsked, numbers: np.ndarray):
        self._images, self._numbers = images, numbers
        self.dtype, self.shape = images.dtype, (len(numbers), *images.shape[1:])

    def _read(self, part: slice | np.ndarray) -> np.ndarray:
        return self._images[self._numbers[part]]


class _Fitted(_ReadWhenAsked):
    """Images fitted to another shape.

    Args:
      images: Uint8 [N, H, W, C].
      shape: (H, W, C) wanted.
    """

    def __init__(self, images: np.ndarray | _ReadWhenAsked, shape: ImageShape):
        self._images, self._to = images, shape
        self.dtype, self.shape = images.dtype, (len(images), *shape)

    def _read(self, part: slice | np.ndarray) -> np.ndarray:
        return np.stack([fit_array(image, self._to, "none") for image in self._images[part]])


@dataclasses.dataclass(frozen=True, eq=False)
class _LabelledImages:
    images: np.ndarray | _ReadWhenAsked
    labels: np.ndarray

    def fitted(self, shape: ImageShape) -> Any:
        """Them in a shape; none of them is read before it is asked for."""
        return self.images if self.images.shape[1:] == shape else _Fitted(self.images, shape)

    def some(self, numbers: np.ndarray) -> _LabelledImages:
        """Those of some numbers, integers [M]."""
        return _LabelledImages(_Rows(self.images, numbers), self.labels[numbers])


def trained_classifier(
    train: ImageSource,
    test: ImageSource | None = None,
    *,
    cache_dir: Path,
    seed: int = 0,
    num_updates: int = 1500,
    batch_size: int = 128,
) -> Classifier:
    """A small convolutional network, trained on the labels of `train` the first time.

    Its features are the 128 means over the last layer's positions, as those of Inception are.
    It is trained for a set number of updates (about a minute on two cores at 28x28 or 32x32), on
    images shifted at random by up to 2 pixels, with Adam and a learning rate that falls to 0. The
    weights are kept below `cache_dir` under a hash of images, labels, settings and versions, and
    their accuracy with them; it is printed when they are made, and `describe()` tells it later.

    It sees what tells the classes apart, and hardly what no class differs in: backgrounds,
    colours, fine texture. Values depend on the weights, so the content's hash goes into the
    metrics' names: only values under the same hash can be compared.

    Args:
      train: Labelled images; those of unknown class are left out. Sides above 64 are averaged
        down.
      test: Labelled images that it is not trained on; a tenth of `train` when None.
      cache_dir: Where the weights are kept.
      seed: Of weights, order and shifts, 0 or above. On CPUs of one kind the same seed gives the
        same weights; with AVX-512 and without, say, they differ.
      num_updates: How long it is trained.
      batch_size: Images in one update.

    Raises:
      ArgumentError: If there are not two classes, if the sets differ in shape, or if `cache_dir`
        cannot be used.
    """
    check_positive("num_updates", num_updates)
    check_positive("batch_size", batch_size)
    learned, checked = _labelled_sets(train, test, seed)
    shape = _network_shape(train.image_shape)
    num_classes = max(len(train.class_names), 1 + max(learned.labels.max(), checked.labels.max()))
    settings = {"seed": seed, "num_updates": num_updates, "batch_size": batch_size}
    code = [tf.__version__, keras.__version__, checksum(Path(network_module.__file__))]
    sets = [learned.images, learned.labels, checked.images, checked.labels]
    digest = content_hash(*sets, shape, int(num_classes), settings, code)
    network = classifier_network(shape, int(num_classes), seed)

    def compute() -> Arrays:
        print(f"training a classifier on {train.name}, once: a minute or more", file=sys.stderr)
        train_classifier(network, learned.fitted(shape), learned.labels, **settings)
        accuracy = _accuracy(network, checked.fitted(shape), checked.labels)
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
) -> tuple[_LabelledImages, _LabelledImages]:
    """What it learns from and what it is checked with."""
    learned = _labelled(train)
    if len(np.unique(learned.labels)) < 2:
        raise ArgumentError(
            "train",
            train.name,
            "must have labels of two classes or more",
            "without labels take `random_convolutions`",
        )
    if test is not None:
        if test.image_shape != train.image_shape:
            raise ArgumentError(
                "test",
                list(test.image_shape),
                f"must have images of `train`'s shape {list(train.image_shape)}",
                "fit both to one shape",
            )
        checked = _labelled(test)
        if not len(checked.labels):
            raise ArgumentError("test", test.name, "must have labels", "leave it out")
        return learned, checked
    order = np.random.default_rng(seed).permutation(len(learned.labels))
    held_out = max(1, round(_HELD_OUT * len(order)))
    parts = (np.sort(order[held_out:]), np.sort(order[:held_out]))
    return learned.some(parts[0]), learned.some(parts[1])


def _labelled(source: ImageSource) -> _LabelledImages:
    known = np.flatnonzero(source.labels != UNKNOWN_LABEL)
    every = _LabelledImages(source.images, source.labels)
    return every if len(known) == len(source.labels) else every.some(known)


def _network_shape(shape: ImageShape) -> ImageShape:
    """Sides averaged down by a whole factor where the longer is above 64."""
    height, width, channels = shape
    factor = math.ceil(max(height, width) / _LONGEST_SIDE)
    return max(1, height // factor), max(1, width // factor), channels


def _accuracy(network: keras.Model, images: Any, labels: np.ndarray) -> float:
    extract = _extraction(network)
    starts = range(0, len(images), _BATCH)
    batches = [extract(images[start : start + _BATCH]).probabilities for start in starts]
    probabilities = np.concatenate([batch for batch in batches if batch is not None])
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def _extraction(network: keras.Model) -> Callable[[np.ndarray], Extracted]:
    @tf.function(reduce_retracing=True)
    def run(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, logits = network(images, training=False)
        return features, tf.nn.softmax(logits)

    def extract(images: np.ndarray) -> Extracted:
        features, probabilities = run(tf.constant(images))
        return Extracted(features.numpy(), probabilities.numpy())

    return extract
