"""Registry of the metrics of samples; the judge and all tables follow from it.

A new metric is a function of features in the module of its topic, and an entry in `METRICS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from gan_core.evaluation.classes import (
    class_evenness,
    class_shares,
    classes_covered,
    confident_share,
    total_variation,
)
from gan_core.evaluation.copying import Copies, copies, nearest_gap
from gan_core.evaluation.distances import FeatureStatistics, frechet_distance, kernel_distance
from gan_core.evaluation.extractor import Extracted
from gan_core.evaluation.manifolds import density_coverage, precision_recall
from gan_core.evaluation.protocol import Protocol
from gan_core.types import computed_once


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Samples, or real images in their place, and the real images they are compared with.

    Attributes:
      fake: Features of the samples.
      real: Features of the training images that they are compared with.
      statistics: Mean and covariance of `real`.
      radii: Radii of the balls around `real`.
      training: Features of all training images that are searched for copies [N, D].
      test: Features of test images [M, D]; None without test images.
      protocol: Settings of the metrics.
    """

    fake: Extracted
    real: Extracted
    statistics: FeatureStatistics
    radii: np.ndarray
    training: np.ndarray
    test: np.ndarray | None
    protocol: Protocol

    @property
    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of the real images and of the samples."""
        return self.real.features, self.fake.features

    @computed_once
    def copies(self) -> Copies:
        """The nearest training image of each sample, and the share of copies."""
        return copies(self.fake.features, self.training)


class Value(NamedTuple):
    """One value of a metric.

    Attributes:
      name: Name in metrics and in CSV files.
      title: Column title in tables; empty if no table shows it.
      in_table: True if the table of `--mode=evaluate` shows it.
    """

    name: str
    title: str = ""
    in_table: bool = False


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric: the values that one function computes.

    Attributes:
      values: Declarations of the values, in the order in which `compute` returns them.
      compute: The values for samples, or for real images in their place.
      needs_classes: True if the extractor must give class probabilities.
      needs_test: True if test images are needed.
      of_reals: Real images in the samples' place get values too: `always`, `with_test` (only if
        they are test images) or `never`.
    """

    values: tuple[Value, ...]
    compute: Callable[[Comparison], Iterable[float]]
    needs_classes: bool = False
    needs_test: bool = False
    of_reals: str = "always"


def _kernel(sets: Comparison) -> Iterable[float]:
    protocol, (real, fake) = sets.protocol, sets.features
    sizes = {"subset_size": protocol.subset_size, "num_subsets": protocol.num_subsets}
    return kernel_distance(real, fake, **sizes, seed=protocol.seed)


def _classes(sets: Comparison) -> Iterable[float]:
    fake, real = sets.fake.probabilities, sets.real.probabilities
    assert fake is not None
    assert real is not None
    shares = class_shares(fake)
    return (
        float(classes_covered(shares, sets.protocol.minimum_share / len(shares))),
        total_variation(shares, class_shares(real)),
        class_evenness(shares),
        confident_share(fake),
    )


def _gap(sets: Comparison) -> Iterable[float]:
    assert sets.test is not None
    count = min(len(sets.training), len(sets.test))
    return nearest_gap(sets.fake.features, sets.training[:count], sets.test[:count])


METRICS = (
    Metric(
        (Value("frechet_distance", "Fréchet", in_table=True),),
        lambda sets: [frechet_distance(sets.statistics, FeatureStatistics.of(sets.fake.features))],
    ),
    Metric(
        (
            Value("kernel_distance", "kernel", in_table=True),
            Value("kernel_distance_standard_error"),
        ),
        _kernel,
    ),
    Metric(
        (
            Value("precision", "precision", in_table=True),
            Value("recall", "recall", in_table=True),
        ),
        lambda sets: precision_recall(*sets.features, sets.protocol.k, real_radii=sets.radii),
    ),
    Metric(
        (Value("density"), Value("coverage", "coverage", in_table=True)),
        lambda sets: density_coverage(*sets.features, sets.protocol.k, real_radii=sets.radii),
    ),
    Metric(
        (
            Value("classes_covered", "classes", in_table=True),
            Value("class_total_variation"),
            Value("class_evenness", "evenness"),
            Value("confident_share", "read", in_table=True),
        ),
        _classes,
        needs_classes=True,
    ),
    Metric(
        (Value("copied_share", "copied", in_table=True),),
        lambda sets: [sets.copies.share],
        of_reals="with_test",
    ),
    Metric(
        (Value("nearest_distance"),),
        lambda sets: [float(sets.copies.nearest.distances.mean())],
        of_reals="never",
    ),
    Metric(
        (Value("nearest_gap"), Value("nearest_gap_standard_error")),
        _gap,
        needs_test=True,
        of_reals="never",
    ),
)
"""In the order of the columns in CSV files."""

TITLES = {value.name: value.title for metric in METRICS for value in metric.values if value.title}
"""Column titles of tables by metric."""

IN_TABLE = tuple(value.name for metric in METRICS for value in metric.values if value.in_table)
"""The metrics in the table of `--mode=evaluate`."""


def measure(sets: Comparison, *, are_reals: bool = False) -> dict[str, float]:
    """All metrics that apply, by name.

    Args:
      sets: Samples and real images.
      are_reals: True if real images stand in the samples' place.
    """
    has_classes = sets.fake.probabilities is not None and sets.real.probabilities is not None
    has_test = sets.test is not None
    values: dict[str, float] = {}
    for metric in METRICS:
        wanted = not are_reals or metric.of_reals == "always"
        wanted |= has_test and metric.of_reals == "with_test"
        if wanted and has_classes >= metric.needs_classes and has_test >= metric.needs_test:
            names = [value.name for value in metric.values]
            values |= zip(names, metric.compute(sets), strict=True)
    return values
