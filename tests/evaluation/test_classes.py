"""Shares of classes."""

import numpy as np
import pytest

from gan_core.errors import ArgumentError
from gan_core.evaluation import (
    class_evenness,
    class_shares,
    classes_covered,
    confident_share,
    total_variation,
)


def sure_of(labels, num_classes=4):
    return 0.1 / num_classes + 0.9 * np.eye(num_classes)[labels]


def test_shares_coverage_and_distance():
    shares = class_shares(sure_of([0, 0, 0, 1, 2, 2, 0, 0, 0, 0]))
    assert shares == pytest.approx([0.7, 0.1, 0.2, 0.0])
    assert classes_covered(shares, 0.1) == 3
    assert classes_covered(shares, 0.15) == 2
    assert total_variation(shares, np.full(4, 0.25)) == pytest.approx(0.45)
    assert total_variation(shares, shares) == 0
    assert total_variation(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1


def test_what_can_be_read_and_how_evenly():
    unsure = np.array([[0.9, 0.1, 0, 0], [0.25] * 4, [0, 0, 0.95, 0.05], [0, 0.09, 0.91, 0]])
    assert confident_share(unsure) == 0.5
    assert confident_share(unsure, 0.2) == 1
    assert class_evenness(class_shares(sure_of([0, 0, 1, 1, 2, 2, 3]))) == 0.5
    assert class_evenness(class_shares(sure_of([0, 1, 2]))) == 0
    assert class_evenness(np.full(4, 0.25)) == 1


def test_a_dropped_class_moves_its_share():
    real = class_shares(sure_of(np.arange(4000) % 4))
    fake = class_shares(sure_of(np.arange(3000) % 3))
    assert classes_covered(fake, 0.1 / 4) == 3
    assert total_variation(real, fake) == pytest.approx(0.25, abs=1e-3)


def test_two_samples_of_one_distribution_differ_as_stated():
    rng = np.random.default_rng(0)
    p = np.array([0.5, 0.3, 0.1, 0.1])
    found = [
        total_variation(*(class_shares(sure_of(rng.choice(4, 500, p=p))) for _ in range(2)))
        for _ in range(200)
    ]
    expected = np.sqrt(p * (1 - p) / (np.pi * 500)).sum()
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    "probabilities",
    [np.ones((3, 2)), np.zeros((0, 2)), np.ones((3, 1)), np.array([[1.5, -0.5]]), np.ones(3)],
)
def test_what_is_no_probability_is_refused(probabilities):
    with pytest.raises(ArgumentError, match="probabilities"):
        class_shares(probabilities)
    with pytest.raises(ArgumentError, match="probabilities"):
        confident_share(probabilities)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ArgumentError, match="minimum_share"):
        classes_covered(np.full(4, 0.25), 0.0)
    with pytest.raises(ArgumentError, match="threshold"):
        confident_share(sure_of([0]), 1.5)
    with pytest.raises(ArgumentError, match="as many classes"):
        total_variation(np.ones(2) / 2, np.ones(3) / 3)
