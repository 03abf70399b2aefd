"""Cache of decoded images on disk, keyed by their sources and settings, written atomically."""

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
from gan_core.internals import set_memory_map_of

Item = TypeVar("Item")
_DAMAGE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError, EOFError, KeyError)
"""Errors of damaged files; other errors are the system's, and may be temporary."""
_MAP_NORESERVE = 0x4000
"""MAP_NORESERVE of Linux; Python's mmap has it from 3.13 on."""
_PARTIAL = ".partial_"


class CachedImages(NamedTuple):
    """Images and labels from the cache, verified by their checksum.

    Attributes:
      images: Uint8 [N, H, W, C], in memory or a memory map.
      labels: Int64 [N].
      content: `content_hash` of images and labels.
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
    """The images and labels of `examples`, decoded once per `key`.

    Args:
      cache_dir: Folder of all caches.
      key: Everything that the images depend on; each key has its own cache.
      shape: (N, H, W, C); there may be fewer than N examples.
      examples: Pairs of an image, uint8 [H, W, C], and its class. They are read only if the cache
        of `key` is missing or damaged.
      memory_limit_bytes: Images that need more memory are read from the disk instead.

    Raises:
      ArgumentError: If `cache_dir` cannot be written to.
    """
    text = json.dumps(key, sort_keys=True)
    folder = cache_dir / hashlib.sha256(text.encode()).hexdigest()[:24]
    try:
        cached = _read_if_intact(folder, memory_limit_bytes)
        if cached is None:
            _write(folder, text, shape, examples)
            cached = _read(folder, memory_limit_bytes)
    except OSError as error:
        raise ArgumentError(
            "cache_dir",
            cache_dir,
            f"cannot store {np.prod(shape) / 2**20:,.0f} MiB of decoded images: {error}",
            "free space, or choose another folder",
        ) from error
    return cached


def file_state(path: Path) -> tuple[int, ...]:
    """Fingerprint that changes with a file's content: size, modification times and inode.

    Programs can set the modification time of the content (as `cp -p` does), but not that of the
    inode, which Unix also records. For a dangling link, the fingerprint of the link itself; empty
    if the file's metadata cannot be read.
    """
    try:
        stat = path.stat() if path.exists() else path.lstat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def memory_map(path: Path) -> np.ndarray:
    """The array of a .npy file of any size, read from the disk on access.

    The map is copy-on-write: nothing writes to it, but TensorFlow shares only writable memory.
    NumPy's own copy-on-write map would need as much free memory as the file has bytes on Linux,
    used or not.

    Raises:
      OSError: If the file cannot be read.
      ValueError: If it is not a .npy file.
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
    set_memory_map_of(mapped, memory)
    return mapped


def _read_if_intact(folder: Path, memory_limit_bytes: int) -> CachedImages | None:
    """The content of a cache folder; None if there is none, or a damaged one, which is removed."""
    if not folder.exists():
        return None
    try:
        return _read(folder, memory_limit_bytes)
    except _DAMAGE as error:
        print(f"decoded images in {folder} are damaged ({error}): decoding again", file=sys.stderr)
    aside = folder.with_name(f"{folder.name}{_PARTIAL}{_this_process()}_damaged")
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
    return None


def _read(folder: Path, memory_limit_bytes: int) -> CachedImages:
    """The content of a cache folder, verified by its checksum.

    Raises:
      _DAMAGE: If it is damaged.
    """
    content = read_json_object(folder / "manifest.json")["content"]
    images = memory_map(folder / "images.npy")
    labels = np.load(folder / "labels.npy")
    images = images[: len(labels)]
    images = np.array(images) if images.nbytes <= memory_limit_bytes else images
    if content_hash(images, labels) != content:
        raise ValueError("its checksum differs")
    return CachedImages(images, labels, content)


def _write(
    folder: Path,
    key_text: str,
    shape: tuple[int, int, int, int],
    examples: Iterable[tuple[np.ndarray, int]],
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder.parent)
    # Each writer has its own folder, so runs that start together do not collide.
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
    """A word for this process, in the names of its unfinished folders."""
    return f"{re.sub('[^A-Za-z0-9-]', '-', platform.node())}_{os.getpid()}"


def _remove_leftovers(cache_dir: Path) -> None:
    """Removes unfinished folders of processes of this machine that no longer exist."""
    host, _ = _this_process().rsplit("_", 1)
    for path in cache_dir.glob(f"*{_PARTIAL}{host}_*"):
        number = path.name.split(f"{_PARTIAL}{host}_")[1].split("_")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _reserve(path: Path) -> None:
    """Allocates a file's space: a full disk is an error here, but kills a process with a map."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _publish_once(partial: Path, folder: Path) -> None:
    try:
        publish(partial, folder)
    except OSError:
        # Another run was faster, and wrote the same.
        if not folder.exists():
            raise


def with_progress(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a progress bar on terminals if they take more than two seconds."""
    yield from tqdm(
        items, desc=title, total=total, unit=" images", disable=None, delay=2, leave=False
    )
