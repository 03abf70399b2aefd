"""Decoded images on disk: written once, whole or not at all, found by what went into them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from gan_core.durable_files import publish
from gan_core.errors import ArgumentError

Item = TypeVar("Item")


def cached_images(
    cache_dir: Path,
    key: dict[str, Any],
    shape: tuple[int, int, int, int],
    examples: Iterable[tuple[np.ndarray, int]],
    memory_limit_bytes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels that `examples` gives, decoded once for each `key`.

    Args:
      cache_dir: Folder of all caches.
      key: What the images depend on; another key, another cache.
      shape: (N, H, W, C); fewer than N examples are fine.
      examples: Pairs of an image, uint8 [H, W, C], and its class; read only where nothing is
        cached under `key`.
      memory_limit_bytes: Above it, images are left on disk and read from there.

    Returns:
      images: uint8 [N, H, W, C], in memory or a memory map.
      labels: int64 [N].

    Raises:
      ArgumentError: If `cache_dir` cannot be written to.
    """
    text = json.dumps(key, sort_keys=True)
    folder = cache_dir / hashlib.sha256(text.encode()).hexdigest()[:24]
    if not folder.exists():
        try:
            _write(folder, text, shape, examples)
        except OSError as error:
            raise ArgumentError(
                "cache_dir",
                cache_dir,
                f"cannot take {np.prod(shape) / 2**20:,.0f} MiB of decoded images: {error}",
                "make room, or choose another",
            ) from error
    # Copy on write: nobody writes, but TensorFlow shares only what it could write to.
    images = np.load(folder / "images.npy", mmap_mode="c")
    labels = np.load(folder / "labels.npy")
    images = images[: len(labels)]
    return (np.array(images) if images.nbytes <= memory_limit_bytes else images), labels


def _write(
    folder: Path,
    key_text: str,
    shape: tuple[int, int, int, int],
    examples: Iterable[tuple[np.ndarray, int]],
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own for each writer: two runs that start together do not meet in it.
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial_", dir=folder.parent))
    try:
        images = np.lib.format.open_memmap(partial / "images.npy", "w+", np.uint8, shape)
        _reserve(partial / "images.npy")
        labels = []
        for row, (image, label) in enumerate(examples):
            images[row] = image
            labels.append(label)
        images.flush()
        np.save(partial / "labels.npy", np.array(labels, np.int64))
        (partial / "key.json").write_text(key_text)
        _publish_once(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
