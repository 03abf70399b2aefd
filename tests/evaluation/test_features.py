"""What cannot be compared is refused in one line."""

import numpy as np
import pytest

from gan_core.errors import ArgumentError
from gan_core.evaluation.features import checked_features, checked_pair


def test_float32_becomes_float64():
    assert checked_features("real", np.ones((3, 2), np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.zeros((3, 2, 1)), "must be features"),
        (np.zeros((3, 0)), "must be features"),
        (np.zeros((1, 2)), "at least 2"),
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), "must be finite"),
        (np.array([[0.0, np.inf], [-np.inf, 1.0]]), "must be finite"),
    ],
)
def test_what_is_no_set_of_features_is_refused(features, words):
    with pytest.raises(ArgumentError, match=words):
        checked_features("real", features)


def test_sets_of_two_extractors_are_refused():
    with pytest.raises(ArgumentError, match="as many as `real` \\(3\\)"):
        checked_pair(np.zeros((4, 3)), np.zeros((4, 2)))
