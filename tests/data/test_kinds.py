import numpy as np
import pytest
from PIL import Image

import gan_core
from gan_core.data import open_images, split_names

SHAPE = (8, 8, 3)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for level in range(3):
        Image.new("RGB", (8, 8), (level, level, level)).save(folder / f"{level}.png")
    return folder


def opened(dataset, tmp_path, **arguments):
    return open_images(dataset, image_shape=SHAPE, cache_dir=tmp_path / "cache", **arguments)


def test_a_folder_is_opened_by_its_path_and_by_data_dir(pictures, tmp_path):
    by_path = opened(str(pictures), tmp_path)
    by_name = opened("folder", tmp_path, data_dir=str(pictures))
    assert by_path.name == by_name.name == "folder pictures"
    assert by_path.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert by_path.content_hash == by_name.content_hash


def test_bad_images_are_skipped_on_request(pictures, tmp_path):
    (pictures / "bad.png").write_bytes(b"no picture")
    with pytest.raises(gan_core.ArgumentError, match=r"bad\.png"):
        opened(str(pictures), tmp_path)
    assert len(opened(str(pictures), tmp_path, bad_images="skip").images) == 3


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_an_array_file_is_opened_by_its_path(ending, tmp_path):
    images, path = np.zeros((4, 8, 8, 3), np.uint8), tmp_path / f"images{ending}"
    if ending == ".npy":
        np.save(path, images)
    else:
        np.savez(path, images=images)
    assert opened(str(path), tmp_path).images.shape == (4, 8, 8, 3)


def test_drawn_digits_have_two_splits(tmp_path):
    assert split_names("drawn_digits") == ("train", "test")
    assert opened("drawn_digits", tmp_path, split="test").name == "drawn_digits/test"


def test_folders_and_files_have_no_splits(pictures, tmp_path):
    assert split_names("folder", str(pictures)) == split_names("a/b.npz") == ()
    with pytest.raises(gan_core.ArgumentError) as error:
        opened(str(pictures), tmp_path, split="test")
    assert str(error.value) == "`split` (test) is for datasets with splits; leave it out."


def test_folder_needs_data_dir(tmp_path):
    with pytest.raises(gan_core.ArgumentError) as error:
        opened("folder", tmp_path)
    expected = "`data_dir` (empty) must name the folder of pictures; give --data_dir=PATH."
    assert str(error.value) == expected


def test_other_names_are_those_of_tensorflow_datasets(tmp_path):
    with pytest.raises(gan_core.ArgumentError, match=r"`dataset` \(no_such_set\)"):
        opened("no_such_set", tmp_path)
    with pytest.raises(gan_core.ArgumentError, match=r"`dataset` \(no_such_set\)"):
        split_names("no_such_set")
