import numpy as np
import pytest
import tensorflow as tf

from gan_core import images

ALL_LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_every_level_survives_the_way_there_and_back(value_range):
    scaled = images.from_uint8(tf.constant(ALL_LEVELS), value_range)
    assert (float(tf.reduce_min(scaled)), float(tf.reduce_max(scaled))) == value_range
    np.testing.assert_array_equal(images.to_uint8(scaled, value_range), ALL_LEVELS)


def test_floats_pass_and_values_out_of_range_are_clipped():
    floats = tf.constant([[[[-3.0], [0.25], [3.0]]]])
    np.testing.assert_array_equal(images.from_uint8(floats), floats)
    np.testing.assert_array_equal(images.to_uint8(floats).ravel(), [0, 159, 255])
