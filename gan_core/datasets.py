"""Image sources: whatever the pictures come from, one array of them with labels and facts."""

from __future__ import annotations

import dataclasses
import difflib
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from gan_core.drawn_digits import NUM_CLASSES, draw_digits
from gan_core.errors import ArgumentError, check_positive

UNKNOWN_LABEL = -1
DRAWN_DIGITS_SPLITS = {"train": range(0, 10_000), "test": range(10_000, 12_000)}
_READ_BATCH_SIZE = 512


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSource:
    """A set of equally large pictures.

    Attributes:
      name: Which set this is, as every output of a run names it.
      images: uint8 [N, H, W, C]; in memory, or a memory map of a file where it does not fit.
      labels: int64 [N]; -1 where the class is unknown.
      class_names: Names of the classes; empty where there are none.

    Raises:
      ArgumentError: If `images` is empty, not uint8 or not [N, H, W, C], or if `labels` differ
        from it in number.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or not len(self.images):
            raise ArgumentError(
                "images",
                f"{self.images.dtype} {list(self.images.shape)}",
                "must be uint8 [N, H, W, C] with N above 0",
                "convert the pictures to levels of 0 to 255",
            )
        if self.labels.shape != (len(self.images),):
            raise ArgumentError(
                "labels",
                list(self.labels.shape),
                f"must hold one label for each of {len(self.images)} images",
                f"use {UNKNOWN_LABEL} where a class is unknown",
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.images.shape[1:]

    def facts(self) -> str:
        """One line for people: how many, how large, which classes, where they are held."""
        size = "x".join(map(str, self.image_shape))
        where = "on disk" if isinstance(self.images, np.memmap) else "in memory"
        known = self.labels[self.labels != UNKNOWN_LABEL]
        words = [f"{self.name}: {len(self.images):,} images of {size}"]
        words.append(f"{len(np.unique(known))} classes" if len(known) else "no classes")
        if len(known) and len(known) < len(self.labels):
            words.append(f"{len(self.labels) - len(known):,} of unknown class")
        words.append(f"{self.images.nbytes / 2**20:,.1f} MiB {where}")
        return ", ".join(words)


def drawn_digits(split: str = "train", seed: int = 0) -> ImageSource:
    """Street-number-like 32x32x3 digits, drawn by the program: no data and no network needed.

    Args:
      split: `train` (10,000 images) or `test` (2,000 others).
      seed: Which set of digits.

    Raises:
      ArgumentError: If there is no such split.
    """
    if split not in DRAWN_DIGITS_SPLITS:
        raise _no_such_split("drawn_digits", split, DRAWN_DIGITS_SPLITS)
    images, labels = draw_digits(seed, DRAWN_DIGITS_SPLITS[split])
    names = tuple(map(str, range(NUM_CLASSES)))
    return ImageSource(f"drawn_digits/{split}", images, labels, names)


def tfds_images(
    name: str,
    *,
    split: str = "train",
    data_dir: str | None = None,
    cache_dir: str | os.PathLike[str],
    memory_limit_bytes: int = 4 * 2**30,
) -> ImageSource:
    """The images of a TensorFlow Datasets set, downloaded and prepared by it when they are not.

    Where they take more than `memory_limit_bytes`, they are decoded once into a file below
    `cache_dir`, and read from there at random.

    Args:
      name: Name of the set, for example `svhn_cropped`, with or without a version.
      split: Split in TFDS's language, for example `train`, `train+extra`, `train[:10%]`.
      data_dir: TFDS's data directory; its own default (~/tensorflow_datasets) when None.
      cache_dir: Where decoded images are kept that do not fit.
      memory_limit_bytes: How much the decoded images may take in memory.

    Raises:
      ArgumentError: If there is no such set or split, if it holds no uint8 images of one size,
        or if it is not prepared in `data_dir` and cannot be downloaded.
    """
    builder = _prepared_builder(name, data_dir)
    image_key, label_key, class_names = _image_and_label_features(name, builder.info.features)
    count = _num_examples(name, builder, split)
    dataset = builder.as_dataset(split=split, shuffle_files=False).map(
        lambda example: (
            example[image_key],
            example[label_key] if label_key else tf.constant(UNKNOWN_LABEL, tf.int64),
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    height, width, channels = _one_size(name, dataset, builder.info.features[image_key].shape)
    full_name = f"{builder.name}/{split}"
    batches = _with_progress(
        dataset.batch(_READ_BATCH_SIZE).as_numpy_iterator(), f"Reading {full_name}", count
    )
    shape = (count, height, width, channels)
    if np.prod(shape) <= memory_limit_bytes:
        images, labels = np.empty(shape, np.uint8), np.empty(count, np.int64)
        _fill(images, labels, batches)
    else:
        version = str(builder.version)
        folder = Path(cache_dir) / f"{builder.name}-{version}-{split}".replace("/", "_")
        images, labels = _decode_to_files(folder, shape, batches)
    return ImageSource(full_name, images, labels, class_names)


def _prepared_builder(name: str, data_dir: str | None) -> Any:
    # TensorFlow Datasets is slow to import, and not needed by the other sources.
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        alike = difflib.get_close_matches(name, ["drawn_digits", *tfds.list_builders()])
        remedy = f"did you mean {' or '.join(alike)}?" if alike else "see `tfds.list_builders()`"
        raise ArgumentError("dataset", name, "must be a known dataset", remedy) from error
    except (ValueError, AssertionError, OSError) as error:
        raise ArgumentError("dataset", name, f"cannot be opened: {error}", "see TFDS") from error
    if builder.is_prepared():
        return builder
    if not _is_online():
        raise ArgumentError(
            "data_dir",
            builder.data_root if data_dir is None else data_dir,
            f"must hold a prepared `{name}` where there is no network to download it",
            "point it to one, or use --dataset=drawn_digits",
        )
    try:
        builder.download_and_prepare()
    except OSError as error:
        raise ArgumentError(
            "data_dir", builder.data_root, f"cannot receive `{name}`: {error}", "try again"
        ) from error
    return builder


def _is_online() -> bool:
    """Whether a download has a chance; TFDS itself would retry for minutes before it says no."""
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo("storage.googleapis.com", 443)
    except OSError:
        return False
    return True


def _image_and_label_features(name: str, features: Any) -> tuple[str, str | None, tuple[str, ...]]:
    import tensorflow_datasets as tfds

    images = [key for key, f in features.items() if isinstance(f, tfds.features.Image)]
    labels = [key for key, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    if not images or features[images[0]].np_dtype != np.uint8:
        raise ArgumentError(
            "dataset", name, "must have a feature of uint8 images", "choose a set of images"
        )
    label = labels[0] if labels else None
    return images[0], label, tuple(features[label].names) if label else ()


def _num_examples(name: str, builder: Any, split: str) -> int:
    try:
        count = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise _no_such_split(name, split, builder.info.splits) from error
    if not count:
        raise ArgumentError("split", split, f"of `{name}` must hold images", "choose a larger one")
    return count


def _no_such_split(name: str, split: str, splits: Any) -> ArgumentError:
    return ArgumentError(
        "split", split, f"must be a split of `{name}`", f"use one of {', '.join(splits)}"
    )


def _one_size(name: str, dataset: tf.data.Dataset, shape: tuple[int | None, ...]) -> Any:
    """(H, W, C) of all images; looks at each where the set does not promise one size."""
    if None not in shape:
        return shape
    first = None
    for image, _ in _with_progress(dataset.as_numpy_iterator(), f"Measuring {name}", None):
        first = first or image.shape
        if image.shape != first:
            sizes = " and ".join("x".join(map(str, size)) for size in (first, image.shape))
            raise ArgumentError(
                "dataset", name, f"must hold images of one size, but has {sizes}", "resize them"
            )
    return first


def _with_progress(batches: Iterator[Any], title: str, total: int | None) -> Iterator[Any]:
    """Passes batches on; shows a bar of the images read, on a terminal, once it takes a while."""
    with tqdm(desc=title, total=total, unit=" images", disable=None, delay=2, leave=False) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch[1]) if np.ndim(batch[1]) else 1)


def _fill(images: np.ndarray, labels: np.ndarray, batches: Iterator[Any]) -> None:
    start = 0
    for some_images, some_labels in batches:
        end = start + len(some_images)
        images[start:end], labels[start:end] = some_images, some_labels
        start = end


def _decode_to_files(
    folder: Path, shape: tuple[int, ...], batches: Iterator[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """`images.npy` and `labels.npy` in `folder`, written once; images come back memory-mapped."""
    check_positive("images", shape[0])
    images_path, labels_path = folder / "images.npy", folder / "labels.npy"
    if not labels_path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        images = np.lib.format.open_memmap(images_path, "w+", np.uint8, shape)
        labels = np.empty(shape[0], np.int64)
        _fill(images, labels, batches)
        images.flush()
        # The labels come last and whole: where they are, the images are complete.
        np.save(folder / "partial.npy", labels)
        (folder / "partial.npy").rename(labels_path)
    return np.load(images_path, mmap_mode="r"), np.load(labels_path)
