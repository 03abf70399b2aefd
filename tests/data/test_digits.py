import numpy as np
import pytest
from digit_images import draw_digits

from gan_core.data.digits import drawn_digits
from gan_core.errors import ArgumentError


def test_an_image_is_a_function_of_seed_and_index_alone():
    images, labels = draw_digits(1, range(20, 30))
    one, label = draw_digits(1, range(25, 26))
    np.testing.assert_array_equal(one[0], images[5])
    assert label[0] == labels[5]
    other, _ = draw_digits(2, range(25, 26))
    assert (other != one).mean() > 0.5


def test_all_digits_come_and_can_be_told_apart_from_their_wall():
    images, labels = draw_digits(0, range(400))
    assert images.shape == (400, 32, 32, 3)
    assert images.dtype == np.uint8
    assert (np.bincount(labels, minlength=10) > 15).all()
    brightness = images.astype(np.float32).mean(-1)
    contrast = np.ptp(np.percentile(brightness.reshape(400, -1), (2, 98), axis=1), axis=0)
    assert np.mean(contrast > 40) > 0.95


def test_two_disjoint_splits():
    test = drawn_digits("test")
    assert len(test.images) == 2000
    assert set(test.labels) == set(range(10))
    with pytest.raises(ArgumentError, match=r"`split` \(extra\) .* use one of train, test"):
        drawn_digits("extra")


def test_fitted_to_another_size():
    source = drawn_digits("test", image_shape=(28, 24, 1))
    assert source.image_shape == (28, 24, 1)
    assert "fitted from 32x32x3" in source.describe()


def test_drawn_once_and_then_read_the_same(tmp_path, monkeypatch):
    drawn = drawn_digits("test", image_shape=(28, 28, 1))
    first = drawn_digits("test", image_shape=(28, 28, 1), cache_dir=tmp_path)
    monkeypatch.setattr("gan_core.data.digits.draw_digit", None)
    again = drawn_digits("test", image_shape=(28, 28, 1), cache_dir=tmp_path)
    for source in (first, again):
        np.testing.assert_array_equal(source.images, drawn.images)
        np.testing.assert_array_equal(source.labels, drawn.labels)
        assert source.describe() == drawn.describe()
