"""Decoded images on disk: written once, whole or not at all, found by what went into them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

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
    """
    text = json.dumps(key, sort_keys=True)
    folder = cache_dir / hashlib.sha256(text.encode()).hexdigest()[:24]
    if not folder.exists():
        _write(folder, text, shape, examples)
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy")
    images = images[: len(labels)]
    return (np.array(images) if images.nbytes <= memory_limit_bytes else images), labels


def _write(
    folder: Path,
    key_text: str,
    shape: tuple[int, int, int, int],
    examples: Iterable[tuple[np.ndarray, int]],
) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        images = np.lib.format.open_memmap(partial / "images.npy", "w+", np.uint8, shape)
        labels = []
        for row, (image, label) in enumerate(examples):
            images[row] = image
            labels.append(label)
        images.flush()
        np.save(partial / "labels.npy", np.array(labels, np.int64))
        (partial / "key.json").write_text(key_text)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def with_progress(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """Passes items on; shows a bar, on a terminal, once it takes a while."""
    yield from tqdm(
        items, desc=title, total=total, unit=" images", disable=None, delay=2, leave=False
    )
