"""Decoded images on disk: written once, whole or not at all, found by what went into them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import psutil
from tqdm import tqdm

from gan_core.errors import ArgumentError
from gan_core.files import content_hash, publish, read_json_object

Item = TypeVar("Item")
_DAMAGE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError, EOFError, KeyError)
"""What is wrong with the files; other errors are the system's, and may pass."""
_MAP_NORESERVE = 0x4000
"""Linux's; Python's mmap names it from 3.13 on."""
_PARTIAL = ".partial_"


class CachedImages(NamedTuple):
    """What is kept, checked against its checksum.

    Attributes:
      images: uint8 [N, H, W, C], in memory or a memory map.
      labels: int64 [N].
      content: Their `content_hash`.
    """

    images: np.ndarray
    labels: np.ndarray
    content: str


def cached_images(
    cache_dir: Path,
    key: dict[str, Any],
    shape: tuple[int, int, int, int],
    examples: Iterable[tuple[np.ndarray, int]],
    memory_limit_bytes: int,
) -> CachedImages:
    """The images and labels that `examples` gives, decoded once for each `key`.

    Args:
      cache_dir: Folder of all caches.
      key: What the images depend on; another key, another cache.
      shape: (N, H, W, C); fewer than N examples are fine.
      examples: Pairs of an image, uint8 [H, W, C], and its class; read only where nothing is
        cached under `key`, or what is there is damaged.
      memory_limit_bytes: Above it, images are left on disk and read from there.

    Raises:
      ArgumentError: If `cache_dir` cannot be written to.
    """
    text = json.dumps(key, sort_keys=True)
    folder = cache_dir / hashlib.sha256(text.encode()).hexdigest()[:24]
    try:
        kept = _read_kept(folder, memory_limit_bytes)
        if kept is None:
            _write(folder, text, shape, examples)
            kept = _read(folder, memory_limit_bytes)
    except OSError as error:
        raise ArgumentError(
            "cache_dir",
            cache_dir,
            f"cannot take {np.prod(shape) / 2**20:,.0f} MiB of decoded images: {error}",
            "make room, or choose another",
        ) from error
    return kept


def file_state(path: Path) -> tuple[int, ...]:
    """What is another once a file's content is: size, times of change, and which file it is.

    A program may set the time of the last write (`cp -p` does), but not that of the last change of
    the file's record, which Unix keeps beside it. Of a link that leads nowhere, the link's own;
    nothing of what cannot be looked at.
    """
    try:
        stat = path.stat() if path.exists() else path.lstat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def memory_map(path: Path) -> np.ndarray:
    """The array of a .npy file, read from the disk where it is looked at; it may be any size.

    Nobody writes to it, but TensorFlow shares only what it could write to, so it is a map whose
    pages are copied when they are written. For NumPy's own map of this kind Linux must have as much
    memory as the file has bytes, used or not.

    Raises:
      OSError: If the file cannot be read.
      ValueError: If it is no such file.
    """
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if sys.platform != "linux" or not isinstance(array, np.memmap):
        copied_on_write: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
        return copied_on_write
    with path.open("rb") as file:
        memory = mmap.mmap(
            file.fileno(),
            0,
            flags=mmap.MAP_PRIVATE | _MAP_NORESERVE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
        )
    values = np.frombuffer(memory, array.dtype, array.size, array.offset)
    if array.flags.c_contiguous:
        values = values.reshape(array.shape)
    else:
        values = values.reshape(array.shape, order="F")
    mapped = values.view(np.memmap)
    vars(mapped)["_mmap"] = memory  # by which NumPy tells that its parts are maps too
    return mapped


def _read_kept(folder: Path, memory_limit_bytes: int) -> CachedImages | None:
    """What a folder holds; what is damaged is removed, with a line, and None."""
    if not folder.exists():
        return None
    try:
        return _read(folder, memory_limit_bytes)
    except _DAMAGE as error:
        print(f"decoded images in {folder} are damaged ({error}): made anew", file=sys.stderr)
    aside = folder.with_name(f"{folder.name}{_PARTIAL}{_this_process()}_damaged")
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
    return None


def _read(folder: Path, memory_limit_bytes: int) -> CachedImages:
    """What a folder holds, checked against its checksum.

    Raises:
      Those of `_DAMAGE`: If it is damaged.
    """
    content = read_json_object(folder / "manifest.json")["content"]
    images = memory_map(folder / "images.npy")
    labels = np.load(folder / "labels.npy")
    images = images[: len(labels)]
    images = np.array(images) if images.nbytes <= memory_limit_bytes else images
    if content_hash(images, labels) != content:
        raise ValueError("its checksum is another")
    return CachedImages(images, labels, content)


def _write(
    folder: Path,
    key_text: str,
    shape: tuple[int, int, int, int],
    examples: Iterable[tuple[np.ndarray, int]],
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_what_killed_processes_left(folder.parent)
    # A folder of its own for each writer: two runs that start together do not meet in it.
    prefix = f"{folder.name}{_PARTIAL}{_this_process()}_"
    partial = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        images = np.lib.format.open_memmap(partial / "images.npy", "w+", np.uint8, shape)
        _reserve(partial / "images.npy")
        given = []
        for row, (image, label) in enumerate(examples):
            images[row] = image
            given.append(label)
        images.flush()
        labels = np.array(given, np.int64)
        np.save(partial / "labels.npy", labels)
        content = content_hash(images[: len(labels)], labels)
        manifest = {"key": json.loads(key_text), "content": content}
        (partial / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        _publish_once(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _this_process() -> str:
    """A word for this process, as folders that it has not finished are named."""
    return f"{re.sub('[^A-Za-z0-9-]', '-', platform.node())}_{os.getpid()}"


def _remove_what_killed_processes_left(cache_dir: Path) -> None:
    """Removes unfinished folders of processes of this machine that are gone."""
    host, _ = _this_process().rsplit("_", 1)
    for path in cache_dir.glob(f"*{_PARTIAL}{host}_*"):
        number = path.name.split(f"{_PARTIAL}{host}_")[1].split("_")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _reserve(path: Path) -> None:
    """Claims a file's space: a full disk is an error here; in a memory map it ends the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _publish_once(partial: Path, folder: Path) -> None:
    try:
        publish(partial, folder)
    except OSError:
        # Another run was faster; what it wrote is the same.
        if not folder.exists():
            raise


def with_progress(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """Passes items on; shows a bar, on a terminal, once it takes a while."""
    yield from tqdm(
        items, desc=title, total=total, unit=" images", disable=None, delay=2, leave=False
    )
