"""`ImageSource`: the images of a dataset as one array, with labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.files import content_hash
from gan_core.types import computed_once

_ALIGNMENT = 64
UNKNOWN_LABEL = -1


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSource:
    """A set of images of one shape.

    Attributes:
      name: Name of the set in all outputs of a run.
      images: Uint8 [N, H, W, C]; in memory, or a memory map of a file.
      labels: Int64 [N]; -1 if the class is unknown.
      class_names: Names of the classes; empty if there are none.
      notes: Preprocessing in words; empty if there was none.
      content: `content_hash` of images and labels; computed on demand if empty.

    Raises:
      ArgumentError: If `images` is empty, not uint8 or not [N, H, W, C], or if there is not one
        label per image.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...] = ()
    notes: str = ""
    content: str = ""

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or not self.images.size:
            raise ArgumentError(
                "images",
                f"{self.images.dtype} {list(self.images.shape)}",
                "must be uint8 [N, H, W, C], with no dimension of 0",
                "convert the pictures to levels of 0 to 255",
            )
        if self.labels.shape != (len(self.images),):
            raise ArgumentError(
                "labels",
                list(self.labels.shape),
                f"must hold one label for each of {len(self.images)} images",
                f"use {UNKNOWN_LABEL} where a class is unknown",
            )
        object.__setattr__(self, "images", _shareable(self.images))

    def tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Images and labels as tensors; the images share the memory, or the file, of the array."""
        return tf.experimental.dlpack.from_dlpack(self.images.__dlpack__()), tf.constant(
            self.labels
        )

    @computed_once
    def content_hash(self) -> str:
        """SHA-256 of images and labels."""
        return self.content or content_hash(self.images, self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.images.shape[1:]

    def describe(self) -> str:
        """One line for people: name, number, shape, preprocessing, classes and memory."""
        where = "on disk" if isinstance(self.images, np.memmap) else "in memory"
        known = self.labels[self.labels != UNKNOWN_LABEL]
        words = [f"{self.name}: {len(self.images):,} images of {shape_text(self.image_shape)}"]
        if self.notes:
            words.append(self.notes)
        words.append(f"{len(np.unique(known))} classes" if len(known) else "no classes")
        if len(known) and len(known) < len(self.labels):
            words.append(f"{len(self.labels) - len(known):,} of unknown class")
        words.append(f"{self.images.nbytes / 2**20:,.1f} MiB {where}")
        return ", ".join(words)


def check_same_shape(train: ImageSource, test: ImageSource) -> None:
    """Raises `ArgumentError` unless the images of both sources have the same shape."""
    if test.image_shape != train.image_shape:
        rule = f"must have images of `train`'s shape {list(train.image_shape)}"
        raise ArgumentError("test", list(test.image_shape), rule, "fit both to one shape")


def _shareable(images: np.ndarray) -> np.ndarray:
    """The array itself if TensorFlow can share its memory, otherwise an aligned copy.

    TensorFlow's kernels need an alignment of 64 bytes, as memory maps of .npy files have; NumPy
    guarantees 16.
    """
    flags = images.flags
    if images.ctypes.data % _ALIGNMENT == 0 and flags.c_contiguous and flags.writeable:
        return images
    memory = np.empty(images.nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    copy = memory[start : start + images.nbytes].reshape(images.shape)
    copy[...] = images
    return copy


def shape_text(shape: tuple[int, ...]) -> str:
    """(32, 32, 3) -> `32x32x3`."""
    return "x".join(map(str, shape))
