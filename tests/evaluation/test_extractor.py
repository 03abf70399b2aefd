"""Any function of a batch is an extractor; images are fitted to it."""

import numpy as np
import pytest

from gan_core.errors import ArgumentError
from gan_core.evaluation.extractor import Extracted, Extractor, checked_features, checked_pair


def of_shape(image_shape, **arguments):
    """Means of the corner pixels."""

    def extract(images):
        assert images.shape[1:] == tuple(
            found if side is None else side
            for side, found in zip(image_shape, images.shape[1:], strict=True)
        )
        means = images[:, 0, 0].astype(np.float32)
        return Extracted(means, np.full((len(images), 2), 0.5, np.float32))

    return Extractor(
        name="corner",
        content_hash="0",
        image_shape=image_shape,
        extract_batch=extract,
        **arguments,
    )


def test_the_last_batch_counts_too():
    images = np.random.default_rng(0).integers(0, 256, (23, 8, 8, 3), dtype=np.uint8)
    found = of_shape((8, 8, 3), batch_size=10).extract(images)
    np.testing.assert_array_equal(found.features, images[:, 0, 0])
    assert found.probabilities.shape == (23, 2)


@pytest.mark.parametrize("given", [(8, 8, 1), (16, 12, 3), (4, 4, 1)])
@pytest.mark.parametrize("wanted", [(8, 8, 3), (6, 6, 1), (None, None, 3)])
def test_images_are_fitted_whole(given, wanted):
    images = np.full((2, *given), 77, np.uint8)
    features = of_shape(wanted).features(images)
    np.testing.assert_array_equal(features, np.full((2, wanted[-1]), 77.0))


def test_the_rule_is_told():
    assert of_shape((28, 28, 1)).resize_rule == "fitted whole to 28x28, grey"
    assert of_shape((None, None, 3), resizing="enlarged").resize_rule == "any size, RGB, enlarged"


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8), np.zeros((2, 8, 8, 4), np.uint8)],
)
def test_what_are_no_images_is_refused(images):
    with pytest.raises(ArgumentError, match="must be uint8"):
        of_shape((8, 8, 3)).features(images)


def test_features_that_are_not_finite_are_refused():
    broken = Extractor(
        name="broken",
        content_hash="0",
        image_shape=(8, 8, 3),
        extract_batch=lambda images: Extracted(np.full((len(images), 2), np.nan)),
    )
    with pytest.raises(ArgumentError, match="finite features"):
        broken.features(np.zeros((2, 8, 8, 3), np.uint8))


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
