"""Fréchet distance and kernel distance between two sets of features."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from gan_core.errors import ArgumentError
from gan_core.evaluation.extractor import checked_features, checked_pair

_ROWS = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Mean and covariance of a set of features, for the Fréchet distance.

    Attributes:
      mean: Float64 [D].
      covariance: Float64 [D, D], normalised by N - 1.

    Raises:
      ArgumentError: If the shapes do not match, or if the covariance has a value that is not
        finite or is not symmetric.
    """

    mean: np.ndarray
    covariance: np.ndarray

    def __post_init__(self) -> None:
        checked_features("covariance", self.covariance, at_least=1)
        size = len(self.covariance)
        if self.covariance.shape != (size, size) or self.mean.shape != (size,):
            raise ArgumentError(
                "covariance",
                list(self.covariance.shape),
                f"must be [D, D] for a mean of {list(self.mean.shape)}",
                "take both from one set of features",
            )
        if not np.allclose(self.covariance, self.covariance.T, rtol=1e-6):
            raise ArgumentError(
                "covariance", "not symmetric", "must be symmetric", "check its source"
            )

    @classmethod
    def of(cls, features: np.ndarray) -> FeatureStatistics:
        """Mean and covariance of features [N, D], N of 2 or more, in two passes."""
        features = checked_features("features", features)
        mean = features.mean(axis=0)
        scatter = np.zeros((len(mean), len(mean)))
        for start in range(0, len(features), _ROWS):
            centred = features[start : start + _ROWS] - mean
            scatter += centred.T @ centred
        return cls(mean, scatter / (len(features) - 1))


def frechet_distance(
    real: np.ndarray | FeatureStatistics, fake: np.ndarray | FeatureStatistics
) -> float:
    """The Fréchet distance between Gaussians with the sets' means and covariances.

    Heusel et al. 2017, equation 6; the value is the squared distance, as is usual:

        |m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^(1/2))

    With factors C = F F^T the last trace is the sum of the singular values of F_r^T F_f. This
    needs no square root of a non-symmetric matrix: the result is real at any rank, also with fewer
    examples than features and with constant features, and rounding errors are not amplified by a
    square root.

    The estimate is biased upwards by an amount that falls as 1 / N and grows with D (Chong &
    Forsyth 2020): compare only values of equally many examples, and compare with the distance
    between two sets of real images.

    Args:
      real: Features [N, D], N of 2 or more, or their statistics.
      fake: The same for samples; their number may differ.

    Returns:
      0 or above, in squared units of the features; 0 for equal sets up to rounding.

    Raises:
      ArgumentError: If the sets do not match, are too small or are not finite.
    """
    real, fake = (
        each if isinstance(each, FeatureStatistics) else FeatureStatistics.of(each)
        for each in (real, fake)
    )
    if real.mean.shape != fake.mean.shape:
        raise ArgumentError(
            "fake",
            f"{len(fake.mean)} features",
            f"must have as many as `real` ({len(real.mean)})",
            "take both from one extractor",
        )
    between_means = np.sum((real.mean - fake.mean) ** 2)
    traces = np.trace(real.covariance) + np.trace(fake.covariance)
    product = _factor(real.covariance).T @ _factor(fake.covariance)
    # The factor of constant features has no columns.
    overlap = np.linalg.svd(product, compute_uv=False).sum() if product.size else 0.0
    return max(0.0, float(between_means + traces - 2.0 * overlap))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F [D, rank] with F F^T = covariance; directions within rounding errors are left out."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


class KernelDistance(NamedTuple):
    """A kernel distance and its standard error.

    Attributes:
      value: The estimate; it is unbiased, and so may be below 0.
      standard_error: Standard deviation of `value` over new draws of both sets.
    """

    value: float
    standard_error: float


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    subset_size: int = 1000,
    num_subsets: int = 100,
    seed: int = 0,
) -> KernelDistance:
    """The squared maximum mean discrepancy under a cubic kernel ("KID").

    Binkowski et al. 2018, section 4 and equation 4: k(x, y) = (x . y / D + 1)^3, and for subsets
    of m examples of each set

        sum_(i != j) (k(x_i, x_j) + k(y_i, y_j)) / (m (m - 1)) - 2 mean_(i, j) k(x_i, y_j),

    The mean over subsets is unbiased at any number of examples: for two sets of one distribution
    its expectation is 0.

    The subsets share examples, so the spread s of their values is not the standard error. The
    square of that is the delete-d jackknife variance (Shao & Wu 1989), for n examples in the
    smaller set, plus the noise of finitely many subsets: s^2 (m / (n - m) + 1 / num_subsets). If
    both sets are of one distribution, it is too large rather than too small.

    Args:
      real: Features [N, D].
      fake: The same for samples; their number may differ.
      subset_size: m, 2 or more and smaller than both sets.
      num_subsets: Number of subsets, 2 or more; each is drawn without replacement.
      seed: Seed of the subsets, 0 or above.

    Returns:
      The distance and its standard error.

    Raises:
      ArgumentError: If the sets do not match, or are too small for `subset_size`.
    """
    real, fake = checked_pair(real, fake)
    smaller = min(len(real), len(fake))
    if not 2 <= subset_size < smaller:
        raise ArgumentError(
            "subset_size",
            subset_size,
            f"must be 2 or more and below the number of examples ({smaller})",
            f"use {smaller // 2}" if smaller >= 4 else "give more images",
        )
    if num_subsets < 2:
        raise ArgumentError(
            "num_subsets", num_subsets, "must be 2 or more for a standard error", "use 100"
        )
    choose = np.random.default_rng(seed)
    values = [
        _squared_discrepancy(
            *(each[choose.choice(len(each), subset_size, replace=False)] for each in (real, fake))
        )
        for _ in range(num_subsets)
    ]
    share = subset_size / (smaller - subset_size) + 1 / num_subsets
    return KernelDistance(float(np.mean(values)), float(np.sqrt(np.var(values, ddof=1) * share)))


def _squared_discrepancy(real: np.ndarray, fake: np.ndarray) -> float:
    """The unbiased estimate for two sets of equal size."""
    count = len(real)
    within = sum(_kernel_sum(each, each) - _kernel_diagonal(each) for each in (real, fake))
    return within / (count * (count - 1)) - 2 * _kernel_sum(real, fake) / count**2


def _kernel_sum(one: np.ndarray, other: np.ndarray) -> float:
    other = other.T / other.shape[1]
    blocks = (one[start : start + _ROWS] for start in range(0, len(one), _ROWS))
    return sum(_sum_of_cubes(block @ other + 1.0) for block in blocks)


def _kernel_diagonal(features: np.ndarray) -> float:
    squares = np.einsum("nd,nd->n", features, features)
    return _sum_of_cubes(squares / features.shape[1] + 1.0)


def _sum_of_cubes(values: np.ndarray) -> float:
    # Twenty times as fast as a power of 3.
    values = values.ravel()
    return float((values * values) @ values)
