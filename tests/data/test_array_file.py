import numpy as np
import pytest

from gan_core import ArgumentError
from gan_core.data import array_file_images

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)


def read(path, tmp_path, **kwargs):
    return array_file_images(path, cache_dir=tmp_path / "cache", **kwargs)


def test_reads_npz_with_labels_and_npy_without(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.arange(5))
    np.save(tmp_path / "b.npy", IMAGES[..., 0])
    a, b = read(tmp_path / "a.npz", tmp_path), read(tmp_path / "b.npy", tmp_path)
    np.testing.assert_array_equal(a.images, IMAGES)
    assert list(a.labels) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(b.images, IMAGES[..., :1])
    assert set(b.labels) == {-1}
    on_disk = read(tmp_path / "b.npy", tmp_path, memory_limit_bytes=10)
    np.testing.assert_array_equal(on_disk.images, b.images)


def test_fits_to_the_size_asked_for(tmp_path):
    np.save(tmp_path / "b.npy", IMAGES)
    source = read(tmp_path / "b.npy", tmp_path, image_shape=(3, 3, 3))
    expected = IMAGES.reshape(5, 3, 2, 3, 2, 3).mean((2, 4))
    np.testing.assert_allclose(source.images, expected, atol=1.0)
    assert "fitted from 6x6x3" in source.facts()


def test_refuses_what_it_cannot_use(tmp_path):
    np.savez(tmp_path / "names.npz", pictures=IMAGES)
    with pytest.raises(ArgumentError, match="must hold `images`, but has pictures"):
        read(tmp_path / "names.npz", tmp_path)
    np.save(tmp_path / "floats.npy", IMAGES / 255)
    with pytest.raises(ArgumentError, match=r"must hold uint8 .* has float64 \[5, 6, 6, 3\]"):
        read(tmp_path / "floats.npy", tmp_path)
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(ArgumentError, match="cannot be read"):
        read(tmp_path / "text.npy", tmp_path)
    with pytest.raises(ArgumentError, match="cannot be read"):
        read(tmp_path / "missing.npy", tmp_path)


def test_pickled_objects_are_never_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("code from the file was run",)

    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ArgumentError, match="cannot be read"):
        read(tmp_path / "trap.npy", tmp_path)


def test_damaged_archives_and_unfitting_labels_are_told(tmp_path):
    np.savez(tmp_path / "cut.npz", images=IMAGES)
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArgumentError, match="cannot be read"):
        read(tmp_path / "cut.npz", tmp_path)
    np.save(tmp_path / "first.npy", IMAGES.transpose(0, 3, 1, 2)[..., :5])
    with pytest.raises(ArgumentError, match=r"with C of 1, 3 or 4, but has uint8 \[5, 3, 6, 5\]"):
        read(tmp_path / "first.npy", tmp_path)
    for labels in (np.arange(4), np.array(["a"] * 5), np.array(3)):
        np.savez(tmp_path / "labels.npz", images=IMAGES, labels=labels)
        with pytest.raises(ArgumentError, match="an integer label for each of 5 images"):
            read(tmp_path / "labels.npz", tmp_path)


def test_a_large_archive_is_read_from_the_cache(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    source = read(tmp_path / "a.npz", tmp_path, memory_limit_bytes=10)
    assert isinstance(source.images, np.memmap)
    np.testing.assert_array_equal(source.images, IMAGES)
