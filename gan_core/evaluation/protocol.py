"""How a value was measured: what must be equal before two of them are compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from typing import Any

from gan_core.evaluation.network_file import NAME as INCEPTION
from gan_core.files import content_hash

STANDARD_NUM_SAMPLES = 50_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """All that a value depends on beside the samples.

    Attributes:
      extractor: Its name.
      extractor_hash: Its content's hash.
      resizing: What happens to the images' size.
      real_images: Name of the set of training images.
      real_hash: Hash of the real images that are compared.
      all_real: Whether they are all training images there are.
      num_samples: How many samples are judged.
      num_real: How many training images they are compared with.
      num_searched: How many training images are searched for copies.
      num_others: How many other real images give the values of reals; 0 where there are none.
      others: Where those are from: `test`, or `train` where there are no test images.
      k: Which neighbour makes a ball.
      subset_size: Images in a subset of the kernel distance.
      num_subsets: How many subsets it takes.
      minimum_share: From which share on a class counts as covered.
      seed: Of all choices.
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
        """Whether the Fréchet distance is what papers call FID.

        The standard protocol: the Inception graph of 2015-12-05 with its own resizing and its
        2,048 features, 50,000 samples, and all training images.
        """
        standard = self.extractor == INCEPTION and self.num_samples == STANDARD_NUM_SAMPLES
        return standard and self.all_real

    def short(self) -> str:
        """For logs: extractor, number of samples and a hash of the whole."""
        digest = content_hash(self.whole())[:6]
        return f"{self.extractor}_{self.num_samples}_{digest}"

    def whole(self) -> dict[str, Any]:
        """For files: every field by its name."""
        return dataclasses.asdict(self)

    def key(self, metric: str) -> str:
        """The name that a metric's value goes by: `precision@classifier_10000_1a2b3c`.

        The Fréchet distance is `fid` under the standard protocol, and nowhere else.
        """
        return f"{_as_fid(metric) if self.is_standard else metric}@{self.short()}"


def metric_name(metric: str, values: Container[str]) -> str:
    """A metric's name among those of one protocol: `fid` for the Fréchet distance where it is that.

    Args:
      metric: Its name under most protocols: `frechet_distance`, `precision_of_reals`.
      values: All names, without the protocol, or values by them.
    """
    return _as_fid(metric) if _as_fid(metric) in values else metric


def _as_fid(metric: str) -> str:
    return metric.replace("frechet_distance", "fid")
