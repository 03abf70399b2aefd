"""Evaluation protocol: the settings that must match for two values to be comparable."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from typing import Any

from gan_core.evaluation.network_file import NAME as INCEPTION
from gan_core.files import content_hash

STANDARD_NUM_SAMPLES = 50_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that a value depends on apart from the samples.

    Attributes:
      extractor: Name of the extractor.
      extractor_hash: Its `content_hash`.
      resizing: Its treatment of image sizes, in words.
      real_images: Name of the training images.
      real_hash: Hash of the real images that are compared.
      all_real: True if samples are compared with all training images.
      num_samples: Number of samples.
      num_real: Number of training images that samples are compared with.
      num_searched: Number of training images that are searched for copies.
      num_others: Number of real images in the samples' place for the values of reals; 0 if none.
      others: Source of those: `test`, or `train` if there are no test images.
      k: Neighbour rank that sets each ball's radius.
      subset_size: Images per subset of the kernel distance.
      num_subsets: Number of subsets of the kernel distance.
      minimum_share: A class is covered if its share is at least this fraction of 1 / K.
      seed: Seed of all random choices.
    """

    extractor: str
    extractor_hash: str
    resizing: str
    real_images: str
    real_hash: str
    all_real: bool
    num_samples: int
    num_real: int
    num_searched: int
    num_others: int
    others: str
    k: int
    subset_size: int
    num_subsets: int
    minimum_share: float
    seed: int

    @property
    def is_standard(self) -> bool:
        """True if the Fréchet distance is the FID of papers.

        That is measured with the Inception graph of 2015-12-05, its own resizing and its 2,048
        features, on 50,000 samples and all training images.
        """
        standard = self.extractor == INCEPTION and self.num_samples == STANDARD_NUM_SAMPLES
        return standard and self.all_real

    def short(self) -> str:
        """Short name for logs: extractor, number of samples and a hash of all fields."""
        digest = content_hash(self.whole())[:6]
        return f"{self.extractor}_{self.num_samples}_{digest}"

    def whole(self) -> dict[str, Any]:
        """All fields by name, for files."""
        return dataclasses.asdict(self)

    def key(self, metric: str) -> str:
        """The full name of a metric, for example `precision@classifier_10000_1a2b3c`.

        The Fréchet distance is named `fid` under the standard protocol, and only there.
        """
        return f"{_as_fid(metric) if self.is_standard else metric}@{self.short()}"


def metric_name(metric: str, values: Container[str]) -> str:
    """The name of a metric under one protocol: `fid` for the Fréchet distance if it is one.

    Args:
      metric: Name under other protocols, for example `frechet_distance` or `precision_of_reals`.
      values: All names under this protocol, without the protocol's own, or values by name.
    """
    return _as_fid(metric) if _as_fid(metric) in values else metric


def _as_fid(metric: str) -> str:
    return metric.replace("frechet_distance", "fid")
