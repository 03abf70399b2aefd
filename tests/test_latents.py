import numpy as np
import pytest

from gan_core.draw import stream_seed
from gan_core.errors import ArgumentError
from gan_core.latents import NormalLatents, UniformLatents


def test_draws_depend_on_the_seed_alone():
    latents = NormalLatents(7)
    seed = stream_seed(1, "a", 5)
    np.testing.assert_array_equal(latents(4, seed), latents(4, seed))
    assert latents(4, seed).shape == (4, 7)


def test_moments_of_the_normal():
    draw = NormalLatents(100)(2000, stream_seed(0, "moments", 0)).numpy()
    assert abs(draw.mean()) < 0.01
    assert abs(draw.std() - 1) < 0.01


def test_range_and_moments_of_the_uniform():
    draw = UniformLatents(100)(2000, stream_seed(0, "moments", 0)).numpy()
    assert draw.min() >= -1
    assert draw.max() < 1
    assert abs(draw.mean()) < 0.01
    assert abs(draw.std() - 1 / np.sqrt(3)) < 0.01


@pytest.mark.parametrize("make", [NormalLatents, UniformLatents])
def test_refuses_an_empty_latent(make):
    with pytest.raises(ArgumentError, match=r"`size` \(0\) must be above 0"):
        make(0)


def test_refuses_an_empty_range():
    with pytest.raises(ArgumentError, match=r"`low` \(1\.0\) must be below `high`"):
        UniformLatents(3, 1.0, 1.0)
