"""Image datasets of TensorFlow Datasets (TFDS)."""

from __future__ import annotations

import difflib
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from gan_core.data.cache import cached_images, file_state, with_progress
from gan_core.data.distributed import without_autotune
from gan_core.data.resizing import ImageShape, fit_array, stored_shape
from gan_core.data.source import UNKNOWN_LABEL, ImageSource, shape_text
from gan_core.errors import ArgumentError


def tfds_images(
    name: str,
    *,
    cache_dir: Path,
    split: str = "train",
    data_dir: str | None = None,
    image_shape: ImageShape | None = None,
    crop: str = "centre",
    memory_limit_bytes: int = 4 * 2**30,
) -> ImageSource:
    """The images of a TFDS dataset, which is downloaded and prepared if necessary.

    Images of another size than `image_shape` are fitted to it; see `resizing.fit`. Images that had
    to be fitted, or that need more than `memory_limit_bytes`, are decoded once into a file below
    `cache_dir`.

    Args:
      name: Name of the dataset, for example `svhn_cropped`, with or without a version.
      cache_dir: Folder for decoded images.
      split: Split in TFDS syntax, for example `train`, `train+extra` or `train[:10%]`.
      data_dir: TFDS data directory; its default (~/tensorflow_datasets) when None.
      image_shape: (H, W, C) that images are fitted to; their own common shape when None.
      crop: Fitting of images of another size: `centre`, `none` or `random`.
      memory_limit_bytes: Images that need more memory are read from `cache_dir` instead.

    Raises:
      ArgumentError: If there is no such dataset or split, if it has no uint8 images, if they differ
        in size and `image_shape` is None, or if it is not prepared in `data_dir` and cannot be
        downloaded.
    """
    builder = _prepared_builder(name, data_dir)
    image_key, label_key, class_names = _image_and_label_features(name, builder.info)
    count = _num_examples(name, builder, split)
    full_name = f"{builder.name}/{split}"

    def read(title: str) -> Iterator[tuple[np.ndarray, int]]:
        num_read = 0
        try:
            dataset = without_autotune(builder.as_dataset(split=split, shuffle_files=False))
            examples = with_progress(dataset.as_numpy_iterator(), f"{title} {full_name}", count)
            for example in examples:
                num_read += 1
                yield example[image_key], int(example[label_key]) if label_key else UNKNOWN_LABEL
        except (tf.errors.OpError, OSError) as error:
            raise damaged(str(error).strip().splitlines()[0]) from error
        if num_read != count:
            raise damaged(f"{num_read:,} images of {count:,}")

    def damaged(cause: str) -> ArgumentError:
        rule = f"holds files of `{full_name}` that cannot be read ({cause})"
        return ArgumentError("data_dir", builder.data_path, rule, "prepare the set again")

    own_shape = builder.info.features[image_key].shape
    if image_shape is None:
        image_shape = own_shape if None not in own_shape else _one_size(name, read("Measuring"))
        crop = "centre"
    stored = stored_shape(image_shape, crop)
    examples = ((fit_array(image, stored, crop), label) for image, label in read("Reading"))
    shape = (count, *stored)
    if own_shape == stored and np.prod(shape) <= memory_limit_bytes:
        images, labels = np.empty(shape, np.uint8), np.empty(count, np.int64)
        for row, (image, label) in enumerate(examples):
            images[row], labels[row] = image, label
        content = ""
    else:
        key = {"tfds": builder.info.full_name, "data_dir": str(builder.data_dir), "split": split}
        key |= {"shape": stored, "crop": crop, "files": _file_states(builder)}
        images, labels, content = cached_images(cache_dir, key, shape, examples, memory_limit_bytes)
    notes = "" if own_shape == stored else f"fitted from {_size_text(own_shape)} (crop: {crop})"
    return ImageSource(full_name, images, labels, class_names, notes, content)


def tfds_splits(name: str, data_dir: str | None = None) -> tuple[str, ...]:
    """The names of a dataset's splits.

    Args:
      name: As in `tfds_images`.
      data_dir: As in `tfds_images`.

    Raises:
      ArgumentError: If there is no such dataset, or it is not prepared and cannot be downloaded.
    """
    return tuple(_prepared_builder(name, data_dir).info.splits)


def _prepared_builder(name: str, data_dir: str | None) -> Any:
    # TFDS is slow to import, and other kinds of datasets do not need it.
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        alike = difflib.get_close_matches(name, ["drawn_digits", *tfds.list_builders()])
        remedy = f"did you mean {' or '.join(alike)}?" if alike else "see `tfds.list_builders()`"
        if os.path.isdir(name):
            remedy = f"for the folder of that name give its path, ./{name}"
        raise ArgumentError("dataset", name, "must be a known dataset", remedy) from error
    except Exception as error:
        # TFDS raises many types of error for bad names, configurations and damaged files.
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        remedy = "check the name, or prepare the set again"
        raise ArgumentError("dataset", name, f"cannot be opened ({cause})", remedy) from error
    if builder.is_prepared():
        return builder
    if not _is_online():
        raise ArgumentError(
            "data_dir",
            builder.data_dir_root if data_dir is None else data_dir,
            f"must hold a prepared `{name}` where there is no network to download it",
            "point it to one, or use --dataset=drawn_digits",
        )
    try:
        builder.download_and_prepare()
    except Exception as error:
        # Downloads fail with many types of error (network, quota, checksum, manual download).
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ArgumentError(
            "data_dir", data_dir or "empty", f"cannot receive `{name}`: {cause}", "try again"
        ) from error
    return builder


def _is_online() -> bool:
    """True if a download may succeed; TFDS itself would retry for minutes before it fails."""
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo("storage.googleapis.com", 443)
    except OSError:
        return False
    return True


def _file_states(builder: Any) -> list[tuple[int, ...]]:
    """Fingerprints of all files, as a dataset may be prepared again under the same version."""
    paths = sorted(str(path) for split in builder.info.splits.values() for path in split.filepaths)
    return [file_state(Path(path)) for path in paths]


def _image_and_label_features(name: str, info: Any) -> tuple[str, str | None, tuple[str, ...]]:
    """Keys of images and labels, and class names; features for supervised learning come first."""
    import tensorflow_datasets as tfds

    features, named = dict(info.features.items()), tf.nest.flatten(info.supervised_keys)
    keys = [*(key for key in named if key in features), *features]
    images = [key for key in keys if isinstance(features[key], tfds.features.Image)]
    labels = [key for key in keys if isinstance(features[key], tfds.features.ClassLabel)]
    if not images or features[images[0]].np_dtype != np.uint8:
        raise ArgumentError(
            "dataset", name, "must have a feature of uint8 images", "choose a set of images"
        )
    label = labels[0] if labels else None
    return images[0], label, tuple(features[label].names) if label else ()


def _num_examples(name: str, builder: Any, split: str) -> int:
    import tensorflow_datasets as tfds

    try:
        count: int = builder.info.splits[split].num_examples
    except Exception as error:  # TFDS raises many types of error for bad splits
        raise ArgumentError(
            "split",
            split,
            f"must be a split of `{name}`",
            f"use one of {', '.join(builder.info.splits)}",
        ) from error
    parts = []
    if split not in builder.info.splits:  # the name of a split need not parse
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(builder.info.splits)
    if any(part.to is not None and (part.from_ or 0) > part.to for part in parts):
        raise ArgumentError(
            "split",
            split,
            "has a part that ends before it begins",
            "write the smaller number first",
        )
    if not count:
        raise ArgumentError("split", split, f"of `{name}` must hold images", "choose a larger one")
    return count


def _one_size(name: str, examples: Iterator[tuple[np.ndarray, int]]) -> ImageShape:
    """The common (H, W, C) of the images of a dataset that does not declare one."""
    shapes = (image.shape for image, _ in examples)
    first = next(shapes)
    for shape in shapes:
        if shape != first:
            raise ArgumentError(
                "dataset",
                name,
                "must hold images of one size, but has "
                f"{shape_text(first)} and {shape_text(shape)}",
                "give an image_shape to fit them to",
            )
    height, width, channels = first
    return height, width, channels


def _size_text(shape: tuple[int | None, ...]) -> str:
    sizes = [side for side in shape if side is not None]
    return shape_text(tuple(sizes)) if len(sizes) == len(shape) else "several sizes"
