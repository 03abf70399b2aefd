"""One run, one process: a lock on the run's folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import warnings
from pathlib import Path
from typing import TextIO

from gan_core.errors import ArgumentError


class RunLock:
    """Holds a folder for this process until it is closed or the process ends, however it ends.

    The operating system keeps the lock (`flock`) and drops it with the process: one left by a
    process that is gone is simply taken over. The file `run.lock` says who holds it. The folder
    itself is locked besides, so that the lock holds without that file too.

    Args:
      folder: The run's folder, which exists.

    Raises:
      ArgumentError: If another process holds it, whose host and process id it names; or if
        `run.lock` is a link.
    """

    def __init__(self, folder: Path):
        try:
            self._file = _open_lock(folder)
        except OSError as error:
            raise ArgumentError(
                "workdir", folder, f"must be writable, but {error}", "choose another folder"
            ) from error
        self._folder = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _lock_folder(self._folder, fcntl.LOCK_EX)
        except BlockingIOError:
            self.close()
            raise _in_use(folder) from None
        except OSError as error:
            warnings.warn(
                f"{folder} cannot be locked ({error}): see to it that no other run uses it",
                RuntimeWarning,
                stacklevel=2,
            )
        holder = {"host": platform.node(), "process_id": os.getpid()}
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its holder's name
            self._file.truncate(0)
            self._file.write(json.dumps(holder) + "\n")
            self._file.flush()

    @staticmethod
    def check_free(folder: Path) -> None:
        """Asks whether the folder could be held now, and leaves it as it is.

        Raises:
          ArgumentError: If another process holds it; names its host and process id.
        """
        with contextlib.ExitStack() as stack:
            descriptors = []
            for path in (_path(folder), folder):
                with contextlib.suppress(FileNotFoundError, PermissionError, NotADirectoryError):
                    descriptors.append(os.open(path, os.O_RDONLY))
                    stack.callback(os.close, descriptors[-1])
            try:
                for descriptor in descriptors:
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _in_use(folder) from None
            except OSError:
                return  # a file system without locks: whoever trains there is warned then

    def close(self) -> None:
        """Lets go of the folder."""
        self._file.close()
        os.close(self._folder)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _path(folder: Path) -> Path:
    return folder / "run.lock"


def _open_lock(folder: Path) -> TextIO:
    path = _path(folder)
    if path.is_symlink():
        raise OSError(f"{path} is a link")
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o666), "a+", encoding="utf-8")


def _lock_folder(descriptor: int, kind: int) -> None:
    """Locks a folder, where the file system can: network ones lock nothing but files."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return


def _in_use(folder: Path) -> ArgumentError:
    try:
        holder = _path(folder).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # it is gone; the folder's own lock holds
        holder = ""
    holder = holder or "another process"
    return ArgumentError(
        "workdir",
        folder,
        f"must not be in use, but a run holds it: {holder}",
        "wait for it, stop it, or choose another folder",
    )
