"""Networks from files give the outputs that they gave when they were saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.evaluation import inception_2015, model_file
from gan_core.evaluation.network_file import FILE_NAME, NUM_FEATURES

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
        "dense.keras": "not images",
        "empty": "cannot be loaded",
    }.items():
        with pytest.raises(ArgumentError, match=words) as error:
            model_file(tmp_path / name, value_range=(0.0, 1.0))
        assert "\n" not in str(error.value), name


def write_stand_in(path, num_features=NUM_FEATURES, features_name="pool_3", old_shapes=True):
    """Frozen for one picture, as the original: resized to 299x299, (x - 128) / 128, pooled."""
    weights = np.random.default_rng(0).standard_normal((1, 1, 3, num_features), np.float32)
    with tf.Graph().as_default() as graph:
        picture = tf.compat.v1.placeholder(tf.float32, [None, None, 3], name="Cast")
        images = tf.expand_dims(picture, 0, name="ExpandDims")
        resized = tf.compat.v1.image.resize_bilinear(images, [299, 299], name="ResizeBilinear")
        scaled = tf.multiply(tf.subtract(resized, 128.0, name="Sub"), 0.0078125, name="Mul")
        pooled = tf.nn.avg_pool2d(scaled, 299, 1, "VALID", name="pool")
        tf.nn.conv2d(pooled, weights, 1, "SAME", name=features_name)
    path.write_bytes(graph.as_graph_def(add_shapes=old_shapes).SerializeToString())
    return weights[0, 0]


def resized_as_of_old(images, side=299):
    """Bilinear without half-pixel centres: the place of pixel i is i * from / to."""

    def one_axis(values, axis):
        places = np.arange(side) * values.shape[axis] / side
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        share = (places - low).reshape([-1 if i == axis else 1 for i in range(4)])
        return values.take(low, axis) * (1 - share) + values.take(high, axis) * share

    return one_axis(one_axis(images.astype(np.float64), 1), 2)


def test_features_are_those_of_the_graph_with_the_last_batch_in_full(tmp_path):
    path = tmp_path / FILE_NAME
    weights = write_stand_in(path)
    extractor = inception_2015(path)
    images = np.random.default_rng(1).integers(0, 256, (53, 32, 20, 3), dtype=np.uint8)
    expected = ((resized_as_of_old(images) - 128) / 128).mean(axis=(1, 2)) @ weights
    found = extractor.features(images)
    assert found.shape == (53, 2048)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    # Grey ones count as RGB.
    grey = np.repeat(images[:2, :, :, :1], 3, axis=3)
    np.testing.assert_array_equal(extractor.features(grey[..., :1]), extractor.features(grey))
    assert "299x299" in extractor.resize_rule


def test_a_missing_file_is_named_with_where_it_is_found(tmp_path):
    with pytest.raises(ArgumentError, match=r"classify_image_graph_def\.pb.*2015-12-05\.tgz from"):
        inception_2015(tmp_path / FILE_NAME)


@pytest.mark.parametrize("kind", ["text", "cut", "names", "size"])
def test_a_wrong_file_is_told_in_a_line(tmp_path, kind):
    path = tmp_path / FILE_NAME
    write_stand_in(path, features_name="pool_4" if kind == "names" else "pool_3")
    if kind == "text":
        path.write_text("<html>not found</html>")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "size":
        write_stand_in(path, num_features=1000)
    words = {
        "text": "not a TensorFlow graph",
        "cut": "not a TensorFlow graph",
        "names": "no tensor pool_3:0",
        "size": "1000",
    }
    with pytest.raises(ArgumentError, match=words[kind]) as error:
        inception_2015(path)
    assert "\n" not in str(error.value)
