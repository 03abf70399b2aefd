"""A value's name says how it was measured."""

import dataclasses
import json

import pytest

from gan_core.evaluation import Protocol, metric_name

FIELDS = {
    "extractor": "inception_2015_12_05", "extractor_hash": "ab", "resizing": "any size",
    "real_images": "cifar10/train", "real_hash": "cd", "all_real": True, "num_samples": 50_000,
    "num_real": 50_000, "num_searched": 50_000, "num_others": 10_000, "others": "test", "k": 5,
    "subset_size": 1000, "num_subsets": 100, "minimum_share": 0.1, "seed": 0,
}  # fmt: skip
STANDARD = Protocol(**FIELDS)


def test_only_the_standard_protocol_is_called_fid():
    assert STANDARD.is_standard
    assert STANDARD.key("frechet_distance").startswith("fid@inception_2015_12_05_50000_")
    assert STANDARD.key("frechet_distance_of_reals").startswith("fid_of_reals@")
    assert STANDARD.key("precision").startswith("precision@")
    for change in ({"extractor": "classifier"}, {"num_samples": 10_000}, {"all_real": False}):
        other = dataclasses.replace(STANDARD, **change)
        assert other.key("frechet_distance").startswith("frechet_distance@")


@pytest.mark.parametrize("metric", ["frechet_distance", "frechet_distance_of_reals", "precision"])
@pytest.mark.parametrize("change", [{}, {"extractor": "classifier"}])
def test_a_metric_is_found_under_the_name_that_its_protocol_gives_it(metric, change):
    key = dataclasses.replace(STANDARD, **change).key(metric).split("@")[0]
    assert metric_name(metric, {key: 1.0, "recall": 0.5}) == key
    assert metric_name(metric, []) == metric


@pytest.mark.parametrize("name", FIELDS)
def test_whatever_differs_is_another_name(name):
    value = FIELDS[name]
    other = f"{value}0" if isinstance(value, str) else not value if value is True else value + 1
    assert dataclasses.replace(STANDARD, **{name: other}).short() != STANDARD.short()


def test_the_whole_can_be_kept_in_a_file():
    assert Protocol(**json.loads(json.dumps(STANDARD.whole()))) == STANDARD
