"""Drawn digits by their numbers, for tests."""

import numpy as np

from gan_core.data.digits import draw_digit


def draw_digits(seed, indices):
    """Images, uint8 [N, 32, 32, 3], and labels, int64 [N]."""
    images, labels = zip(*(draw_digit(seed, index) for index in indices), strict=True)
    return np.stack(images), np.array(labels, np.int64)
