"""The judge, which computes all metrics of samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gan_core.data.source import ImageSource, check_same_shape
from gan_core.errors import ArgumentError, check_positive
from gan_core.evaluation.distances import FeatureStatistics
from gan_core.evaluation.extractor import Extracted, Extractor
from gan_core.evaluation.metrics import Comparison, measure
from gan_core.evaluation.neighbours import check_neighbours, nearest, neighbour_distances
from gan_core.evaluation.protocol import Protocol
from gan_core.files import cached_arrays, content_hash
from gan_core.types import computed_once

_CHUNK = 5000
_FEWEST_TEST_IMAGES = 4
"""Subsets of the kernel distance hold half of them, and need two."""
_OF_REALS = "_of_reals"


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """Settings of a judge.

    Attributes:
      num_samples: Number of samples that are judged at a time.
      num_real: Number of training images that samples are compared with. None: at most 10,000,
        and at most half of all if there are no test images.
      num_searched: Number of training images that are searched for copies. None: at most 60,000,
        which take half as long as 10,000 samples.
      k: Neighbour rank that sets each ball's radius.
      subset_size: Images per subset of the kernel distance. None: 1,000, or half of the smallest
        set if that is less.
      num_subsets: Number of subsets of the kernel distance.
      minimum_share: A class is covered if its share is at least this fraction of 1 / K.
      seed: Seed of the choice of real images and of subsets.
    """

    num_samples: int = 10_000
    num_real: int | None = None
    num_searched: int | None = None
    k: int = 5
    subset_size: int | None = None
    num_subsets: int = 100
    minimum_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_neighbours(self.k, self.num_samples)
        for name in ("num_real", "num_searched", "subset_size", "num_subsets"):
            if (value := getattr(self, name)) is not None:
                check_positive(name, value)
        if not 0 < self.minimum_share <= 1:
            raise ArgumentError(
                "minimum_share", self.minimum_share, "must be above 0 and at most 1", "use 0.1"
            )


class Judge:
    """Comparison of samples with training images, and of other real images as a reference.

    A value alone says little: the Fréchet distance of real images is not 0, and their precision
    is not 1. So `precision` comes with `precision_of_reals`, which test images get in the samples'
    place; without test images, training images that are not used otherwise. There may be fewer of
    them than samples (the protocol has the number), and the Fréchet distance of fewer images is
    larger.

    Values do not depend on a random state: equal arguments give equal values.

    Args:
      extractor: Computes the features.
      train: The images that the generator was trained on.
      test: Images of the same kind that it was not trained on. None: there are no values of the
        gap, and no share of copies among real images.
      settings: Numbers of images, and parameters of the metrics.
      cache_dir: Folder in which the features of real images are kept.

    Attributes:
      protocol: Everything that a value depends on apart from the samples.

    Raises:
      ArgumentError: If there are fewer real images than the settings need, or fewer than four test
        images, or if the sets differ in shape.
    """

    def __init__(
        self,
        extractor: Extractor,
        train: ImageSource,
        test: ImageSource | None = None,
        *,
        settings: JudgeSettings | None = None,
        cache_dir: Path,
    ):
        self._settings = settings = settings or JudgeSettings()
        if test is not None:
            check_same_shape(train, test)
        self._extractor, self._train = extractor, train
        self._cache = Path(cache_dir) / "features"
        self._has_test = test is not None
        count = len(train.images)
        self._num_real = settings.num_real or min(10_000, count if self._has_test else count // 2)
        num_searched = settings.num_searched or max(self._num_real, min(60_000, count))
        if not self._num_real <= num_searched <= count:
            raise ArgumentError(
                "num_searched",
                num_searched,
                f"must be from `num_real` ({self._num_real}) to the number of training images "
                f"({count})",
                "leave out `num_real` and `num_searched`",
            )
        choose = np.random.default_rng(settings.seed)
        order = choose.permutation(count)
        self._searched = order[:num_searched]
        others = order[self._num_real :] if test is None else choose.permutation(len(test.images))
        self._others = others[: settings.num_samples]
        if settings.subset_size is None and test and len(test.images) < _FEWEST_TEST_IMAGES:
            raise ArgumentError(
                "test",
                f"{len(test.images)} images",
                f"must be {_FEWEST_TEST_IMAGES} or more, for subsets of half of them",
                "give more, or none",
            )
        self._other_source = train if test is None else test
        check_neighbours(settings.k, self._num_real)
        self.protocol = self._protocol()

    def prepare(self) -> None:
        """Computes the part that does not depend on samples, which the first `score` would do."""
        _ = self._radii, self._statistics, self._of_reals

    def score(self, samples: np.ndarray) -> dict[str, float]:
        """The metrics of samples.

        Args:
          samples: Uint8 [num_samples, H, W, C], of the training images' shape.

        Returns:
          The values of `metrics.METRICS` that apply, under the protocol's names (`precision@...`;
          `fid@...` for `frechet_distance` under the standard protocol); then those of real images
          in the samples' place, which end in `_of_reals`. Class metrics need an extractor that
          gives probabilities; `nearest_gap` needs test images.

        Raises:
          ArgumentError: If the samples differ in number or shape.
        """
        self._check(samples)
        values = measure(self._comparison(self._extractor.extract(samples)))
        return {self.protocol.key(name): value for name, value in (values | self._of_reals).items()}

    def beside_nearest(self, samples: np.ndarray) -> np.ndarray:
        """Each sample followed by its nearest training image, for a picture.

        Args:
          samples: Uint8 [N, H, W, C], of the training images' shape.

        Returns:
          Uint8 [2 N, H, W, C].
        """
        found = nearest(self._extractor.features(samples), self._training.features)
        images = self._train.images[self._searched[found.indices]]
        return np.stack([samples, images], axis=1).reshape(-1, *samples.shape[1:])

    def _check(self, samples: np.ndarray) -> None:
        wanted = (self._settings.num_samples, *self._train.image_shape)
        if samples.shape != wanted:
            raise ArgumentError(
                "samples",
                list(samples.shape),
                f"must be {list(wanted)}: `num_samples` of the training images' shape",
                "change `num_samples`, or generate as many",
            )

    def _protocol(self) -> Protocol:
        settings, others = self._settings, len(self._others)
        smallest = min(filter(None, (settings.num_samples, self._num_real, others)))
        return Protocol(
            extractor=self._extractor.name,
            extractor_hash=self._extractor.content_hash,
            resizing=self._extractor.resize_rule,
            real_images=self._train.name,
            real_hash=content_hash(
                _hash_of(self._train.images, self._searched),
                _hash_of(self._other_source.images, self._others),
            ),
            all_real=self._num_real == len(self._train.images),
            num_samples=settings.num_samples,
            num_real=self._num_real,
            num_searched=len(self._searched),
            num_others=others,
            others="test" if self._has_test else "train",
            k=settings.k,
            subset_size=settings.subset_size or min(1000, smallest // 2),
            num_subsets=settings.num_subsets,
            minimum_share=settings.minimum_share,
            seed=settings.seed,
        )

    @computed_once
    def _training(self) -> Extracted:
        """Of all training images that are searched; samples are compared with the first of them."""
        return self._extracted(self._train, self._searched)

    @computed_once
    def _real(self) -> Extracted:
        features, probabilities = self._training
        known = None if probabilities is None else probabilities[: self._num_real]
        return Extracted(features[: self._num_real], known)

    @computed_once
    def _statistics(self) -> FeatureStatistics:
        return FeatureStatistics.of(self._real.features)

    @computed_once
    def _radii(self) -> np.ndarray:
        return neighbour_distances(self._real.features, self._settings.k)

    @computed_once
    def _other(self) -> Extracted:
        return self._extracted(self._other_source, self._others)

    @computed_once
    def _of_reals(self) -> dict[str, float]:
        """Metrics of other real images in the samples' place."""
        if len(self._others) <= self._settings.k:
            return {}
        values = measure(self._comparison(self._other), are_reals=True)
        return {f"{name}{_OF_REALS}": value for name, value in values.items()}

    def _comparison(self, fake: Extracted) -> Comparison:
        return Comparison(
            fake=fake,
            real=self._real,
            statistics=self._statistics,
            radii=self._radii,
            training=self._training.features,
            test=self._other.features if self._has_test else None,
            protocol=self.protocol,
        )

    def _extracted(self, source: ImageSource, indices: np.ndarray) -> Extracted:
        extractor = self._extractor
        shape = list(extractor.image_shape)
        digest = content_hash(
            extractor.name, extractor.content_hash, shape, _hash_of(source.images, indices)
        )

        def compute() -> dict[str, np.ndarray]:
            parts = [extractor.extract(chunk) for chunk in _chunks(source.images, indices)]
            arrays = {"features": np.concatenate([part.features for part in parts])}
            if parts[0].probabilities is not None:
                arrays["probabilities"] = np.concatenate([part.probabilities for part in parts])
            return arrays

        arrays = cached_arrays(self._cache / f"{digest[:24]}.npz", compute)
        return Extracted(arrays["features"], arrays.get("probabilities"))


def _hash_of(images: np.ndarray, indices: np.ndarray) -> str:
    return content_hash([content_hash(chunk) for chunk in _chunks(images, indices)])


def _chunks(images: np.ndarray, indices: np.ndarray) -> Iterator[np.ndarray]:
    return (images[indices[start : start + _CHUNK]] for start in range(0, len(indices), _CHUNK))
