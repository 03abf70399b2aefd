"""Whether samples are copies of training images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gan_core.errors import ArgumentError
from gan_core.evaluation.extractor import checked_pair
from gan_core.evaluation.neighbours import Nearest, nearest, nearest_others


class Copies(NamedTuple):
    """How near samples are to training images.

    Attributes:
      nearest: The nearest training image of each sample: distances, and indices for a picture.
      share: The share of samples, 0 to 1, that are at least as near to their nearest training
        image as that image's own nearest other training image is.
    """

    nearest: Nearest
    share: float


def copies(samples: np.ndarray, train: np.ndarray) -> Copies:
    """Compares samples' nearest training images with what is usual among training images.

    A sample counts as a copy where its nearest training image has no other training image nearer
    than it (Alaa et al. 2022: it is not "authentic"). Unseen images of
    the same distribution count too, now and then: about a third to a half of them where training
    images lie evenly. Compare with the share of test images; copies alone give 1.

    Args:
      samples: Features [N, D].
      train: Features of the training images [M, D], M of 2 or more; all of them, as an image that
        is left out cannot be found.

    Raises:
      ArgumentError: If the sets do not fit each other.
    """
    samples, train = checked_pair(samples, train, ("samples", "train"))
    found = nearest(samples, train)
    images, places = np.unique(found.indices, return_inverse=True)
    usual = nearest_others(train, images)[places]
    return Copies(found, float(np.mean(found.distances <= usual)))


class NearestGap(NamedTuple):
    """How much nearer samples are to training images than to images nobody trained on.

    Attributes:
      value: The mean distance to the nearest test image less that to the nearest training image:
        about 0 where samples keep the same distance from both, above 0 where they copy.
      standard_error: Its standard deviation over other draws.
    """

    value: float
    standard_error: float


def nearest_gap(samples: np.ndarray, train: np.ndarray, test: np.ndarray) -> NearestGap:
    """Whether samples are nearer to the training images than to as many images of the same kind.

    The standard error adds what another draw of the samples would change to what other training
    and other test images would, each by the jackknife: without a training image its samples have
    their second nearest. In simulations with Gaussians of 32 to 128 dimensions it is right to a
    fifth, in 2 to 4 dimensions up to 1.8 times too large.

    Args:
      samples: Features [N, D].
      train: Features of training images [M, D].
      test: Features of test images [M, D], as many: the more there are, the nearer is the nearest.

    Raises:
      ArgumentError: If the sets do not fit each other, or `train` and `test` differ in number.
    """
    if len(train) != len(test):
        raise ArgumentError(
            "test",
            f"{len(test)} images",
            f"must be as many as `train` ({len(train)})",
            f"give {min(len(train), len(test))} of both",
        )
    samples, train = checked_pair(samples, train, ("samples", "train"))
    samples, test = checked_pair(samples, test, ("samples", "test"))
    to_train, to_test = nearest(samples, train), nearest(samples, test)
    gaps = to_test.distances - to_train.distances
    variance = np.var(gaps, ddof=1) / len(samples)
    variance += sum(_jackknife_variance(found, len(train)) for found in (to_train, to_test))
    return NearestGap(float(gaps.mean()), float(np.sqrt(variance)))


def _jackknife_variance(found: Nearest, num_candidates: int) -> float:
    """Of the mean nearest distance, over draws of the candidates."""
    farther = found.second_distances - found.distances
    changes = np.bincount(found.indices, farther, minlength=num_candidates) / len(farther)
    return float(np.var(changes) * (num_candidates - 1))
