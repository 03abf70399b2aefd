"""Files that are whole or not there, even after a crash or a loss of power."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

_MAY_PASS = {
    getattr(errno, name, None)
    for name in (
        *("EIO", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ESTALE", "ETIMEDOUT"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN"),
    )
} - {None}
"""Errors of a machine or a network, and not of a file."""


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file beside its place, syncs it to the disk and renames it.

    Raises:
      OSError: If it cannot be written; what stood at `path` is then as it was.
    """
    partial = path.with_name(f".partial_{path.name}")
    try:
        partial.unlink(missing_ok=True)  # a link there would lead to somebody else's file
        with partial.open("xb") as file:
            file.write(data)
        publish(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def publish(partial: Path, path: Path) -> None:
    """Gives what was written beside its place, a file or a folder of files, its name.

    All of it is on the disk before it has the name, so at any instant of a crash there is nothing
    under the name, what was there before, or the whole.

    Raises:
      OSError: If it cannot be; a folder of that name that holds something is not replaced.
    """
    for file in sorted(partial.iterdir()) if partial.is_dir() else []:
        sync(file)
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def append_durably(path: Path, data: bytes) -> None:
    """Appends to a file and syncs it to the disk.

    Raises:
      OSError: If not all of it can be written; the file is then as it was.
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
    """The JSON object that a file holds.

    Raises:
      OSError: If it cannot be read.
      ValueError: If it holds anything else.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OSError(f"{path} is no file")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    return value


def may_pass(error: OSError) -> bool:
    """Whether the same file may well be read at another time: its content is not at fault."""
    return error.errno in _MAY_PASS


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    on_windows = os.name == "nt"
    if on_windows and path.is_dir():  # which opens no folders, and keeps names in a journal
        return
    descriptor = os.open(path, os.O_RDWR if on_windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
