"""Features for pictures without labels: the same everywhere, and moved by what they should see."""

import numpy as np
import pytest
from digit_images import draw_digits

from gan_core.errors import ArgumentError
from gan_core.evaluation import frechet_distance, random_convolutions


def test_they_are_a_pure_function_of_the_picture_and_the_seed():
    images = draw_digits(0, range(7))[0]
    one, again, other = (random_convolutions(seed) for seed in (0, 0, 1))
    features = one.features(images)
    assert features.shape == (7, 192)
    assert one.content_hash == again.content_hash != other.content_hash
    np.testing.assert_array_equal(again.features(images), features)
    # Alone or among others.
    np.testing.assert_allclose(one.features(images[3:4]), features[3:4], rtol=1e-4, atol=1e-6)
    assert one.probabilities(images) is None


@pytest.mark.parametrize("shape", [(16, 16, 1), (17, 40, 3), (64, 64, 3)])
def test_any_size_will_do(shape):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    assert random_convolutions().features(images).shape == (3, 192)


def test_small_pictures_are_refused():
    with pytest.raises(ArgumentError, match="16 or more"):
        random_convolutions().features(np.zeros((1, 15, 20, 3), np.uint8))


def test_noise_blur_and_one_colour_are_seen():
    real, same = draw_digits(0, range(400))[0], draw_digits(0, range(400, 800))[0]
    levels = same.astype(np.float64)
    noise = levels + np.random.default_rng(0).normal(0, 40, same.shape)
    blur = sum(np.roll(levels, shift, axis) for shift in range(-2, 3) for axis in (1, 2)) / 10
    worse = [noise, blur, levels * [1.0, 0.8, 1.0], np.roll(levels, 8, axis=2)]
    features = random_convolutions().features
    usual = frechet_distance(features(real), features(same))
    for images in worse:
        images = np.clip(images, 0, 255).astype(np.uint8)
        assert frechet_distance(features(real), features(images)) > 1.5 * usual
