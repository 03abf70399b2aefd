"""Precision, recall, density and coverage: by definition, by theory, and where they must move."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gan_core.errors import ArgumentError
from gan_core.evaluation import density_coverage, neighbour_distances, precision_recall


def gaussian(seed, count, size=8, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((count, size))


def test_they_are_what_the_papers_define():
    real, fake = gaussian(0, 60), gaussian(1, 50, scale=1.2)
    k = 3
    real_radii = np.sort(cdist(real, real))[:, k]
    fake_radii = np.sort(cdist(fake, fake))[:, k]
    between = cdist(real, fake)
    in_real_ball = between <= real_radii[:, None]
    assert precision_recall(real, fake, k) == (
        in_real_ball.any(axis=0).mean(),
        (between <= fake_radii).any(axis=1).mean(),
    )
    assert density_coverage(real, fake, k) == pytest.approx(
        (in_real_ball.sum() / (k * 50), in_real_ball.any(axis=1).mean())
    )
    given = precision_recall(real, fake, k, real_radii=real_radii, fake_radii=fake_radii)
    assert given == precision_recall(real, fake, k)


def test_they_agree_with_prdc():
    prdc = pytest.importorskip("prdc")
    real, fake = gaussian(0, 60), gaussian(1, 50, scale=1.2)
    expected = prdc.compute_prdc(real, fake, 3)
    found = precision_recall(real, fake, 3)._asdict() | density_coverage(real, fake, 3)._asdict()
    assert found == pytest.approx(expected, rel=1e-6)


def test_equal_sets():
    features = gaussian(0, 50)
    assert precision_recall(features, features, 5) == (1, 1)
    assert density_coverage(features, features, 5) == pytest.approx((1 + 1 / 5, 1))


def test_duplicates_count_each():
    features = np.repeat(gaussian(0, 4), 10, axis=0)
    assert precision_recall(features, features, 5) == (1, 1)
    # Every ball has radius 0 and holds the ten that are equal to it.
    assert density_coverage(features, features, 5) == (2, 1)
    away = features + 1e-3
    assert precision_recall(features, away, 5) == (0, 0)
    assert density_coverage(features, away, 5) == (0, 0)


@pytest.mark.parametrize("size", [2, 32])
def test_two_samples_of_one_distribution(size):
    """Density 1 and coverage 1 - prod (N - 1 - j) / (N + M - 1 - j), in any dimension."""
    found = [
        density_coverage(gaussian(2 * i, 300, size), gaussian(2 * i + 1, 200, size), 5)
        for i in range(10)
    ]
    densities, coverages = np.array(found).T
    expected = 1 - np.prod([(299 - j) / (499 - j) for j in range(5)])
    assert abs(densities.mean() - 1) < 3.5 * densities.std(ddof=1) / 10**0.5
    assert abs(coverages.mean() - expected) < 3.5 * coverages.std(ddof=1) / 10**0.5
    assert coverages.std() < 0.05


@pytest.mark.parametrize("size", [2, 32])
def test_precision_of_one_distribution_is_the_share_that_is_a_neighbour_of_any(size):
    graph = cdist(*[gaussian(9, 800, size)] * 2)
    np.fill_diagonal(graph, np.inf)
    is_neighbour_of_any = len(np.unique(np.argpartition(graph, 5)[:, :5])) / 800
    found = precision_recall(gaussian(1, 799, size), gaussian(2, 799, size), 5)
    assert found == pytest.approx([is_neighbour_of_any] * 2, abs=0.05)
    # Hubs, which come with the dimensions, take the neighbourhoods of the others.
    assert is_neighbour_of_any > 0.97 if size == 2 else is_neighbour_of_any < 0.9


@pytest.mark.slow
def test_ten_thousand_of_one_distribution():
    """Density is 1 in few dimensions; in 64 it varies by a twentieth, with the hubs drawn."""
    for size, tolerance in ((8, 0.02), (64, 0.15)):
        found = density_coverage(gaussian(0, 10_000, size), gaussian(1, 10_000, size), 5)
        assert found.density == pytest.approx(1, abs=tolerance)
        assert found.coverage == pytest.approx(1 - 1 / 2**5, abs=0.005)


def test_a_lost_half_costs_diversity_and_far_samples_cost_fidelity():
    real = gaussian(0, 400) + 10 * (np.arange(400) % 2)[:, None]
    both = gaussian(1, 400) + 10 * (np.arange(400) % 2)[:, None]
    half = gaussian(2, 400)
    noise = np.random.default_rng(3).uniform(-5, 15, (400, 8))
    usual, lost, far = (precision_recall(real, fake, 5) for fake in (both, half, noise))
    assert lost.recall < 0.6 * usual.recall
    assert lost.precision > 0.9 * usual.precision
    assert far.precision < 0.1
    usual, lost, far = (density_coverage(real, fake, 5) for fake in (both, half, noise))
    assert lost.coverage < 0.6 * usual.coverage
    assert lost.density == pytest.approx(usual.density, abs=0.3)
    assert far.density < 0.1


def test_an_outlier_among_the_reals_lets_bad_samples_pass_as_precise_but_not_as_dense():
    real = np.concatenate([gaussian(0, 200), np.full((1, 8), 20.0)])
    bad = gaussian(1, 200) + 12
    assert precision_recall(real, bad, 5).precision == 1
    assert density_coverage(real, bad, 5).density == pytest.approx(1 / 5)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_there_must_be_k_neighbours(metric):
    with pytest.raises(ArgumentError, match=r"`k` \(5\).*\(5\); use 4"):
        metric(gaussian(0, 5), gaussian(1, 9), 5)


def test_samples_of_density_may_be_fewer_than_k():
    real = gaussian(0, 50)
    assert density_coverage(real, real[:2], 5).density >= 1 / 5
    assert neighbour_distances(real, 5).shape == (50,)
