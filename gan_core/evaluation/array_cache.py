"""Arrays on disk: computed once, found by what they depend on."""

from __future__ import annotations

import io
import os
import platform
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_core.durable_files import publish, write_durably
from gan_core.errors import ArgumentError

Arrays = dict[str, np.ndarray]


def cached_arrays(path: Path, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays of a file; where there is none, those that `compute` gives, kept there.

    Args:
      path: A `.npz` named by what the arrays depend on.
      compute: Gives them where nothing is kept.

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
        # Under a name of this process's own: another that computes the same writes at that time.
        own = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}")
        write_durably(own, buffer.getvalue())
        if path.exists():  # the other's are the ones that are kept
            own.unlink()
            return _read(path)
        publish(own, path)
    except OSError as error:
        raise ArgumentError(
            "cache_dir",
            path.parent,
            f"cannot be written to: {error}",
            "make room, or choose another",
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
