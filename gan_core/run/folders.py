"""Folders to write into: whether they can be, and making them."""

from __future__ import annotations

import os
from pathlib import Path

from gan_core.errors import ArgumentError

_LONGEST_NAME = 255


def check_writable(name: str, folder: Path) -> None:
    """Raises `ArgumentError` where a folder cannot be made or written to; writes nothing."""
    check_names(name, folder)
    existing = nearest_existing(folder)
    if not existing.is_dir():
        raise ArgumentError(name, folder, f"must be a folder, but {existing} is a file", "move it")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ArgumentError(
            name, folder, f"must be writable, but {existing} is not", "choose another"
        )


def check_names(name: str, path: Path) -> None:
    """Raises `ArgumentError` where a part of a path is longer than file systems take."""
    for part in path.parts:
        if len(os.fsencode(part)) > _LONGEST_NAME:
            rule = f"holds a name of more than {_LONGEST_NAME} bytes ({part[:20]}...)"
            raise ArgumentError(name, f"{str(path)[:60]}...", rule, "choose a shorter one")


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that is there."""
    existing = folder.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent
    return existing


def make_folder(name: str, folder: Path) -> None:
    """Makes a folder and those above it; `name` is the flag that named it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(name, folder, f"cannot be made: {error}", "choose another") from error
