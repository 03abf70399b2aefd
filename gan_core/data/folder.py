"""Images in a folder of pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from gan_core.choices import BAD_IMAGES
from gan_core.data.cache import cached_images, file_state, with_progress
from gan_core.data.resizing import ImageShape, fit, stored_shape
from gan_core.data.source import UNKNOWN_LABEL, ImageSource
from gan_core.errors import ArgumentError, check_known
from gan_core.files import may_pass

ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
_MAXIMUM_PIXELS = 100_000_000
_NAMED_BAD_PICTURES = 10
_OF_THE_SYSTEM = {"lost+found", "System Volume Information"}
"""Folders in the root of a disk that only the system may read."""
_LOCK_OF_A_RUN = "run.lock"
"""Marks the folder of a run or a search, whose grids are not data (see `run.RunLock`)."""


def folder_images(
    folder: Path,
    *,
    image_shape: ImageShape,
    cache_dir: Path,
    crop: str = "centre",
    bad_images: str = "error",
    memory_limit_bytes: int = 4 * 2**30,
) -> ImageSource:
    """All pictures below a folder, fitted to one shape; see `resizing.fit`.

    Nested folders are searched, except those of runs; the folders of the first level are the
    classes. Files are selected by their endings (PNG, JPEG, GIF, BMP, WebP); hidden files are left
    out. Animations are represented by their first frame. Decoded images are cached until the name
    or fingerprint of a file (see `cache.file_state`) or a setting changes.

    Args:
      folder: The folder.
      image_shape: (H, W, C), C of 1 or 3.
      cache_dir: Folder for decoded images.
      crop: `centre`, `none` or `random`.
      bad_images: Action on incomplete pictures: `error`, or `skip`, which reports how many and
        which on standard error.
      memory_limit_bytes: Images that need more memory are read from `cache_dir` instead.

    Raises:
      ArgumentError: If the folder does not exist or has no usable picture; if a picture is bad or a
        folder cannot be read, and `bad_images` is `error`; if a file cannot be read because of a
        temporary error of the system.
    """
    check_known("bad_images", bad_images, BAD_IMAGES)
    if not folder.is_dir():
        raise ArgumentError("data_dir", folder, "must be a folder of pictures", "check the path")
    paths = _picture_paths(folder, bad_images)
    classes = sorted({path.relative_to(folder).parts[0] for path in paths if path.parent != folder})
    stored = stored_shape(image_shape, crop)
    key = {
        "folder": str(folder.absolute()),
        "files": [(str(path.relative_to(folder)), *file_state(path)) for path in paths],
        "shape": stored,
        "crop": crop,
        "bad_images": bad_images,
    }
    shape = (len(paths), *stored)

    def examples() -> Iterator[tuple[np.ndarray, int]]:
        for path, image in _decode_all(paths, stored, crop, bad_images):
            name = path.relative_to(folder).parts[0]
            yield image, UNKNOWN_LABEL if path.parent == folder else classes.index(name)

    if not paths:
        raise _no_picture(folder, 0)
    images, labels, content = cached_images(cache_dir, key, shape, examples(), memory_limit_bytes)
    if not len(images):
        raise _no_picture(folder, len(paths))
    notes = f"fitted from pictures of any size (crop: {crop})"
    if len(images) < len(paths):
        notes += f", {len(paths) - len(images)} bad pictures skipped"
    return ImageSource(f"folder {folder.name}", images, labels, tuple(classes), notes, content)


def _picture_paths(folder: Path, bad_images: str) -> list[Path]:
    """Pictures below a folder, in an order independent of the file system."""
    paths: list[Path] = []
    visited: set[str] = set()
    top = os.path.realpath(folder)

    def cannot_be_read(error: OSError) -> None:
        if bad_images == "error":
            remedy = "make it readable, or skip such folders"
            raise ArgumentError("data_dir", error.filename, f"cannot be read ({error})", remedy)
        print(f"skipped a folder that cannot be read: {error}", file=sys.stderr)

    for root, folders, files in os.walk(folder, followlinks=True, onerror=cannot_be_read):
        # Links to folders are followed, each folder once, so cycles of links end.
        real = os.path.realpath(root)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        if _LOCK_OF_A_RUN in files and root != str(folder):
            print(f"skipped the folder of a run: {root}", file=sys.stderr)
            folders.clear()
            continue
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _OF_THE_SYSTEM
            and (root == str(folder) or not _is_link_into(top, os.path.join(root, name)))
        )
        pictures = (name for name in files if name.lower().endswith(ENDINGS) and name[0] != ".")
        paths.extend(Path(root, name) for name in sorted(pictures))
    return paths


def _is_link_into(top: str, path: str) -> bool:
    """True for a link to a folder below `top`, which is searched there under its own class."""
    if not os.path.islink(path):
        return False
    inside = Path(os.path.relpath(os.path.realpath(path), top))
    return not any(part.startswith(".") for part in inside.parts)


def _decode_all(
    paths: list[Path], shape: ImageShape, crop: str, bad_images: str
) -> Iterator[tuple[Path, np.ndarray]]:
    """Paths with their images, in order, decoded on all cores; bad ones are skipped or raised."""
    bad = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = pool.map(lambda path: _decode(path, shape, crop), paths)
        for path, result in with_progress(
            zip(paths, decoded, strict=True), "Decoding pictures", len(paths)
        ):
            if isinstance(result, np.ndarray):
                yield path, result
            elif bad_images == "error":
                pool.shutdown(wait=False, cancel_futures=True)
                raise ArgumentError(
                    "data_dir",
                    path,
                    f"holds a bad picture: {result}",
                    "repair it, or skip such files",
                )
            else:
                bad.append(f"{path}: {result}")
    if bad:
        named = "\n  ".join(bad[:_NAMED_BAD_PICTURES])
        more = f"\n  and {len(bad) - _NAMED_BAD_PICTURES} more" * (len(bad) > _NAMED_BAD_PICTURES)
        print(f"skipped {len(bad)} bad pictures of {len(paths)}:\n  {named}{more}", file=sys.stderr)


def _decode(path: Path, shape: ImageShape, crop: str) -> np.ndarray | str:
    """The fitted picture, or the reason why it is bad."""
    try:
        if not path.stat().st_size:
            return "the file is empty"
        with Image.open(path) as picture:
            if picture.width * picture.height > _MAXIMUM_PIXELS:
                return f"{picture.width}x{picture.height} pixels are more than {_MAXIMUM_PIXELS:,}"
            # JPEGs can be decoded at a fraction of their size; `fit` does the rest.
            picture.draft(None, (2 * shape[1], 2 * shape[0]))
            return fit(picture, shape, crop)
    except UnidentifiedImageError:
        return "it is not a picture"
    except MemoryError as error:
        raise _temporary(path, "there is not enough memory") from error
    except OSError as error:
        if may_pass(error):
            raise _temporary(path, str(error)) from error
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        # Pillow's decoders raise many types of error on damaged files.
        return f"{type(error).__name__}: {error}"


def _temporary(path: Path, cause: str) -> ArgumentError:
    """An error of the system: a skipped picture would stay missing from the cache for ever."""
    rule = f"cannot be read at the moment ({cause})"
    return ArgumentError("data_dir", path, rule, "try again, or remove it if the error persists")


def _no_picture(folder: Path, num_files: int) -> ArgumentError:
    return ArgumentError(
        "data_dir",
        folder,
        f"must hold pictures ({', '.join(ENDINGS)}), but of {num_files} such files none is usable",
        "check the path",
    )
