"""Files and folders: atomic writes, checksums, content hashes, an array cache, path checks."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import platform
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etils import epy

from gan_core.errors import ArgumentError

with epy.lazy_imports():
    import numpy as np

_MAY_PASS = {
    getattr(errno, name, None)
    for name in (
        *("EIO", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ESTALE", "ETIMEDOUT"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN"),
    )
} - {None}
"""Temporary errors of a machine or a network, as opposed to damage of a file."""


def write_durably(path: Path, data: bytes) -> None:
    """Atomic write: a temporary file in the same folder, synced to disk and renamed.

    Raises:
      OSError: If the file cannot be written; `path` is then unchanged.
    """
    partial = path.with_name(f".partial_{path.name}")
    try:
        partial.unlink(missing_ok=True)  # it may be a link to another file
        with partial.open("xb") as file:
            file.write(data)
        publish(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def publish(partial: Path, path: Path) -> None:
    """Atomically renames a finished file, or a folder of files, after syncing it to disk.

    After a crash at any time, `path` has either its previous content or the complete new one.

    Raises:
      OSError: If it cannot be renamed; a folder that is not empty is not replaced.
    """
    for file in sorted(partial.iterdir()) if partial.is_dir() else []:
        sync(file)
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def append_durably(path: Path, data: bytes) -> None:
    """Appends to a file and syncs it to disk.

    Raises:
      OSError: If the data cannot be written completely; the file is then unchanged.
    """
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      OSError: If the file cannot be read.
      ValueError: If it contains anything else.
    """
    if path.exists() and not path.is_file():  # reading a pipe would block
        raise OSError(f"{path} is not a file")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("it does not contain a JSON object")
    return value


def may_pass(error: OSError) -> bool:
    """True for a temporary error: the same file may be readable at another time."""
    return error.errno in _MAY_PASS


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on disk."""
    on_windows = os.name == "nt"
    if on_windows and path.is_dir():  # folders cannot be opened, and their names are journaled
        return
    descriptor = os.open(path, os.O_RDWR if on_windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


_BYTES = 2**26


def content_hash(*parts: Any) -> str:
    """SHA-256, in hexadecimal digits, of arrays (type, shape, values) and of JSON values.

    Any object with `dtype`, `shape` and rows counts as an array.
    """
    digest = hashlib.sha256()
    for part in parts:
        is_array = hasattr(part, "dtype") and hasattr(part, "shape")
        facts = [str(part.dtype), list(part.shape)] if is_array else part
        digest.update(json.dumps([is_array, facts], sort_keys=True).encode() + b"\n")
        if is_array and math.prod(part.shape):
            rows = max(1, _BYTES // max(1, part[:1].nbytes))
            for start in range(0, len(part), rows):
                digest.update(np.ascontiguousarray(part[start : start + rows]).data)
    return digest.hexdigest()


Arrays = dict[str, "np.ndarray"]


def cached_arrays(path: Path, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays in a cache file, which is computed and written if it does not exist.

    Args:
      path: A `.npz` file, whose name depends on everything that the arrays depend on.
      compute: Computes the arrays.

    Raises:
      ArgumentError: If the file is damaged, or cannot be written.
    """
    path = path.expanduser()
    if path.exists():
        return _read(path)
    arrays = compute()
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the stub takes a name for a flag
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name is unique to this process, as others may write the same arrays now.
        own = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}")
        write_durably(own, buffer.getvalue())
        if path.exists():  # another process was faster: its arrays count
            own.unlink()
            return _read(path)
        publish(own, path)
    except OSError as error:
        raise ArgumentError(
            "cache_dir",
            path.parent,
            f"cannot be written to: {error}",
            "free space, or choose another folder",
        ) from error
    return arrays


def _read(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ArgumentError(
            "cache_dir", path, f"holds a damaged file: {error}", "remove that file"
        ) from error


_LONGEST_NAME = 255


def check_writable(name: str, folder: Path) -> None:
    """Raises `ArgumentError` if a folder cannot be created or written to; writes nothing."""
    check_names(name, folder)
    existing = nearest_existing(folder)
    if not existing.is_dir():
        raise ArgumentError(name, folder, f"must be a folder, but {existing} is a file", "move it")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ArgumentError(
            name, folder, f"must be writable, but {existing} is not", "choose another"
        )


def check_names(name: str, path: Path) -> None:
    """Raises `ArgumentError` if a part of a path is longer than file systems allow."""
    for part in path.parts:
        if len(os.fsencode(part)) > _LONGEST_NAME:
            rule = f"contains a name of more than {_LONGEST_NAME} bytes ({part[:20]}...)"
            raise ArgumentError(name, f"{str(path)[:60]}...", rule, "choose a shorter one")


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or its nearest parent that exists."""
    existing = folder.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent
    return existing


def make_folder(name: str, folder: Path) -> None:
    """Creates a folder and its parents; `name` is the flag in error messages."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(
            name, folder, f"cannot be created: {error}", "choose another"
        ) from error
