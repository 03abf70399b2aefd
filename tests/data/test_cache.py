"""Decoded images on disk: whole, checked, decoded again if damaged."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import psutil
import pytest

from gan_core import ArgumentError
from gan_core.data import cache
from gan_core.data.cache import cached_images, file_state
from gan_core.files import content_hash

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
LABELS = np.array([3, 1, 4, 1, 5])


def read(folder, count=5, limit=2**30, decoded=None):
    def examples():
        if decoded is not None:
            decoded.append(count)
        yield from zip(IMAGES[:count], LABELS[:count], strict=True)

    return cached_images(folder, {"key": "some"}, (5, 4, 4, 3), examples(), limit)


@pytest.mark.parametrize("limit", [2**30, 10])
def test_what_is_kept_is_read_again_and_known_by_its_content(tmp_path, limit):
    decoded = []
    for _ in range(2):
        images, labels, content = read(tmp_path, limit=limit, decoded=decoded)
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)
        assert content == content_hash(IMAGES, LABELS)
        assert isinstance(images, np.memmap) == (limit == 10)
    assert decoded == [5]
    assert len(read(tmp_path / "fewer", count=3).images) == 3


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def zeros(path):
    path.write_bytes(path.read_bytes()[:128] + bytes(path.stat().st_size - 128))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "images cut": ("images.npy", cut),
    "images of zeros": ("images.npy", zeros),
    "a bit": ("images.npy", flip_a_bit),
    "images gone": ("images.npy", os.remove),
    "images of nothing": ("images.npy", lambda path: path.write_bytes(b"")),
    "labels gone": ("labels.npy", os.remove),
    "labels flipped": ("labels.npy", flip_a_bit),
    "labels are text": ("labels.npy", lambda path: path.write_text("no labels")),
    "manifest gone": ("manifest.json", os.remove),
    "manifest is no JSON": ("manifest.json", lambda path: path.write_bytes(b"\0\xff")),
    "manifest without content": ("manifest.json", lambda path: path.write_text("{}")),
    "manifest is a list": ("manifest.json", lambda path: path.write_text("[]")),
}


@pytest.mark.parametrize("limit", [2**30, 10])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_anew_with_a_line(damage, limit, tmp_path, capsys):
    read(tmp_path)
    (folder,) = tmp_path.iterdir()
    name, spoil = DAMAGES[damage]
    spoil(folder / name)
    decoded = []
    np.testing.assert_array_equal(read(tmp_path, limit=limit, decoded=decoded).images, IMAGES)
    assert decoded == [5]
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"decoded images in {folder} are damaged (")
    assert list(tmp_path.iterdir()) == [folder]
    read(tmp_path, decoded=decoded)
    assert decoded == [5]
    assert not capsys.readouterr().err


def test_what_a_killed_process_left_is_removed_and_what_others_are_writing_stays(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from gan_core.data.cache import cached_images\n"
        "def examples():\n    yield os._exit(9)\n"
        "cached_images(Path(sys.argv[1]), {'key': 1}, (5, 4, 4, 3), examples(), 0)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], timeout=60)
    assert done.returncode == 9
    (left,) = tmp_path.iterdir()
    assert ".partial_" in left.name
    other = tmp_path / re.sub(r"(\.partial_.*?_)\d+_", rf"\g<1>{os.getppid()}_", left.name)
    shutil.copytree(left, other)
    read(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert left.name not in names
    assert other.name in names
    assert len(names) == 2


def test_the_state_of_a_file_tells_what_a_set_time_hides(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(b"one")
    before, times = file_state(path), path.stat()
    assert file_state(path) == before
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_mtime_ns == times.st_mtime_ns
    assert file_state(path) != before
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert file_state(tmp_path / "link")
    assert json.dumps(before)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere NumPy's map is taken")
def test_a_map_may_be_larger_than_all_memory(tmp_path):
    """A file of holes, of twice the machine's memory: NumPy's own map is refused."""
    memory = psutil.virtual_memory()
    rows = 2 * (memory.total + psutil.swap_memory().total) // 3072
    path = tmp_path / "images.npy"
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, 32, 32, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(range(12)))
        file.truncate(file.tell() - 12 + rows * 3072)
    images = cache.memory_map(path)
    assert images.shape == (rows, 32, 32, 3)
    assert images.flags.writeable
    assert images[0, 0, :4].tobytes() == bytes(range(12))
    assert not images[-1].any()


def test_a_map_has_the_order_of_the_file(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for order in "CF":
        np.save(tmp_path / "values.npy", np.asarray(values, order=order))
        np.testing.assert_array_equal(cache.memory_map(tmp_path / "values.npy"), values)


def test_a_name_too_long_for_a_folder_is_told(tmp_path):
    with pytest.raises(ArgumentError, match=r"`cache_dir` .*cannot store .*File name too long"):
        read(tmp_path / ("x" * 300))
