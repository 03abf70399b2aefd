"""Class frequencies of samples, by a classifier's probabilities."""

from __future__ import annotations

import numpy as np

from gan_core.errors import ArgumentError


def class_shares(probabilities: np.ndarray) -> np.ndarray:
    """The share of examples that are assigned to each class, their most probable one.

    A classifier assigns noise to a class too: shares show which classes are missing, but not the
    quality of the others.

    Args:
      probabilities: [N, K]; each row sums to 1.

    Returns:
      Float64 [K], summing to 1.

    Raises:
      ArgumentError: If they are not probabilities of K classes, K of 2 or more.
    """
    _check(probabilities)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return counts / len(probabilities)


def confident_share(probabilities: np.ndarray, threshold: float = 0.9) -> float:
    """The share of examples whose largest class probability exceeds `threshold`.

    Args:
      probabilities: [N, K]; each row sums to 1.
      threshold: From 0 to 1.

    Returns:
      From 0 to 1.

    Raises:
      ArgumentError: If they are not probabilities of K classes, or the threshold is not in range.
    """
    _check(probabilities)
    if not 0 <= threshold <= 1:
        raise ArgumentError("threshold", threshold, "must be from 0 to 1", "use 0.9")
    return float(np.mean(probabilities.max(axis=1) > threshold))


def class_evenness(shares: np.ndarray) -> float:
    """The smallest share divided by the largest one: 1 if even, 0 if a class is missing.

    Args:
      shares: [K], from `class_shares`.
    """
    return float(shares.min() / shares.max())


def classes_covered(shares: np.ndarray, minimum_share: float) -> int:
    """The number of classes with at least `minimum_share` of the examples ("modes covered").

    Args:
      shares: [K], from `class_shares`.
      minimum_share: Above 0, at most 1; for example 0.1 / K, a tenth of an even share.

    Raises:
      ArgumentError: If `minimum_share` is not in that range.
    """
    if not 0 < minimum_share <= 1:
        raise ArgumentError(
            "minimum_share", minimum_share, "must be above 0 and at most 1", "use 0.1 / K"
        )
    return int(np.sum(shares >= minimum_share))


def total_variation(shares: np.ndarray, other_shares: np.ndarray) -> float:
    """The total variation distance, sum |p - q| / 2: the share of examples in excess classes.

    The expected value for two samples of N examples from one distribution over K classes is not 0
    but about sum_k sqrt(p_k (1 - p_k) / (pi N)).

    Args:
      shares: [K], summing to 1.
      other_shares: [K], of the other set.

    Returns:
      From 0 (equal) to 1 (no class in common).

    Raises:
      ArgumentError: If the numbers of classes differ.
    """
    if shares.shape != other_shares.shape:
        raise ArgumentError(
            "other_shares",
            list(other_shares.shape),
            f"must have as many classes as `shares` ({list(shares.shape)})",
            "take both from one classifier",
        )
    return float(np.abs(shares - other_shares).sum() / 2)


def _check(probabilities: np.ndarray) -> None:
    if probabilities.ndim != 2 or not len(probabilities) or probabilities.shape[1] < 2:
        raise ArgumentError(
            "probabilities",
            list(probabilities.shape),
            "must be [N, K], K of 2 or more",
            "give a classifier's probabilities",
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if not np.all(probabilities >= 0) or not np.allclose(sums, 1.0, atol=1e-3):
        raise ArgumentError(
            "probabilities",
            f"sums from {sums.min():.4g} to {sums.max():.4g}",
            "must be 0 or above and sum to 1 for each example",
            "give the softmax of the logits",
        )
