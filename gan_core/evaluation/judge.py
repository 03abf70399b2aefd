"""The judge: samples in, all metrics by name out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gan_core.data.source import ImageSource
from gan_core.errors import ArgumentError, check_positive
from gan_core.evaluation.classes import (
    class_evenness,
    class_shares,
    classes_covered,
    confident_share,
    total_variation,
)
from gan_core.evaluation.copying import copies, nearest_gap
from gan_core.evaluation.distances import FeatureStatistics, frechet_distance, kernel_distance
from gan_core.evaluation.extractor import Extracted, Extractor
from gan_core.evaluation.manifolds import density_coverage, precision_recall
from gan_core.evaluation.neighbours import check_neighbours, nearest, neighbour_distances
from gan_core.evaluation.protocol import Protocol
from gan_core.files import cached_arrays, content_hash
from gan_core.types import computed_once

_CHUNK = 5000
_FEWEST_TEST_IMAGES = 4
"""Two for a subset of the kernel distance, which is of half of them."""
_OF_REALS = "_of_reals"


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """How samples are judged.

    Attributes:
      num_samples: How many samples are judged at a time.
      num_real: How many training images they are compared with; at most 10,000 when None, and
        half of all where there are no test images.
      num_searched: How many training images are searched for copies; at most 60,000 when None,
        which take half of the time that 10,000 samples do.
      k: Which neighbour makes a ball.
      subset_size: Images in a subset of the kernel distance; 1,000 when None, or half of the
        smallest set.
      num_subsets: How many subsets it takes.
      minimum_share: A class is covered from this part of an even share (1 / K) on.
      seed: Which of the real images are taken, and which subsets.
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
    """Compares samples with training images, and other real images with them for scale.

    A value says little alone: the Fréchet distance of real images is not 0, and their precision
    is not 1. So beside `precision` there is `precision_of_reals`, of test images in the samples'
    place; without test images, of training images that are in no other part. They may be fewer
    than the samples (the protocol says how many), and a Fréchet distance of fewer images is
    larger.

    Nothing depends on a random state: equal arguments give equal values.

    Args:
      extractor: Where the features are from.
      train: The images that the generator learned from.
      test: Images of the same kind that it did not; None where there are none: then there is
        neither a gap nor a usual share of copies to compare with.
      settings: How samples are judged.
      cache_dir: Where the features of real images are kept.

    Attributes:
      protocol: All that a value depends on.

    Raises:
      ArgumentError: If there are fewer real images than the settings ask for, or three test images
        or fewer, or the sets differ in shape.
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
        if test is not None and test.image_shape != train.image_shape:
            raise ArgumentError(
                "test",
                list(test.image_shape),
                f"must have images of `train`'s shape {list(train.image_shape)}",
                "fit both to one shape",
            )
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
        """Computes what does not depend on the samples; `score` would do it the first time."""
        _ = self._radii, self._statistics, self._of_reals

    def score(self, samples: np.ndarray) -> dict[str, float]:
        """Judges samples.

        Args:
          samples: Uint8 [num_samples, H, W, C], of the training images' shape.

        Returns:
          By the protocol's name, `precision@...`: `frechet_distance` (`fid` under the standard
          protocol), `kernel_distance` with its `_standard_error`, `precision`, `recall`,
          `density`, `coverage`; from an extractor that knows classes `classes_covered`,
          `class_total_variation`, `class_evenness` and `confident_share` (surer than 0.9);
          `copied_share`, `nearest_distance` (the mean to the nearest
          training image) and, with test images, `nearest_gap` with its `_standard_error`. Those
          of reals end in `_of_reals`.

        Raises:
          ArgumentError: If there is another number of samples, or they have another shape.
        """
        self._check(samples)
        description = self._extractor.extract(samples)
        values = self._compared(description) | self._copying(description.features)
        return {self.protocol.key(name): value for name, value in (values | self._of_reals).items()}

    def beside_nearest(self, samples: np.ndarray) -> np.ndarray:
        """Each sample, and after it the training image nearest to it, for a picture.

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
                "change `num_samples`, or make as many",
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
        """Of all training images that are searched; the first of them are compared."""
        return self._described(self._train, self._searched)

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
        return self._described(self._other_source, self._others)

    @computed_once
    def _of_reals(self) -> dict[str, float]:
        """What other real images get in the samples' place."""
        if len(self._others) <= self._settings.k:
            return {}
        values = self._compared(self._other)
        if self._has_test:
            values["copied_share"] = copies(self._other.features, self._training.features).share
        return {f"{name}{_OF_REALS}": value for name, value in values.items()}

    def _compared(self, fake: Extracted) -> dict[str, float]:
        """Distances, fidelity and diversity, classes."""
        real, protocol = self._real, self.protocol
        sizes = {"subset_size": protocol.subset_size, "num_subsets": protocol.num_subsets}
        kernel = kernel_distance(real.features, fake.features, **sizes, seed=protocol.seed)
        pair = real.features, fake.features, protocol.k
        values = {
            "frechet_distance": frechet_distance(
                self._statistics, FeatureStatistics.of(fake.features)
            ),
            "kernel_distance": kernel.value,
            "kernel_distance_standard_error": kernel.standard_error,
            **precision_recall(*pair, real_radii=self._radii)._asdict(),
            **density_coverage(*pair, real_radii=self._radii)._asdict(),
        }
        if real.probabilities is None or fake.probabilities is None:
            return values
        shares, of_real = class_shares(fake.probabilities), class_shares(real.probabilities)
        minimum_share = protocol.minimum_share / len(shares)
        return values | {
            "classes_covered": float(classes_covered(shares, minimum_share)),
            "class_total_variation": total_variation(shares, of_real),
            "class_evenness": class_evenness(shares),
            "confident_share": confident_share(fake.probabilities),
        }

    def _copying(self, features: np.ndarray) -> dict[str, float]:
        training = self._training.features
        found = copies(features, training)
        values = {
            "copied_share": found.share,
            "nearest_distance": float(found.nearest.distances.mean()),
        }
        if self._has_test:
            count = min(len(training), len(self._others))
            gap = nearest_gap(features, training[:count], self._other.features[:count])
            values |= {"nearest_gap": gap.value, "nearest_gap_standard_error": gap.standard_error}
        return values

    def _described(self, source: ImageSource, indices: np.ndarray) -> Extracted:
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
