"""How many samples look real, and how much of the real images the samples reach.

A set's manifold is the union of balls around its examples, each as wide as the distance to its
k-th nearest other example.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gan_core.evaluation.extractor import checked_pair
from gan_core.evaluation.neighbours import ball_counts, check_neighbours, neighbour_distances


class PrecisionRecall(NamedTuple):
    """Shares from 0 to 1.

    Attributes:
      precision: Of the samples, those on the manifold of the real images.
      recall: Of the real images, those on the manifold of the samples.
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

    Two samples of one distribution do not give 1. A sample lies in the ball of a real image where
    it is among the image's k nearest of all others, so its expected precision is the share of
    points of a k-nearest-neighbour graph that are a neighbour of any: nearly 1 in few dimensions,
    about 1 - exp(-k) in many where points lie evenly (by the Poisson limit of Newman, Rinott &
    Tversky 1983), and far less where there are hubs, a few examples that are near to all others.
    So look at what two sets of real images give. One outlier among the real images has a large
    ball and can let many bad samples pass: see `density_coverage`.

    Args:
      real: Features [N, D].
      fake: Features of the samples [M, D].
      k: Which neighbour makes a ball, below N and M. The paper's is 3, of 50,000 images.
      real_radii: [N], as `neighbour_distances(real, k)` gives them; computed when None.
      fake_radii: [M], the same of the samples.

    Returns:
      Precision and recall. Equal sets have 1 and 1; equal examples count each.

    Raises:
      ArgumentError: If the sets do not fit each other, or have not more than `k` examples.
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
    """What the balls of the real images hold.

    Attributes:
      density: How many balls hold a sample, on average, over k; not limited to 1.
      coverage: The share of real images, from 0 to 1, whose ball holds a sample.
    """

    density: float
    coverage: float


def density_coverage(
    real: np.ndarray, fake: np.ndarray, k: int = 5, *, real_radii: np.ndarray | None = None
) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, section 3).

    For N real images and M samples of one continuous distribution the density is 1 on average, as
    a sample is among the k nearest of the N others of an image with probability k / N; and the
    coverage is

        1 - prod_(j < k) (N - 1 - j) / (N + M - 1 - j),

    1 less the probability that the k nearest of an image are all real ones: 1 - 1 / 2^k for equal
    numbers, 0.97 at k = 5. Both hold in any number of dimensions.

    Args:
      real: Features [N, D].
      fake: Features of the samples [M, D].
      k: Which neighbour makes a ball, below N.
      real_radii: [N], as `neighbour_distances(real, k)` gives them; computed when None.

    Returns:
      Density and coverage. Equal sets have a density of 1 + 1 / k, as each example is also in its
      own ball, and a coverage of 1.

    Raises:
      ArgumentError: If the sets do not fit each other, or `real` has not more than `k` examples.
    """
    real, fake = checked_pair(real, fake)
    check_neighbours(k, len(real))
    if real_radii is None:
        real_radii = neighbour_distances(real, k)
    counts = ball_counts(fake, real, real_radii)
    density = counts.balls_of_point.mean() / k
    return DensityCoverage(float(density), float(np.mean(counts.points_in_ball > 0)))
