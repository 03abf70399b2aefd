"""Fréchet's distance and the kernel's against closed forms and other ways to compute them."""

import importlib.util
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import scipy.linalg

from gan_core.errors import ArgumentError
from gan_core.evaluation import FeatureStatistics, frechet_distance, kernel_distance


def draw(seed, count, size, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((size, size)) / size**0.5
    return (scale * rng.standard_normal((count, size)) @ mixing + shift).astype(np.float32)


def test_frechet_of_gaussians_with_common_axes():
    """|m - n|^2 + sum (s - t)^2 where covariances are turned diagonals s^2 and t^2."""
    turn = scipy.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    s, t = np.array([1.0, 2.0, 0.5, 0.0, 3.0]), np.array([2.0, 2.0, 0.0, 0.0, 1.0])
    m, n = np.arange(5.0), np.full(5, 2.0)
    one = FeatureStatistics(m, turn * s**2 @ turn.T)
    other = FeatureStatistics(n, turn * t**2 @ turn.T)
    expected = np.sum((m - n) ** 2) + np.sum((s - t) ** 2)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-12)


def test_frechet_agrees_with_a_square_root_of_the_product():
    real, fake = draw(1, 400, 32), draw(2, 300, 32, 1.3, 0.2) * np.linspace(0.5, 2, 32)
    c, d = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = np.trace(scipy.linalg.sqrtm(c.astype(np.float64) @ d)).real
    difference = real.mean(0, np.float64) - fake.mean(0, np.float64)
    expected = np.sum(difference**2) + np.trace(c) + np.trace(d) - 2 * root
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(fake, real) == pytest.approx(frechet_distance(real, fake), rel=1e-10)
    kept = FeatureStatistics.of(real)
    assert frechet_distance(kept, fake) == frechet_distance(real, fake)
    np.testing.assert_allclose(kept.covariance, c, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [2, 20, 200])
def test_frechet_of_a_set_with_itself_is_zero_at_any_rank(count):
    features = draw(3, count, 64)
    features[:, :3] = 7.0
    scale = np.trace(FeatureStatistics.of(features).covariance)
    assert frechet_distance(features, features) <= 1e-10 * scale
    assert frechet_distance(features, features[::-1]) <= 1e-7 * scale


def test_frechet_of_fewer_examples_than_features():
    """tr (C D)^(1/2) is the sum of singular values of the product of the centred sets."""
    real, fake = draw(4, 10, 64), draw(5, 20, 64, 2.0)
    x, y = (each - each.mean(0, np.float64) for each in (real, fake))
    overlap = np.linalg.svd(x @ y.T, compute_uv=False).sum() / (9 * 19) ** 0.5
    means = np.sum((real.mean(0, np.float64) - fake.mean(0, np.float64)) ** 2)
    expected = means + np.sum(x**2) / 9 + np.sum(y**2) / 19 - 2 * overlap
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_constant_features_is_the_distance_of_the_means():
    assert frechet_distance(np.zeros((3, 4)), np.full((3, 4), 2.0)) == 16.0


def test_statistics_that_are_none_are_refused():
    with pytest.raises(ArgumentError, match="symmetric"):
        FeatureStatistics(np.zeros(2), np.array([[1.0, 1.0], [0.0, 1.0]]))
    with pytest.raises(ArgumentError, match=r"must be \[D, D\]"):
        FeatureStatistics(np.zeros(3), np.eye(2))
    with pytest.raises(ArgumentError, match="as many as `real`"):
        frechet_distance(np.eye(3), np.eye(2))


def kernel_oracle(x, y):
    """All pairs, one at a time."""
    kernel = lambda a, b: (float(a @ b) / len(a) + 1) ** 3  # noqa: E731
    m = len(x)
    within = sum(kernel(z[i], z[j]) for z in (x, y) for i in range(m) for j in range(m) if i != j)
    between = sum(kernel(a, b) for a in x for b in y)
    return within / (m * (m - 1)) - 2 * between / m**2


def test_kernel_distance_agrees_with_a_sum_over_pairs():
    real, fake = draw(6, 13, 4).astype(np.float64), draw(7, 11, 4, 1.2, 0.4).astype(np.float64)
    choose = np.random.default_rng(5)
    values = [
        kernel_oracle(real[choose.choice(13, 8, False)], fake[choose.choice(11, 8, False)])
        for _ in range(6)
    ]
    found = kernel_distance(real, fake, subset_size=8, num_subsets=6, seed=5)
    assert found.value == pytest.approx(np.mean(values), rel=1e-10)
    expected = np.std(values, ddof=1) * (8 / 3 + 1 / 6) ** 0.5
    assert found.standard_error == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_of_gaussians_has_its_closed_form():
    """E k(x, y) of x ~ N(m, 1), y ~ N(n, 1) in one dimension: E (xy + 1)^3 by moments."""

    def expected_kernel(m, n):
        def moments(mean):
            return mean, mean**2 + 1, mean**3 + 3 * mean

        (a, b, c), (d, e, f) = moments(m), moments(n)
        return c * f + 3 * b * e + 3 * a * d + 1

    rng = np.random.default_rng(8)
    real, fake = rng.normal(0, 1, (2000, 1)), rng.normal(0.7, 1, (2000, 1))
    expected = expected_kernel(0, 0) + expected_kernel(0.7, 0.7) - 2 * expected_kernel(0, 0.7)
    found = kernel_distance(real, fake, subset_size=200, num_subsets=50)
    assert abs(found.value - expected) < 3 * found.standard_error
    assert found.standard_error < 0.3 * expected


def test_kernel_distances_standard_error_is_the_spread_over_new_sets():
    found = [
        kernel_distance(
            draw(2 * i, 200, 8), draw(2 * i + 1, 200, 8, 1, 0.4), subset_size=50, num_subsets=30
        )
        for i in range(40)
    ]
    spread = np.std([each.value for each in found])
    assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.35)


def test_kernel_distance_is_unbiased_for_one_distribution():
    values = [
        kernel_distance(draw(i, 60, 8), draw(i + 500, 60, 8), subset_size=30, num_subsets=5).value
        for i in range(60)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / 60**0.5
    features = draw(0, 60, 8)
    assert kernel_distance(features, features, subset_size=30, num_subsets=5).value < 0.1


@pytest.mark.parametrize("size", [1, 10, 11])
def test_subsets_that_cannot_be_drawn_are_refused(size):
    with pytest.raises(ArgumentError, match="below the number of examples \\(10\\); use 5"):
        kernel_distance(draw(0, 20, 3), draw(1, 10, 3), subset_size=size)


def test_one_subset_has_no_spread():
    with pytest.raises(ArgumentError, match="num_subsets"):
        kernel_distance(draw(0, 20, 3), draw(1, 10, 3), subset_size=5, num_subsets=1)


@pytest.mark.slow
def test_memory_of_large_sets_stays_below_a_gibibyte():
    rng = np.random.default_rng(0)
    real, fake = (rng.standard_normal((10_000, 2048), np.float32) for _ in range(2))
    tracemalloc.start()
    frechet_distance(real, fake)
    kernel_distance(real, fake, num_subsets=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**30


FIDELITY = """
import sys, numpy as np, torch
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
sets = np.load(sys.argv[1])
pair = [sets["real"], sets["fake"]]
statistics = [{"mu": each.mean(0), "sigma": np.cov(each, rowvar=False)} for each in pair]
fid = fid_statistics_to_metric(*statistics, verbose=False)
kid = kid_features_to_metric(
    *map(torch.tensor, pair), kid_subsets=400, kid_subset_size=150, kid_kernel_poly_degree=3,
    kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1, rng_seed=0, verbose=False,
)
print(*fid.values(), kid["kernel_inception_distance_mean"])
"""


def test_distances_agree_with_torch_fidelity(tmp_path):
    """In a process of its own: PyTorch and TensorFlow in one can crash."""
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("torch_fidelity is not installed")
    real, fake = draw(1, 300, 32), draw(2, 300, 32, 1.3, 0.2)
    np.savez(tmp_path / "sets.npz", real=real, fake=fake)
    command = [sys.executable, "-c", FIDELITY, str(tmp_path / "sets.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    frechet, kernel = map(float, done.stdout.split()[-2:])
    assert frechet_distance(real, fake) == pytest.approx(frechet, rel=1e-3)
    # Each draws subsets of its own.
    found = kernel_distance(real, fake, subset_size=150, num_subsets=400)
    assert found.value == pytest.approx(kernel, abs=4 * 2**0.5 * found.standard_error / 20)
