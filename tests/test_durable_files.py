import hashlib

import pytest

from gan_core import durable_files


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
