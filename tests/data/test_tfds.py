import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import gan_core
from gan_core.data import tfds as tfds_source
from gan_core.errors import ArgumentError


def test_a_folder_of_that_name_is_given_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ArgumentError, match=r"for the folder of that name give its path, \./photos"
    ):
        gan_core.data.tfds_splits("photos")


def make_tfds_set(data_dir, name, images, labels):
    """Writes a prepared TensorFlow Datasets set."""
    import tensorflow_datasets as tfds

    shapes = {image.shape for image in images}
    shape = images[0].shape if len(shapes) == 1 else (None, None, images[0].shape[-1])
    features = {
        "image": tfds.features.Image(shape=shape),
        "label": tfds.features.ClassLabel(names=["left", "right"]),
    }
    examples = tf.data.Dataset.from_generator(
        lambda: (
            {"image": image, "label": int(label)}
            for image, label in zip(images, labels, strict=True)
        ),
        output_signature={
            "image": tf.TensorSpec(shape, tf.uint8),
            "label": tf.TensorSpec((), tf.int64),
        },
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": examples},
        data_dir=str(data_dir),
    )


def read(name, data_dir, tmp_path, **kwargs):
    return gan_core.data.tfds_images(
        name, data_dir=str(data_dir), cache_dir=tmp_path / "cache", **kwargs
    )


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    make_tfds_set(data_dir, "tiny_set", images, [0, 1, 0, 1, 1])
    return data_dir, images


def rows(images):
    return sorted(image.tobytes() for image in images)


def test_reads_a_prepared_set(tiny_set, tmp_path):
    data_dir, images = tiny_set
    source = read("tiny_set", data_dir, tmp_path)
    assert source.name == "tiny_set/train"
    assert rows(source.images) == rows(images)
    assert sorted(source.labels) == [0, 0, 1, 1, 1]
    assert source.class_names == ("left", "right")
    assert source.describe() == "tiny_set/train: 5 images of 6x7x3, 2 classes, 0.0 MiB in memory"


def test_the_images_and_labels_are_those_for_supervised_learning():
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "alphabet": tfds.features.ClassLabel(names=["a", "b"]),
            "copy": tfds.features.Image(shape=(6, 7, 3)),
            "image": tfds.features.Image(shape=(6, 7, 3)),
            "label": tfds.features.ClassLabel(names=["left", "right", "up"]),
        }
    )
    for named, expected in (
        (("image", "label"), ("image", "label", ("left", "right", "up"))),
        (("copy", "image"), ("copy", "alphabet", ("a", "b"))),
        (None, ("copy", "alphabet", ("a", "b"))),
    ):
        info = SimpleNamespace(features=features, supervised_keys=named)
        assert tfds_source._image_and_label_features("set", info) == expected


def test_a_set_that_is_prepared_again_is_decoded_again(tmp_path):
    for value in (3, 4):
        shutil.rmtree(tmp_path / "sets", ignore_errors=True)
        (tmp_path / "sets").mkdir()
        images = np.full((5, 6, 7, 3), value, np.uint8)
        make_tfds_set(tmp_path / "sets", "tiny_set", images, [0, 1, 0, 1, 1])
        source = read("tiny_set", tmp_path / "sets", tmp_path, image_shape=(4, 4, 3))
        assert (source.images == value).all()


def test_what_does_not_fit_is_read_from_a_file_that_is_written_once(tiny_set, tmp_path):
    data_dir, images = tiny_set
    source = read("tiny_set", data_dir, tmp_path, memory_limit_bytes=100)
    assert isinstance(source.images, np.memmap)
    assert "on disk" in source.describe()
    assert rows(source.images) == rows(images)
    [written] = (tmp_path / "cache").glob("*/images.npy")
    before = written.stat().st_mtime_ns
    again = read("tiny_set", data_dir, tmp_path, memory_limit_bytes=100)
    np.testing.assert_array_equal(again.images, source.images)
    np.testing.assert_array_equal(again.labels, source.labels)
    assert written.stat().st_mtime_ns == before


def test_a_cache_cut_off_while_it_was_written_is_written_anew(tiny_set, tmp_path):
    data_dir, images = tiny_set
    read("tiny_set", data_dir, tmp_path, memory_limit_bytes=100)
    [folder] = (tmp_path / "cache").iterdir()
    partial = folder.rename(folder.with_name(folder.name + ".partial_abc"))
    (partial / "images.npy").write_bytes(b"half")
    source = read("tiny_set", data_dir, tmp_path, memory_limit_bytes=100)
    assert rows(source.images) == rows(images)


def test_a_cache_folder_that_cannot_be_made_is_an_error_of_the_flag(tiny_set, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ArgumentError, match=r"`cache_dir` \(.*\) cannot store 0 MiB"):
        read("tiny_set", tiny_set[0], tmp_path, memory_limit_bytes=100)


def test_images_are_fitted_to_the_size_asked_for(tiny_set, tmp_path):
    data_dir, images = tiny_set
    source = read("tiny_set", data_dir, tmp_path, image_shape=(4, 4, 1))
    assert source.image_shape == (4, 4, 1)
    assert "fitted from 6x7x3 (crop: centre)" in source.describe()
    assert abs(source.images.mean() - images.mean()) < 10


def test_unequal_sizes_are_named(tmp_path):
    images = [np.zeros((6, 7, 3), np.uint8), np.zeros((5, 9, 3), np.uint8)]
    make_tfds_set(tmp_path, "unequal_set", images, [0, 1])
    with pytest.raises(ArgumentError, match=r"one size, but has (6x7x3 and 5x9x3|5x9x3 and 6x7x3)"):
        read("unequal_set", tmp_path, tmp_path)


def test_unknown_set_gets_a_suggestion(tmp_path):
    with pytest.raises(ArgumentError, match=r"`dataset` \(svhn_croped\) .* did you mean svhn_crop"):
        read("svhn_croped", tmp_path, tmp_path)


def test_unknown_split_lists_those_there_are(tiny_set, tmp_path):
    with pytest.raises(ArgumentError, match=r"`split` \(tain\) .* use one of train"):
        read("tiny_set", tiny_set[0], tmp_path, split="tain")


def test_missing_data_without_network_fails_at_once_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "_is_online", lambda: False)
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    for data_dir in (str(tmp_path), None):
        with pytest.raises(ArgumentError, match=rf"`data_dir` \({tmp_path}\) must hold a prepared"):
            gan_core.data.tfds_images("mnist", data_dir=data_dir, cache_dir=tmp_path / "cache")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "images", [np.zeros((2, 4, 4, 3), np.float32), np.zeros((0, 4, 4, 3), np.uint8), np.zeros(3)]
)
def test_source_refuses_what_is_no_array_of_images(images):
    with pytest.raises(ArgumentError, match=r"`images` \(.*\) must be uint8 \[N, H, W, C\]"):
        gan_core.data.ImageSource("x", images, np.zeros(len(images), np.int64))


def test_source_refuses_missing_labels():
    with pytest.raises(
        ArgumentError, match=r"`labels` \(\[1\]\) must hold one label for each of 2"
    ):
        gan_core.data.ImageSource("x", np.zeros((2, 4, 4, 3), np.uint8), np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("name", "split", "count", "shape"),
    [
        ("mnist", "test", 10_000, (28, 28, 1)),
        ("fashion_mnist", "test", 10_000, (28, 28, 1)),
        ("svhn_cropped", "train[:100]", 100, (32, 32, 3)),
    ],
)
def test_reads_real_sets(real_data_dir, tmp_path, name, split, count, shape):
    source = read(name, real_data_dir, tmp_path, split=split)
    assert source.images.shape == (count, *shape)
    assert set(source.labels) <= set(range(-1, 10))
    assert 0.02 < source.images.mean() / 255 < 0.9


@pytest.mark.parametrize("damage", ["cut", "cut between two", "flipped", "gone", "empty"])
def test_damaged_files_are_named_with_the_set(damage, tiny_set, tmp_path):
    data_dir = shutil.copytree(tiny_set[0], tmp_path / "data")
    (path,) = data_dir.rglob("*.tfrecord*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    if damage == "gone":
        path.unlink()
    else:
        first = 8 + 4 + int.from_bytes(content[:8], "little") + 4  # a record and its checksums
        kept = {"cut": content[:-9], "flipped": content, "empty": b""}
        path.write_bytes(kept.get(damage, path.read_bytes()[:first]))
    with pytest.raises(ArgumentError, match=r"cannot be read|cannot be opened|whole|must hold"):
        read("tiny_set", data_dir, tmp_path)


@pytest.mark.parametrize("content", ["", "no json", "{}", "[]", '{"name": 5}'])
def test_damaged_facts_of_a_set_are_named(content, tiny_set, tmp_path):
    data_dir = shutil.copytree(tiny_set[0], tmp_path / "data")
    (path,) = data_dir.rglob("dataset_info.json")
    path.write_text(content)
    with pytest.raises(ArgumentError):
        read("tiny_set", data_dir, tmp_path)


@pytest.mark.parametrize(
    "split",
    [
        *("train[10:5]", "train[", "train[5:5]", "", "train+", "all[:x]", "train[4:2]"),
        *("train[-1:-3]", "train[80%:20%]", "train+train[3:1]"),
    ],
)
def test_splits_that_cannot_be_meant_are_refused(split, tiny_set, tmp_path):
    with pytest.raises(ArgumentError, match="`split`"):
        read("tiny_set", tiny_set[0], tmp_path, split=split)


@pytest.mark.parametrize("name", ["mnist/x=1", "mnist:9.9.9", "a b", "/", "mnist/", ":", "x/y/z"])
def test_names_that_cannot_be_meant_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "_is_online", lambda: False)
    with pytest.raises(ArgumentError, match=r"`(dataset|data_dir)`"):
        read(name, tmp_path, tmp_path)
