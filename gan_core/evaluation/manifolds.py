"""Fidelity and diversity of samples: precision and recall, density and coverage.

The manifold of a set is estimated by the union of balls around its examples. The radius of each
ball is the distance to the k-th nearest other example of the set.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gan_core.evaluation.extractor import checked_pair
from gan_core.evaluation.neighbours import ball_counts, check_neighbours, neighbour_distances


class PrecisionRecall(NamedTuple):
    """Fidelity and diversity, each from 0 to 1.

    Attributes:
      precision: Share of the samples that are on the manifold of the real images.
      recall: Share of the real images that are on the manifold of the samples.
    """

    precision: float
    recall: float


def precision_recall(
    real: np.ndarray,
    fake: np.ndarray,
    k: int = 5,
    *,
    real_radii: np.ndarray | None = None,
    fake_radii: np.ndarray | None = None,
) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019, equations 1 and 2).

    Two sets of one distribution do not have a precision of 1. A sample is in the ball of a real
    image if it is among the k nearest neighbours of that image, so the expected precision is the
    share of points in a k-nearest-neighbour graph that are a neighbour of any other: nearly 1 in
    few dimensions, about 1 - exp(-k) in many if points lie evenly (by the Poisson limit of Newman,
    Rinott & Tversky 1983), and far less if there are hubs, a few examples that are near to all
    others. So compare with the values of two sets of real images. An outlier among the real images
    has a large ball, which can contain many bad samples: see `density_coverage`.

    Args:
      real: Features [N, D].
      fake: Features of the samples [M, D].
      k: Neighbour rank that sets each ball's radius, below N and M. The paper has 3 for 50,000
        images.
      real_radii: [N], `neighbour_distances(real, k)`; computed when None.
      fake_radii: [M], the same for the samples.

    Returns:
      Precision and recall; 1 and 1 for equal sets. Duplicates count separately.

    Raises:
      ArgumentError: If the sets do not match, or have `k` examples or fewer.
    """
    real, fake = checked_pair(real, fake)
    check_neighbours(k, min(len(real), len(fake)))
    if real_radii is None:
        real_radii = neighbour_distances(real, k)
    if fake_radii is None:
        fake_radii = neighbour_distances(fake, k)
    precision = np.mean(ball_counts(fake, real, real_radii).balls_of_point > 0)
    recall = np.mean(ball_counts(real, fake, fake_radii).balls_of_point > 0)
    return PrecisionRecall(float(precision), float(recall))


class DensityCoverage(NamedTuple):
    """Fidelity and diversity by the balls around real images.

    Attributes:
      density: Mean number of balls that contain a sample, divided by k; it may exceed 1.
      coverage: Share of the real images, from 0 to 1, whose ball contains a sample.
    """

    density: float
    coverage: float


def density_coverage(
    real: np.ndarray, fake: np.ndarray, k: int = 5, *, real_radii: np.ndarray | None = None
) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, section 3).

    For N real images and M samples of one continuous distribution, the expected density is 1, as a
    sample is among the k nearest of an image's N others with probability k / N. The expected
    coverage is

        1 - prod_(j < k) (N - 1 - j) / (N + M - 1 - j),

    1 minus the probability that the k nearest neighbours of an image are all real: 1 - 1 / 2^k for
    equally large sets, 0.97 at k = 5. Both hold in any number of dimensions.

    Args:
      real: Features [N, D].
      fake: Features of the samples [M, D].
      k: Neighbour rank that sets each ball's radius, below N.
      real_radii: [N], `neighbour_distances(real, k)`; computed when None.

    Returns:
      Density and coverage. Equal sets have a density of 1 + 1 / k, because each example is also in
      its own ball, and a coverage of 1.

    Raises:
      ArgumentError: If the sets do not match, or `real` has `k` examples or fewer.
    """
    real, fake = checked_pair(real, fake)
    check_neighbours(k, len(real))
    if real_radii is None:
        real_radii = neighbour_distances(real, k)
    counts = ball_counts(fake, real, real_radii)
    density = counts.balls_of_point.mean() / k
    return DensityCoverage(float(density), float(np.mean(counts.points_in_ball > 0)))
