"""Images in NumPy files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import psutil

from gan_core.data.cache import cached_images, file_state, memory_map
from gan_core.data.resizing import ImageShape, fit_array, stored_shape
from gan_core.data.source import UNKNOWN_LABEL, ImageSource, shape_text
from gan_core.errors import ArgumentError

_MEMBERS = ("images.npy", "labels.npy")
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,  # the header claims a huge array
    OverflowError,
    RuntimeError,  # encryption or an unknown compression (NotImplementedError)
    TypeError,
    SyntaxError,  # the header is not a Python literal
    zipfile.BadZipFile,
    zlib.error,
)


def array_file_images(
    path: Path,
    *,
    cache_dir: Path,
    image_shape: ImageShape | None = None,
    crop: str = "centre",
    memory_limit_bytes: int = 4 * 2**30,
) -> ImageSource:
    """The images of a `.npy` file, or of a `.npz` file with `images` and optional `labels`.

    Code in the file is not executed: pickled objects are refused.

    Args:
      path: The file. Its images are uint8 [N, H, W, C] or [N, H, W], its labels integers [N].
      cache_dir: Folder for images that had to be fitted.
      image_shape: (H, W, C) that images are fitted to; their own shape when None.
      crop: Fitting of images of another size: `centre`, `none` or `random`; see `resizing.fit`.
      memory_limit_bytes: Images that need more memory are read from the disk instead.

    Raises:
      ArgumentError: If the file cannot be read, or does not hold uint8 images.
    """
    images, labels = _checked(path, *_load(path))
    is_map = isinstance(images, np.memmap)
    stored = stored_shape(image_shape or images.shape[1:], crop)
    fits = images.nbytes <= memory_limit_bytes
    if images.shape[1:] == stored and (fits or is_map):
        if fits and is_map:  # is copied by `ImageSource`, as the file may change
            images = images.view(np.ndarray)
            images.flags.writeable = False
        return ImageSource(path.name, images, labels)
    key = {"file": str(path.absolute()), "state": file_state(path)}
    key |= {"shape": stored, "crop": crop}
    examples = (
        (fit_array(image, stored, crop), label) for image, label in zip(images, labels, strict=True)
    )
    own = images.shape[1:]
    notes = "" if own == stored else f"fitted from {shape_text(own)} (crop: {crop})"
    shape = (len(images), *stored)
    images, labels, content = cached_images(cache_dir, key, shape, examples, memory_limit_bytes)
    return ImageSource(path.name, images, labels, notes=notes, content=content)


def _checked(
    path: Path, images: np.ndarray, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Images as uint8 [N, H, W, C] and labels as int64 [N]."""
    if images.ndim == 3:
        images = images[..., None]
    if (
        images.ndim != 4
        or images.dtype != np.uint8
        or not images.size
        or images.shape[-1] not in (1, 3, 4)
    ):
        raise ArgumentError(
            "dataset",
            path,
            "must hold uint8 images [N, H, W] or [N, H, W, C] with C of 1, 3 or 4, but has "
            f"{images.dtype} {list(images.shape)}",
            "convert them to levels of 0 to 255",
        )
    if labels is None:
        labels = np.full(len(images), UNKNOWN_LABEL)
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise ArgumentError(
            "dataset",
            path,
            f"must hold an integer label for each of {len(images)} images, but has "
            f"{labels.dtype} {list(labels.shape)}",
            f"use {UNKNOWN_LABEL} where a class is unknown",
        )
    if labels.min() < UNKNOWN_LABEL:
        rule = f"must have labels of 0 or more, but has {labels.min()}"
        remedy = f"use {UNKNOWN_LABEL} where a class is unknown"
        raise ArgumentError("dataset", path, rule, remedy)
    return images, labels.astype(np.int64)


def _load(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    if path.exists() and not path.is_file():  # reading a pipe would block
        raise ArgumentError("dataset", path, "must be a file", "check the path")
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return memory_map(path), None
        with loaded:
            if "images" not in loaded:
                raise ArgumentError(
                    "dataset", path, f"must hold `images`, but has {', '.join(loaded)}", "rename it"
                )
            _check_memory(path)
            return loaded["images"], loaded.get("labels")
    except ArgumentError:
        raise
    except _UNREADABLE as error:
        cause = f"{type(error).__name__}: {error}"
        raise ArgumentError(
            "dataset", path, f"cannot be read ({cause})", "check the file"
        ) from error


def _check_memory(path: Path) -> None:
    """Refuses images that exceed the free memory: the system would kill the process."""
    with zipfile.ZipFile(path) as archive:
        read = [one for one in archive.infolist() if one.filename in _MEMBERS]
    unpacked = sum(member.file_size for member in read) / 2**30
    free = psutil.virtual_memory().available / 2**30
    if unpacked > free:
        rule = f"unpacks to {unpacked:.1f} GiB, but {free:.1f} GiB of memory are free"
        remedy = "save the images as .npy, which can be read from the disk"
        raise ArgumentError("dataset", path, rule, remedy)
