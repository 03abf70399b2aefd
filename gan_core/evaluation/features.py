"""Arrays of features: what every metric checks before it computes."""

from __future__ import annotations

import numpy as np

from gan_core.errors import ArgumentError


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
