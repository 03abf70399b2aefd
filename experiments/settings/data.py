"""Flags of the training images, and the images that they name."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gan_core
from experiments.settings.flag import EACH_MACHINE, NEVER, Options, flag
from gan_core import ArgumentError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Options):
    """Data: dataset, fitting of images, cache."""

    dataset: str = flag("drawn_digits", NEVER, is_path=True, aliases="data")
    """drawn_digits (drawn by the program, without files or network), the path of a folder of
    pictures or of a .npy or .npz file of images, or the name of a TensorFlow Datasets image dataset
    such as svhn_cropped. folder stands for the folder --data_dir."""
    data_dir: str = flag(
        "", EACH_MACHINE, is_path=True, aliases="data data_path folder image_dir images input"
    )
    """With --dataset=folder, the folder of pictures. Otherwise the TensorFlow Datasets directory,
    to which missing datasets are downloaded; ~/tensorflow_datasets if empty."""
    split: str = flag("train", NEVER, describes_data=True)
    """Part of the dataset, for example train, train+extra or train[:10%]."""
    crop: str = flag("centre", NEVER, choices=gan_core.data.CROPS, describes_data=True)
    """Fitting of pictures of another size. centre: cut evenly to the network's aspect ratio, then
    scaled; none: squeezed without a cut; random: scaled a little larger, then cut at random."""
    flip: bool = flag(False, NEVER, describes_data=True, aliases="hflip mirror")
    """Mirror each image left to right with probability 1/2."""
    bad_images: str = flag("error", EACH_MACHINE, choices=gan_core.data.BAD_IMAGES)
    """Action on files in a folder that are not complete pictures. error: stop and name the first;
    skip: leave them out, and report how many and which."""
    cache_dir: str = flag("~/.cache/gan_core", EACH_MACHINE, is_path=True)
    """Folder for decoded images."""
    memory_limit_gib: float = flag(4.0, EACH_MACHINE, above=0, at_most=1e6)
    """Images that need more memory than this are read from --cache_dir instead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.cache_dir:
            remedy = "leave it out for ~/.cache/gan_core"
            raise ArgumentError("cache_dir", "empty", "must name a folder", remedy)


def resolve_dataset(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name with a folder's path in `dataset` replaced by `folder` and `data_dir`.

    Args:
      values: All settings; `dataset` overrides the `data_dir` of the run in the workdir.
      given: Those of this start, whose `data_dir` must agree with `dataset`.

    Raises:
      ArgumentError: If a path does not exist, or two different folders are given.
    """
    dataset = values.get("dataset", Data.dataset)
    if not re.match(r"[./~]", dataset) and os.sep not in dataset:
        return values
    if os.path.isdir(dataset):
        if given.get("data_dir", "") not in ("", dataset):
            rule = f"must not name another folder than `dataset` ({dataset})"
            raise ArgumentError("data_dir", values["data_dir"], rule, "leave one of them out")
        return values | {"dataset": "folder", "data_dir": dataset}
    if dataset[0] in "./~" and not os.path.exists(dataset):
        rule = "must be a folder of pictures or a file"
        raise ArgumentError("dataset", dataset, rule, "check the path")
    return values


def open_images(
    settings: Data, image_shape: tuple[int, int, int], *, split: str = ""
) -> gan_core.data.ImageSource:
    """The images that `--dataset` names, fitted to a size.

    Args:
      settings: Names the dataset and the fitting.
      image_shape: (H, W, C).
      split: Read in place of `--split`.

    Raises:
      ArgumentError: If they cannot be read.
    """
    return gan_core.data.open_images(
        settings.dataset,
        split=split or settings.split,
        data_dir=settings.data_dir,
        image_shape=image_shape,
        crop=settings.crop,
        bad_images=settings.bad_images,
        cache_dir=Path(settings.cache_dir),
        memory_limit_bytes=int(settings.memory_limit_gib * 2**30),
    )


def open_test_images(
    settings: Data, image_shape: tuple[int, int, int], split: str
) -> gan_core.data.ImageSource | None:
    """The images of another split; None if there are none.

    Args:
      settings: Names the dataset and the fitting.
      image_shape: (H, W, C).
      split: `none`, a split, or `auto` for `test` if the dataset has it and it is not trained on.

    Raises:
      ArgumentError: If the dataset has no splits, and one is named.
    """
    if split == "none" or (split == "auto" and "test" in settings.split):
        return None
    names = gan_core.data.split_names(settings.dataset, settings.data_dir)
    if split == "auto":
        return open_images(settings, image_shape, split="test") if "test" in names else None
    if not names:
        rule = "needs a dataset with splits"
        raise ArgumentError("evaluation_split", split, rule, "leave it out")
    return open_images(settings, image_shape, split=split)
