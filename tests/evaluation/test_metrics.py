"""Each metric is declared once; values depend on classes, test images and reals."""

import numpy as np
import pytest

from gan_core.evaluation.distances import FeatureStatistics, frechet_distance
from gan_core.evaluation.extractor import Extracted
from gan_core.evaluation.metrics import IN_TABLE, METRICS, TITLES, Comparison, measure
from gan_core.evaluation.neighbours import neighbour_distances
from gan_core.evaluation.protocol import Protocol

NAMES = [value.name for metric in METRICS for value in metric.values]
CLASSES = {"classes_covered", "class_total_variation", "class_evenness", "confident_share"}
GAP = {"nearest_gap", "nearest_gap_standard_error"}


def comparison(*, with_classes, with_test):
    draw = np.random.default_rng(0)
    fake, real, test = draw.standard_normal((3, 40, 4)).astype(np.float32)
    classes = np.full((40, 2), 0.5, np.float32) if with_classes else None
    protocol = Protocol(
        **dict.fromkeys(("extractor", "extractor_hash", "resizing", "real_images", "real_hash"), "")
        | dict.fromkeys(("num_samples", "num_real", "num_searched", "num_others"), 40),
        others="test",
        all_real=True,
        k=3,
        subset_size=10,
        num_subsets=4,
        minimum_share=0.1,
        seed=0,
    )
    return Comparison(
        fake=Extracted(fake, classes),
        real=Extracted(real, classes),
        statistics=FeatureStatistics.of(real),
        radii=neighbour_distances(real, 3),
        training=real,
        test=test if with_test else None,
        protocol=protocol,
    )


def test_names_are_unique_and_tables_have_their_titles():
    assert len(set(NAMES)) == len(NAMES)
    assert {name: TITLES[name] for name in IN_TABLE} == {
        "frechet_distance": "Fréchet",
        "kernel_distance": "kernel",
        "precision": "precision",
        "recall": "recall",
        "coverage": "coverage",
        "classes_covered": "classes",
        "confident_share": "read",
        "copied_share": "copied",
    }
    assert set(TITLES) - set(IN_TABLE) == {"class_evenness"}


@pytest.mark.parametrize("with_classes", [True, False])
@pytest.mark.parametrize("with_test", [True, False])
def test_values_depend_on_classes_and_test_images(with_classes, with_test):
    sets = comparison(with_classes=with_classes, with_test=with_test)
    values = measure(sets)
    missing = (set() if with_classes else CLASSES) | (set() if with_test else GAP)
    assert list(values) == [name for name in NAMES if name not in missing]
    expected = frechet_distance(sets.real.features, sets.fake.features)
    assert values["frechet_distance"] == expected

    of_reals = measure(sets, are_reals=True)
    missing |= {"nearest_distance", *GAP} | (set() if with_test else {"copied_share"})
    assert of_reals == {name: value for name, value in values.items() if name not in missing}
