"""The interface of feature extractors, and the checks of feature arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gan_core.data.resizing import fit_array
from gan_core.errors import ArgumentError

AnySize = tuple[int | None, int | None, int]


class Extracted(NamedTuple):
    """What an extractor says of images.

    Attributes:
      features: Float32 [N, D].
      probabilities: Float32 [N, K] of an extractor that knows classes; else None.
    """

    features: np.ndarray
    probabilities: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Extractor:
    """From images to features; make one of your own from any function of a batch.

    Attributes:
      name: What it is, one word for the names of metrics.
      content_hash: Hexadecimal; another for any other weights or way to use them.
      image_shape: (H, W, C) of the images that it takes; None where any size will do. Others are
        fitted whole: averaged over areas, or interpolated where they are smaller.
      extract_batch: A batch of images of that shape, uint8 [B, H, W, C] -> their description.
      resizing: What it does itself to the images' size, for people; empty where nothing.
      batch_size: Images per batch; the last batch may be smaller.
    """

    name: str
    content_hash: str
    image_shape: AnySize
    extract_batch: Callable[[np.ndarray], Extracted]
    resizing: str = ""
    batch_size: int = 500

    def extract(self, images: np.ndarray) -> Extracted:
        """Features, and classes where it knows some, of uint8 [N, H, W, C], C of 1 or 3.

        Raises:
          ArgumentError: If there are no such images, or a feature is not finite.
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
        """Float32 [N, K] of uint8 [N, H, W, C]; None where it knows no classes."""
        return self.extract(images).probabilities

    @property
    def resize_rule(self) -> str:
        """What happens to the images' size, for people."""
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
    """Features as float64 [N, D]; the array itself where it is that already.

    Raises:
      ArgumentError: If they are not [N, D] with N of `at_least` and D of 1 or more, or not finite.
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
    # A sum is finite only where all values are, and takes no array of flags.
    with np.errstate(invalid="ignore"):
        total = np.sum(features, dtype=np.float64)
    if not np.isfinite(total):
        raise ArgumentError(
            argument, "NaN or infinite", "must be finite", "look for the images that cause it"
        )
    return np.asarray(features, np.float64)


def checked_pair(
    real: np.ndarray, fake: np.ndarray, names: tuple[str, str] = ("real", "fake")
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features of one extractor, each as `checked_features` gives it.

    Raises:
      ArgumentError: As `checked_features`, or if the sets differ in their number of features.
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
