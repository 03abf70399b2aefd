"""Datasets opened by name: a registry of kinds.

A new kind of dataset is a function that returns an `ImageSource`, in a module of its own, and an
entry in `_KINDS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gan_core.choices import ARRAY_FILE_ENDINGS
from gan_core.data.array_file import array_file_images
from gan_core.data.digits import SPLITS, drawn_digits
from gan_core.data.folder import folder_images
from gan_core.data.resizing import ImageShape
from gan_core.data.source import ImageSource
from gan_core.data.tfds import tfds_images, tfds_splits
from gan_core.errors import ArgumentError


def open_images(
    dataset: str,
    *,
    split: str = "train",
    data_dir: str = "",
    image_shape: ImageShape,
    crop: str = "centre",
    bad_images: str = "error",
    cache_dir: Path,
    memory_limit_bytes: int = 4 * 2**30,
) -> ImageSource:
    """The images of a dataset, fitted to one shape.

    Args:
      dataset: `drawn_digits`; the path of a folder of pictures, or `folder` for the folder
        `data_dir`; the path of a .npy or .npz file; otherwise a name in TensorFlow Datasets.
      split: Part of a dataset that has splits; `train` for all others.
      data_dir: The folder of pictures for `folder`; otherwise the TensorFlow Datasets directory,
        its default (~/tensorflow_datasets) if empty.
      image_shape: (H, W, C).
      crop: Fitting of images of another size: `centre`, `none` or `random`; see `resizing.fit`.
      bad_images: Action on incomplete pictures in a folder: `error` or `skip`.
      cache_dir: Folder for decoded images.
      memory_limit_bytes: Images that need more memory are read from `cache_dir` instead.

    Raises:
      ArgumentError: If the images cannot be read, or the dataset has no such split.
    """
    kind = _kind_of(dataset)
    if kind.splits is None and split != "train":
        raise ArgumentError("split", split, "is for datasets with splits", "leave it out")
    fitting = {
        "image_shape": image_shape,
        "crop": crop,
        "cache_dir": cache_dir,
        "memory_limit_bytes": memory_limit_bytes,
    }
    return kind.open(_Named(dataset, split, data_dir, bad_images), fitting)


def split_names(dataset: str, data_dir: str = "") -> tuple[str, ...]:
    """The names of a dataset's splits; empty for kinds without splits, folders and files.

    Args:
      dataset: As in `open_images`.
      data_dir: As in `open_images`.

    Raises:
      ArgumentError: If TensorFlow Datasets has no such dataset, or cannot download it.
    """
    splits = _kind_of(dataset).splits
    return () if splits is None else tuple(splits(dataset, data_dir))


class _Named(NamedTuple):
    dataset: str
    split: str
    data_dir: str
    bad_images: str


class _Kind(NamedTuple):
    """One kind of dataset.

    Attributes:
      matches: True for the names of datasets of this kind.
      open: Opens one, given the shape, crop and storage as keyword arguments of its function.
      splits: (dataset, data_dir) -> names of its splits; None if the kind has none.
    """

    matches: Callable[[str], bool]
    open: Callable[[_Named, dict[str, Any]], ImageSource]
    splits: Callable[[str, str], Sequence[str]] | None = None


def _is_folder(dataset: str) -> bool:
    is_path = bool(re.match(r"[./~]", dataset)) or os.sep in dataset
    return dataset == "folder" or (is_path and Path(dataset).expanduser().is_dir())


def _open_folder(named: _Named, fitting: dict[str, Any]) -> ImageSource:
    folder = named.data_dir if named.dataset == "folder" else named.dataset
    if not folder:
        rule, remedy = "must name the folder of pictures", "give --data_dir=PATH"
        raise ArgumentError("data_dir", "empty", rule, remedy)
    return folder_images(Path(folder).expanduser(), bad_images=named.bad_images, **fitting)


_KINDS = (
    _Kind(
        matches=lambda dataset: dataset == "drawn_digits",
        open=lambda named, fitting: drawn_digits(named.split, **fitting),
        splits=lambda dataset, data_dir: tuple(SPLITS),
    ),
    _Kind(matches=_is_folder, open=_open_folder),
    _Kind(
        matches=lambda dataset: dataset.endswith(ARRAY_FILE_ENDINGS),
        open=lambda named, fitting: array_file_images(Path(named.dataset).expanduser(), **fitting),
    ),
    _Kind(
        matches=lambda dataset: True,
        open=lambda named, fitting: tfds_images(
            named.dataset, split=named.split, data_dir=named.data_dir or None, **fitting
        ),
        splits=lambda dataset, data_dir: tfds_splits(dataset, data_dir or None),
    ),
)
"""In the order in which they are tried."""


def _kind_of(dataset: str) -> _Kind:
    return next(kind for kind in _KINDS if kind.matches(dataset))
