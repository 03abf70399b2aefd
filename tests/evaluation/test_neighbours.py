"""Neighbours against SciPy's distances."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gan_core.errors import ArgumentError
from gan_core.evaluation import nearest, neighbour_distances
from gan_core.evaluation.neighbours import ball_counts, nearest_others


@pytest.fixture
def several_blocks(monkeypatch):
    monkeypatch.setattr("gan_core.evaluation.neighbours._BLOCK_BYTES", 8 * 50 * 7)


@pytest.mark.usefixtures("several_blocks")
def test_they_agree_with_all_distances():
    rng = np.random.default_rng(0)
    one, other = rng.normal(3, 1, (40, 6)).astype(np.float32), rng.normal(3, 1, (50, 6))
    within = np.sort(cdist(other, other), axis=1)
    for k in (1, 5, 49):
        np.testing.assert_allclose(neighbour_distances(other, k), within[:, k], rtol=1e-12)
    between = cdist(one, other)
    found = nearest(one, other)
    np.testing.assert_array_equal(found.indices, between.argmin(axis=1))
    np.testing.assert_allclose(found.distances, between.min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.second_distances, np.sort(between)[:, 1], rtol=1e-12)
    np.testing.assert_allclose(nearest_others(other, np.array([3, 49, 3])), within[[3, 49, 3], 1])
    radii = rng.uniform(1, 3, 50)
    counts = ball_counts(one, other, radii)
    np.testing.assert_array_equal(counts.balls_of_point, (between <= radii).sum(axis=1))
    np.testing.assert_array_equal(counts.points_in_ball, (between <= radii).sum(axis=0))


def test_equal_examples_are_at_distance_zero_however_far_from_the_origin():
    features = np.random.default_rng(1).normal(1e4, 1, (20, 300)).astype(np.float32)
    twice = np.concatenate([features, features])
    assert not neighbour_distances(twice, 1).any()
    assert neighbour_distances(twice, 2).min() > 1
    assert not nearest(features, twice).distances.any()
    # Balls without extent hold what is at their centre.
    assert ball_counts(features, twice, np.zeros(40)).points_in_ball.tolist() == [1] * 40


@pytest.mark.parametrize("k", [0, 5, 6])
def test_there_must_be_k_neighbours(k):
    with pytest.raises(ArgumentError, match="below the number of examples \\(5\\); use 4"):
        neighbour_distances(np.zeros((5, 2)), k)


@pytest.mark.slow
def test_memory_of_large_sets_stays_below_a_gibibyte():
    rng = np.random.default_rng(0)
    real, fake = (rng.standard_normal((10_000, 2048), np.float32) for _ in range(2))
    tracemalloc.start()
    ball_counts(fake, real, neighbour_distances(real, 5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**30
