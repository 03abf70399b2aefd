import hashlib

import numpy as np
import pytest

from gan_core import files as durable_files
from gan_core import files as module
from gan_core.errors import ArgumentError
from gan_core.files import cached_arrays, content_hash


def test_replaces_a_file_whole(tmp_path):
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        durable_files.write_durably(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_what_stood_there_stays_where_the_disk_refuses(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def refuse(path):
        raise OSError("No space left on device")

    monkeypatch.setattr(durable_files, "sync", refuse)
    with pytest.raises(OSError, match="No space left"):
        durable_files.write_durably(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_gets_its_name_when_all_of_it_is_on_the_disk(tmp_path, monkeypatch):
    partial, path = tmp_path / "partial", tmp_path / "whole"
    partial.mkdir()
    (partial / "b").write_bytes(b"2")
    (partial / "a").write_bytes(b"1")
    synced = []
    monkeypatch.setattr(
        durable_files, "sync", lambda path: synced.append((path.name, path.exists()))
    )
    durable_files.publish(partial, path)
    assert synced == [("a", True), ("b", True), ("partial", True), (tmp_path.name, True)]
    assert sorted(file.name for file in path.iterdir()) == ["a", "b"]
    partial.mkdir()
    with pytest.raises(OSError, match="not empty"):
        durable_files.publish(partial, path)


def test_checksum_is_that_of_the_standard(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"ab" * 2**20)
    assert durable_files.checksum(path) == hashlib.sha256(b"ab" * 2**20).hexdigest()


def test_a_link_beside_its_place_is_not_followed(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / ".partial_a.json").symlink_to(mine)
    durable_files.write_durably(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert mine.read_text() == "mine"
    assert not (tmp_path / "a.json").is_symlink()


def test_it_depends_on_values_types_and_shapes_only(monkeypatch):
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    kept = content_hash(array, {"seed": 1, "k": 5})
    assert kept == content_hash(array.T.copy().T, {"k": 5, "seed": 1})
    others = [array.reshape(6, 4), array.astype(np.int8), array + 1]
    hashes = {content_hash(other, {"seed": 1, "k": 5}) for other in others}
    hashes |= {content_hash(array, {"seed": 2, "k": 5}), content_hash(array)}
    assert len(hashes - {kept}) == 5
    monkeypatch.setattr(module, "_BYTES", 7)
    assert content_hash(array, {"seed": 1, "k": 5}) == kept


def test_they_are_computed_once(tmp_path):
    path = tmp_path / "deep" / "arrays.npz"
    first = cached_arrays(path, lambda: {"a": np.arange(3), "b": np.float64(0.5)})
    again = cached_arrays(path, lambda: pytest.fail("computed again"))
    np.testing.assert_array_equal(again["a"], first["a"])
    assert float(again["b"]) == 0.5
    assert [file.name for file in path.parent.iterdir()] == ["arrays.npz"]


def test_of_two_that_compute_at_a_time_the_first_is_kept(tmp_path):
    path = tmp_path / "a" / "values.npz"

    def slow():
        cached_arrays(path, lambda: {"values": np.array([1, 2])})
        return {"values": np.array([3, 4])}

    assert list(cached_arrays(path, slow)["values"]) == [1, 2]
    assert [file.name for file in path.parent.iterdir()] == ["values.npz"]


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "arrays.npz"
    cached_arrays(path, lambda: {"a": np.arange(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ArgumentError, match=r"arrays\.npz.*remove that file"):
        cached_arrays(path, lambda: {})


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="cannot be written to"):
        cached_arrays(tmp_path / "file" / "arrays.npz", lambda: {"a": np.arange(3)})
