import os
import zipfile
from types import SimpleNamespace

import numpy as np
import psutil
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
    assert "fitted from 6x6x3" in source.describe()


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


def npy(shape, content=b"", descr="|u1"):
    """The bytes of a .npy whose header claims a shape."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


HUGE = "(1000000, 1000, 1000, 3)"


@pytest.mark.parametrize(
    "content",
    [npy(HUGE), npy("(-1, 6, 6, 3)"), npy("(2, 0, 6, 3)"), npy("(2, 6, 6, 0)"), npy("'x'"),
     npy("((1,), 2)"), npy("(2, 6, 6, 3)", b"short"), b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY"],
)  # fmt: skip
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_headers_that_cannot_be_meant_are_told(content, ending, tmp_path):
    path = tmp_path / f"a{ending}"
    path.write_bytes(content)
    if ending == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", content)
    with pytest.raises(ArgumentError, match=r"`dataset` \(.*\) (cannot be read|must hold uint8)"):
        read(path, tmp_path)


def test_encrypted_archives_and_unknown_compression_are_told(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=IMAGES)
    whole = path.read_bytes()
    central = whole.index(b"PK\x01\x02")
    for offsets, value in (((6, central + 8), 1), ((8, central + 10), 99)):
        changed = bytearray(whole)
        for offset in offsets:
            changed[offset] = value
        path.write_bytes(changed)
        with pytest.raises(ArgumentError, match="cannot be read"):
            read(path, tmp_path)


def test_an_archive_of_more_than_the_free_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", b"")
    content = bytearray(path.read_bytes())
    # The central directory's entry says how much comes out: 24 bytes after its signature.
    where = content.index(b"PK\x01\x02") + 24
    content[where : where + 4] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(content)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**31))
    with pytest.raises(
        ArgumentError, match=r"unpacks to 4\.0 GiB, but 2\.0 GiB of memory are free"
    ):
        read(path, tmp_path)


def test_images_in_memory_stay_when_the_file_changes(tmp_path):
    images = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)
    np.save(tmp_path / "a.npy", images)
    source = read(tmp_path / "a.npy", tmp_path)
    np.lib.format.open_memmap(tmp_path / "a.npy", "r+")[...] = 0
    np.testing.assert_array_equal(source.images, images)


def test_labels_below_that_of_an_unknown_class_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4, 3), np.uint8), labels=[0, -100])
    with pytest.raises(ArgumentError, match="must have labels of 0 or more, but has -100; use -1"):
        read(tmp_path / "a.npz", tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(ArgumentError, match="must be a file"):
        read(tmp_path / "a.npy", tmp_path)
