"""Copies are found, and what is new is not taken for one."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gan_core.errors import ArgumentError
from gan_core.evaluation import copies, nearest_gap


def gaussian(seed, count, size=16):
    return np.random.default_rng(seed).standard_normal((count, size))


def test_copies_are_counted_as_defined():
    samples, train = gaussian(0, 40), gaussian(1, 60)
    between, within = cdist(samples, train), cdist(train, train)
    np.fill_diagonal(within, np.inf)
    indices = between.argmin(axis=1)
    found = copies(samples, train)
    np.testing.assert_array_equal(found.nearest.indices, indices)
    assert found.share == np.mean(between.min(axis=1) <= within.min(axis=1)[indices])


def test_copied_images_are_found_with_their_originals():
    train = gaussian(0, 300)
    copied = train[100:200] + 0.01 * gaussian(1, 100)
    found = copies(np.concatenate([copied, gaussian(2, 100)]), train)
    np.testing.assert_array_equal(found.nearest.indices[:100], np.arange(100, 200))
    of_new = copies(gaussian(3, 300), train).share
    assert found.share == pytest.approx(0.5 + 0.5 * of_new, abs=0.08)
    assert of_new < 0.6


def test_a_copy_of_a_duplicated_image_is_a_copy():
    train = np.repeat(gaussian(0, 20), 2, axis=0)
    assert copies(train[:5], train).share == 1
    assert copies(train[:5] + 1e-3, train).share == 0


def test_the_gap_of_new_samples_is_zero_to_its_error_and_that_of_copies_is_not():
    train, test = gaussian(0, 300), gaussian(1, 300)
    new = nearest_gap(gaussian(2, 400), train, test)
    assert abs(new.value) < 3 * new.standard_error
    copied = nearest_gap(train[:200] + 0.01, train, test)
    assert copied.value > 10 * copied.standard_error
    between = cdist(gaussian(2, 400), test).min(axis=1) - cdist(gaussian(2, 400), train).min(axis=1)
    assert new.value == pytest.approx(between.mean(), rel=1e-10)


@pytest.mark.parametrize("size", [32, 64])
def test_the_gaps_standard_error_is_its_spread_over_new_sets(size):
    found = [
        nearest_gap(*(gaussian(3 * i + j, count, size) for j, count in enumerate((200, 100, 100))))
        for i in range(60)
    ]
    spread = np.std([each.value for each in found])
    assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.35)


def test_train_and_test_must_be_as_many():
    with pytest.raises(ArgumentError, match="as many as `train` \\(30\\); give 20 of both"):
        nearest_gap(gaussian(0, 10), gaussian(1, 30), gaussian(2, 20))
