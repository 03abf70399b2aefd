"""The classifier learns once, and the same each time."""

import dataclasses

import keras
import numpy as np
import pytest

from gan_core.data import ImageSource, drawn_digits
from gan_core.data.resizing import fit_array
from gan_core.errors import ArgumentError
from gan_core.evaluation import classifier, trained_classifier
from gan_core.evaluation.classifier import classifier_network
from gan_core.files import content_hash


def stripes(seed, count, shape=(16, 16, 1)):
    """Two classes: stripes down and stripes across, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    wave = 60 * np.sin(np.arange(shape[0]) + rng.uniform(0, 6, (count, 1)))[:, :, None, None]
    down = labels[:, None, None, None] == 0
    images = 128 + np.where(down, wave, wave.swapaxes(1, 2)) + rng.normal(0, 30, (count, *shape))
    return ImageSource("stripes", np.clip(images, 0, 255).astype(np.uint8), labels)


SHORT = {"num_updates": 25, "batch_size": 16}


def test_it_learns_and_is_kept(tmp_path, capsys, monkeypatch):
    first = trained_classifier(stripes(0, 200), stripes(1, 101), cache_dir=tmp_path, **SHORT)
    assert first.accuracy > 0.9
    assert "stripes" in capsys.readouterr().err
    images = stripes(2, 30).images
    found = first.extract(images)
    assert found.features.shape == (30, 128)
    assert found.features.dtype == np.float32
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    right = first.probabilities(stripes(1, 101).images).argmax(axis=1) == stripes(1, 101).labels
    assert right.mean() == first.accuracy
    assert f"{first.accuracy:.2%} of 101 test images" in first.describe()
    monkeypatch.setattr(
        "gan_core.evaluation.classifier.train_classifier", lambda *_, **__: pytest.fail("again")
    )
    again = trained_classifier(stripes(0, 200), stripes(1, 101), cache_dir=tmp_path, **SHORT)
    assert (again.content_hash, again.accuracy) == (first.content_hash, first.accuracy)
    np.testing.assert_array_equal(again.features(images), found.features)
    assert not capsys.readouterr().err


def test_a_seed_gives_one_network_and_another_another(tmp_path):
    hashes = [
        trained_classifier(
            stripes(0, 50), cache_dir=tmp_path / str(turn), num_updates=3, batch_size=8
        ).content_hash
        for turn in range(2)
    ]
    assert hashes[0] == hashes[1]
    one, other = (classifier_network((16, 16, 1), 2, seed).get_weights() for seed in (0, 1))
    assert not np.array_equal(one[0], other[0])


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr("gan_core.evaluation.classifier.train_classifier", lambda *_, **__: None)


@pytest.mark.usefixtures("untrained")
def test_without_test_images_a_tenth_is_held_out_and_unknown_labels_are_left_out(tmp_path):
    source = stripes(0, 60)
    labels = np.where(np.arange(60) < 20, -1, source.labels)
    source = dataclasses.replace(source, labels=labels)
    found = trained_classifier(source, cache_dir=tmp_path)
    assert found.num_test_images == 4


def test_rows_of_a_large_array_have_the_name_of_a_copy_and_are_read_in_parts():
    images = stripes(0, 60).images
    some, fewer = np.arange(50)[::-2], np.array([3, 1, 4])
    source = ImageSource("stripes", images, np.arange(60))
    rows = classifier._Selection(source, some)
    assert content_hash(rows) == content_hash(images[some])
    fewer_rows = classifier._Selection(source, some[fewer])
    assert content_hash(fewer_rows) == content_hash(images[some][fewer])
    np.testing.assert_array_equal(rows.labels, some)
    np.testing.assert_array_equal(rows.fitted(images.shape[1:])[:], images[some])
    small = rows.fitted((8, 8, 1))
    copy = np.stack([fit_array(image, (8, 8, 1), "none") for image in images[some]])
    np.testing.assert_array_equal(small[5:9], copy[5:9])
    part = np.array([4, 4, 9])
    np.testing.assert_array_equal(small[part], copy[part])


@pytest.mark.parametrize("shape", [(16, 16, 1), (130, 130, 1)])
def test_it_learns_the_same_from_images_that_are_read_when_asked_for(tmp_path, shape):
    """Without test images it learns from a part of them; here from a copy of that part."""
    source, settings = stripes(0, 40, shape), {"num_updates": 3, "batch_size": 8}
    lazy = trained_classifier(source, cache_dir=tmp_path / "lazy", **settings)
    learned, checked = classifier._labelled_sets(source, None, 0)
    copies = [ImageSource("copy", images[:], images.labels) for images in (learned, checked)]
    copied = trained_classifier(*copies, cache_dir=tmp_path / "copied", **settings)
    assert (lazy.content_hash, lazy.accuracy) == (copied.content_hash, copied.accuracy)


@pytest.mark.usefixtures("untrained")
def test_large_images_are_averaged_down(tmp_path):
    source = stripes(0, 12, (130, 130, 1))
    found = trained_classifier(source, cache_dir=tmp_path)
    assert found.image_shape == (43, 43, 1)
    assert found.features(source.images).shape == (12, 128)


def test_without_classes_there_is_no_classifier(tmp_path):
    source = stripes(0, 20)
    unknown = dataclasses.replace(source, labels=np.full(20, -1))
    with pytest.raises(ArgumentError, match="without labels take `random_convolutions`"):
        trained_classifier(unknown, cache_dir=tmp_path)
    with pytest.raises(ArgumentError, match="must have labels"):
        trained_classifier(source, unknown, cache_dir=tmp_path)
    with pytest.raises(ArgumentError, match="`train`'s shape"):
        trained_classifier(source, stripes(0, 9, (8, 8, 1)), cache_dir=tmp_path)


@pytest.mark.parametrize("side", [28, 32, 64])
def test_the_last_layer_sees_most_of_the_image(side):
    network = classifier.classifier_network((side, side, 1), 10, seed=0)
    features, logits = network.output_shape
    assert (features, logits) == ((None, 128), (None, 10))
    sizes = [layer.output.shape[1] for layer in network.layers if "conv" in layer.name]
    assert sizes[-1] == 4
    assert network.count_params() < 300_000


def test_its_types_do_not_depend_on_the_policy_of_the_process():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = classifier.classifier_network((16, 16, 1), 2, seed=0)
    finally:
        keras.config.set_dtype_policy(before)
    assert {output.dtype for output in network.outputs} == {"float32"}


def test_batches_take_each_image_once_an_epoch_shifted():
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] + np.zeros((10, 8, 8, 1), np.uint8)
    images[:, 4, 4] += 100
    batches = list(classifier._batches(images, np.arange(10), 0, num_updates=6, batch_size=5))
    for epoch in range(3):
        labels = np.concatenate([labels for _, labels in batches[2 * epoch : 2 * epoch + 2]])
        assert sorted(labels) == list(range(10))
    places = {
        tuple(place - 4)
        for batch, labels in batches
        for place in np.argwhere(batch[..., 0] >= 100)[:, 1:]
    }
    assert max(max(map(abs, place)) for place in places) == 2
    assert len(places) > 10
    for batch, labels in batches:
        np.testing.assert_array_equal(np.median(batch, axis=(1, 2, 3)), labels)


@pytest.mark.usefixtures("untrained")
def test_the_identity_changes_with_the_version_and_not_with_libraries(tmp_path, monkeypatch):
    source = stripes(0, 12)
    first = trained_classifier(source, cache_dir=tmp_path).content_hash
    for library in (classifier.keras, classifier.tf):
        monkeypatch.setattr(library, "__version__", "99.0")
    assert trained_classifier(source, cache_dir=tmp_path).content_hash == first
    monkeypatch.setattr(classifier, "_VERSION", classifier._VERSION + 1)
    assert trained_classifier(source, cache_dir=tmp_path).content_hash != first


@pytest.mark.slow
def test_it_reads_drawn_digits(tmp_path):
    train, test = (drawn_digits(split, cache_dir=tmp_path) for split in ("train", "test"))
    assert trained_classifier(train, test, cache_dir=tmp_path, num_updates=400).accuracy > 0.95
