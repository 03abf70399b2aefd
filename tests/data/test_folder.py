import errno
import os

import numpy as np
import pytest
from PIL import Image

import gan_core
from gan_core import ArgumentError
from gan_core.data import folder as folder_module
from gan_core.data import folder_images

SHAPE = (8, 8, 3)


def save(path, colour, size=(12, 9), mode="RGB", **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **kwargs)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    save(folder / "cats" / "a.jpg", (200, 0, 0), quality=95)
    save(folder / "cats" / "deep" / "b.PNG", (0, 200, 0))
    save(folder / "dogs" / "c.gif", (0, 0, 200))
    save(folder / "dogs" / "d.webp", (90, 90, 90), lossless=True)
    save(folder / "e.bmp", (250, 250, 250), size=(3, 30))
    (folder / "notes.txt").write_text("not a picture, and not called one")
    (folder / ".hidden.png").write_text("left out")
    return folder


def read(folder, tmp_path, **kwargs):
    return folder_images(folder, image_shape=SHAPE, cache_dir=tmp_path / "cache", **kwargs)


def test_reads_nested_pictures_of_any_kind_with_their_classes(pictures, tmp_path):
    source = read(pictures, tmp_path)
    assert source.image_shape == SHAPE
    assert source.class_names == ("cats", "dogs")
    assert list(source.labels) == [-1, 0, 0, 1, 1]
    colours = [(250, 250, 250), (200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)]
    for image, colour in zip(source.images, colours, strict=True):
        np.testing.assert_allclose(image, np.broadcast_to(colour, SHAPE), atol=4)
    assert "folder pictures: 5 images of 8x8x3" in source.describe()


def test_a_second_start_uses_the_cache_until_a_file_changes(pictures, tmp_path, monkeypatch):
    first = read(pictures, tmp_path)
    decode = folder_module._decode
    monkeypatch.setattr(folder_module, "_decode", lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(read(pictures, tmp_path).images, first.images)
    monkeypatch.setattr(folder_module, "_decode", decode)
    save(pictures / "e.bmp", (1, 2, 3), size=(30, 30))
    assert (read(pictures, tmp_path).images[0] == (1, 2, 3)).all()
    assert read(pictures, tmp_path, crop="random").image_shape == (9, 9, 3)


def test_more_than_memory_is_left_on_disk(pictures, tmp_path):
    source = read(pictures, tmp_path, memory_limit_bytes=100)
    assert isinstance(source.images, np.memmap)
    np.testing.assert_array_equal(source.images, read(pictures, tmp_path).images)


def spoil(pictures, kind):
    path = pictures / "dogs" / "bad.png"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello")
    elif kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "bomb":
        Image.new("1", (20_000, 6_000)).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("empty", "the file is empty"),
        ("text", "it is not a picture"),
        ("truncated", "truncated"),
        ("bomb", "20000x6000 pixels are more than 100,000,000"),
    ],
)
@pytest.mark.filterwarnings("ignore:Image size")
def test_a_bad_picture_is_named_or_skipped(pictures, tmp_path, capsys, kind, cause):
    path = spoil(pictures, kind)
    with pytest.raises(ArgumentError, match=rf"{path}\) holds a bad picture: .*{cause}"):
        read(pictures, tmp_path)
    assert not list((tmp_path / "cache").iterdir()), "nothing half-written"
    source = read(pictures, tmp_path, bad_images="skip")
    with pytest.raises(ArgumentError, match=cause):
        read(pictures, tmp_path)
    assert len(source.images) == 5
    assert list(source.labels) == [-1, 0, 0, 1, 1]
    error = capsys.readouterr().err
    assert "skipped 1 bad pictures of 6" in error
    assert str(path) in error
    assert cause in error
    assert "1 bad pictures skipped" in source.describe()


def test_a_folder_without_pictures_says_so(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match="but of 0 such files none is usable"):
        read(tmp_path / "empty", tmp_path)
    (tmp_path / "empty" / "bad.png").write_text("x")
    with pytest.raises(ArgumentError, match="but of 1 such files none is usable"):
        read(tmp_path / "empty", tmp_path, bad_images="skip")
    with pytest.raises(ArgumentError, match=r"`data_dir` .* must be a folder of pictures"):
        read(tmp_path / "missing", tmp_path)
    with pytest.raises(ArgumentError, match=r"`bad_images` \(ignore\) .* use one of error, skip"):
        read(tmp_path / "empty", tmp_path, bad_images="ignore")


def test_a_link_to_another_class_gives_it_no_second_name(pictures, tmp_path):
    (pictures / "cats" / "more").symlink_to(pictures / "dogs")
    source = read(pictures, tmp_path)
    assert source.class_names == ("cats", "dogs")
    assert sorted(source.labels) == [-1, 0, 0, 1, 1]


def test_what_may_pass_is_no_bad_picture(pictures, tmp_path, monkeypatch):
    """Left out of the cache it would be missing for ever."""

    def fail(*arguments):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(folder_module.Image, "open", fail)
    with pytest.raises(ArgumentError, match=r"cannot be read at the moment .* try again"):
        read(pictures, tmp_path, bad_images="skip")


def test_a_folder_that_cannot_be_read_is_named_or_skipped(pictures, tmp_path, monkeypatch, capsys):
    """Root may read all: the system's answer is made up."""
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("cats"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ArgumentError, match=r"`data_dir` \(.*cats\) cannot be read"):
        read(pictures, tmp_path)
    source = read(pictures, tmp_path, bad_images="skip")
    assert "cats" not in source.class_names
    assert "skipped a folder that cannot be read" in capsys.readouterr().err


def test_the_grids_of_a_run_within_are_no_pictures(pictures, tmp_path, capsys):
    run = pictures / "runs" / "first"
    save(run / "samples" / "step_0000000.png", (1, 2, 3))
    with gan_core.run.RunLock(run):
        assert len(read(pictures, tmp_path).images) == 5
    assert f"skipped the folder of a run: {run}" in capsys.readouterr().err
    assert len(read(run, tmp_path).images) == 1


def test_links_are_followed_once_and_those_that_lead_nowhere_are_bad(pictures, tmp_path):
    (pictures / "cats" / "loop").symlink_to(pictures)
    assert len(read(pictures, tmp_path).images) == 5
    (pictures / "gone.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(ArgumentError, match=r"gone\.png\) holds a bad picture: FileNotFoundError"):
        read(pictures, tmp_path)
