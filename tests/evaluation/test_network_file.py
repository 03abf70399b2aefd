"""Networks from files give the outputs that they gave when they were saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.evaluation import model_file

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="inner"),
            keras.layers.Flatten(),
            keras.layers.Dense(6),
        ]
    )


def test_a_keras_file(network, tmp_path):
    path = tmp_path / "mine.keras"
    network.save(path)
    scaled = IMAGES.astype(np.float32) / 127.5 - 1
    extractor = model_file(path, value_range=(-1.0, 1.0), batch_size=3)
    assert (extractor.name, extractor.image_shape) == ("mine", (8, 8, 3))
    np.testing.assert_allclose(extractor.features(IMAGES), network(scaled), rtol=1e-4, atol=1e-5)
    inner = model_file(path, value_range=(-1.0, 1.0), layer="inner")
    expected = np.reshape(network.get_layer("inner")(scaled), (5, -1))
    np.testing.assert_allclose(inner.features(IMAGES), expected, rtol=1e-4, atol=1e-5)
    other = model_file(path, value_range=(0.0, 1.0))
    assert len({each.content_hash for each in (extractor, inner, other)}) == 3
    with pytest.raises(ArgumentError, match="use one of inner"):
        model_file(path, value_range=(-1.0, 1.0), layer="outer")


def test_a_saved_model(network, tmp_path):
    network.export(tmp_path / "saved", verbose=False)
    extractor = model_file(tmp_path / "saved", value_range=(0.0, 255.0))
    expected = network(IMAGES.astype(np.float32))
    np.testing.assert_allclose(extractor.features(IMAGES), expected, rtol=1e-4, atol=1e-3)
    with pytest.raises(ArgumentError, match="None for a SavedModel"):
        model_file(tmp_path / "saved", value_range=(0.0, 1.0), layer="inner")


def test_what_cannot_be_used_is_told_in_a_line(tmp_path):
    (tmp_path / "text.keras").write_text("nothing")
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    dense.save(tmp_path / "dense.keras")
    code = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x)])
    code.save(tmp_path / "code.keras")
    tf.saved_model.save(tf.Module(), tmp_path / "empty")
    for name, words in {
        "none.keras": "cannot be loaded",
        "text.keras": "cannot be loaded",
        "code.keras": "cannot be loaded",
        "dense.keras": "no images",
        "empty": "cannot be loaded",
    }.items():
        with pytest.raises(ArgumentError, match=words) as error:
            model_file(tmp_path / name, value_range=(0.0, 1.0))
        assert "\n" not in str(error.value), name
