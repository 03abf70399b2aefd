"""Interface of feature extractors, and checks of feature arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gan_core.data.resizing import fit_array
from gan_core.errors import ArgumentError

AnySize = tuple[int | None, int | None, int]


class Extracted(NamedTuple):
    """Features of images, and class probabilities.

    Attributes:
      features: Float32 [N, D].
      probabilities: Float32 [N, K]; None if the extractor has no classes.
    """

    features: np.ndarray
    probabilities: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Extractor:
    """A function from images to features; any function of a batch makes a custom extractor.

    Attributes:
      name: One word, used in the names of metrics.
      content_hash: Hexadecimal; different for different weights or preprocessing.
      image_shape: (H, W, C) of the images that it takes; H and W are None for any size. Images of
        another size are scaled without a crop: averaged over areas, or interpolated if smaller.
      extract_batch: Uint8 [B, H, W, C] of that shape -> features and class probabilities.
      resizing: Resizing within the extractor, in words; empty if there is none.
      batch_size: Images per batch; the last batch may be smaller.
    """

    name: str
    content_hash: str
    image_shape: AnySize
    extract_batch: Callable[[np.ndarray], Extracted]
    resizing: str = ""
    batch_size: int = 500

    def extract(self, images: np.ndarray) -> Extracted:
        """Features and class probabilities of images.

        Args:
          images: Uint8 [N, H, W, C], C of 1 or 3.

        Raises:
          ArgumentError: If the images have another type or shape, or a feature is not finite.
        """
        if (
            images.ndim != 4
            or images.dtype != np.uint8
            or not images.size
            or images.shape[-1] not in (1, 3)
        ):
            raise ArgumentError(
                "images",
                f"{images.dtype} {list(images.shape)}",
                "must be uint8 [N, H, W, C], N above 0, C of 1 or 3",
                "convert them to levels of 0 to 255",
            )
        starts = range(0, len(images), self.batch_size)
        batches = [
            self.extract_batch(self._fitted(images[i : i + self.batch_size])) for i in starts
        ]
        features = np.concatenate([batch.features for batch in batches])
        if not np.isfinite(features).all():
            raise ArgumentError(
                "extractor", self.name, "must give finite features", "check its weights"
            )
        if batches[0].probabilities is None:
            return Extracted(features)
        return Extracted(features, np.concatenate([batch.probabilities for batch in batches]))

    def features(self, images: np.ndarray) -> np.ndarray:
        """Float32 [N, D] of uint8 [N, H, W, C]."""
        return self.extract(images).features

    def probabilities(self, images: np.ndarray) -> np.ndarray | None:
        """Float32 [N, K] of uint8 [N, H, W, C]; None if the extractor has no classes."""
        return self.extract(images).probabilities

    @property
    def resize_rule(self) -> str:
        """The treatment of image sizes, in words."""
        height, width, channels = self.image_shape
        colours = "grey" if channels == 1 else "RGB"
        size = "any size" if height is None else f"fitted whole to {height}x{width}"
        return ", ".join(filter(None, [size, colours, self.resizing]))

    def _fitted(self, images: np.ndarray) -> np.ndarray:
        height, width, channels = self.image_shape
        shape = (height or images.shape[1], width or images.shape[2], channels)
        if images.shape[1:] == shape:
            return images
        return np.stack([fit_array(image, shape, "none") for image in images])


def checked_features(argument: str, features: np.ndarray, at_least: int = 2) -> np.ndarray:
    """Features as float64 [N, D], without a copy if they are that already.

    Raises:
      ArgumentError: If they are not [N, D] with N of `at_least` or more and D of 1 or more, or are
        not finite.
    """
    if features.ndim != 2 or not features.shape[1]:
        raise ArgumentError(
            argument, list(features.shape), "must be features [N, D]", "flatten all other axes"
        )
    if len(features) < at_least:
        raise ArgumentError(
            argument,
            f"{len(features)} examples",
            f"must have at least {at_least}",
            "give more images",
        )
    # The sum is finite only if all values are, and needs no array of flags.
    with np.errstate(invalid="ignore"):
        total = np.sum(features, dtype=np.float64)
    if not np.isfinite(total):
        raise ArgumentError(
            argument, "NaN or infinite", "must be finite", "find the images that cause it"
        )
    return np.asarray(features, np.float64)


def checked_pair(
    real: np.ndarray, fake: np.ndarray, names: tuple[str, str] = ("real", "fake")
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features of one extractor, each as returned by `checked_features`.

    Raises:
      ArgumentError: As in `checked_features`, or if the sets differ in their number of features.
    """
    real, fake = checked_features(names[0], real), checked_features(names[1], fake)
    if real.shape[1] != fake.shape[1]:
        raise ArgumentError(
            names[1],
            f"{fake.shape[1]} features",
            f"must have as many as `{names[0]}` ({real.shape[1]})",
            "take both from one extractor",
        )
    return real, fake
