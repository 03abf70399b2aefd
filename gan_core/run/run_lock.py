"""One run, one process: a lock on the run's folder."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import warnings
from pathlib import Path

from etils import epy

from gan_core.durable_files import write_durably
from gan_core.errors import ArgumentError

with epy.lazy_imports():
    import filelock

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]


class RunLock:
    """Holds a folder for this process until it is closed or the process ends, however it ends.

    The operating system keeps the lock on `run.lock` and drops it with the process: one left by a
    process that is gone is simply taken over. `run.holder` says who holds it. On Unix (`flock`) the
    folder itself is locked besides, so that the lock holds without that file too; elsewhere
    `filelock` locks the file alone.

    Args:
      folder: The run's folder, which exists.

    Raises:
      ArgumentError: If another process holds it, whose host and process id it names; or if
        `run.lock` is a link.
    """

    def __init__(self, folder: Path):
        self._held = contextlib.ExitStack()
        try:
            _hold(folder, self._held)
        except BlockingIOError:
            self.close()
            raise _in_use(folder) from None
        except OSError as error:
            self.close()
            raise ArgumentError(
                "workdir", folder, f"must be writable, but {error}", "choose another folder"
            ) from error
        words = json.dumps({"host": platform.node(), "process_id": os.getpid()}) + "\n"
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its holder's name
            write_durably(_holder(folder), words.encode())

    @staticmethod
    def check_free(folder: Path) -> None:
        """Asks whether the folder could be held now, and leaves it as it is.

        Raises:
          ArgumentError: If another process holds it; names its host and process id.
        """
        try:
            _ask(folder)
        except BlockingIOError:
            raise _in_use(folder) from None
        except OSError:
            return  # whoever trains there is told that it cannot be written to, or not locked

    def close(self) -> None:
        """Lets go of the folder."""
        self._held.close()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _path(folder: Path) -> Path:
    return folder / "run.lock"


def _holder(folder: Path) -> Path:
    return folder / "run.holder"


def _hold(folder: Path, held: contextlib.ExitStack) -> None:
    """Locks a folder until `held` is closed.

    Raises:
      BlockingIOError: If another process holds it.
      OSError: If there can be no lock file.
    """
    path = _path(folder)
    if path.is_symlink():
        raise OSError(f"{path} is a link")
    if fcntl is None:
        _hold_elsewhere(path, held)
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    held.callback(os.close, file)
    descriptor = os.open(folder, os.O_RDONLY)
    held.callback(os.close, descriptor)
    refusal = _flock(file)
    if refusal:
        warnings.warn(
            f"{folder} cannot be locked ({refusal}): see to it that no other run uses it",
            RuntimeWarning,
            stacklevel=3,
        )
    _flock(descriptor)  # where the file system can: network ones lock nothing but files


def _ask(folder: Path) -> None:
    """Raises `BlockingIOError` if another process holds the folder."""
    path = _path(folder)
    with contextlib.ExitStack() as held:
        if fcntl is None:
            if path.is_file():
                _hold_elsewhere(path, held)
            return
        descriptors = []
        for place in (path, folder):
            with contextlib.suppress(FileNotFoundError, PermissionError, NotADirectoryError):
                descriptors.append(os.open(place, os.O_RDONLY | os.O_NONBLOCK))
                held.callback(os.close, descriptors[-1])
        for descriptor in descriptors:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _hold_elsewhere(path: Path, held: contextlib.ExitStack) -> None:
    try:
        held.enter_context(filelock.FileLock(path, timeout=0, thread_local=False))
    except filelock.Timeout as error:
        raise BlockingIOError(str(error)) from error


def _flock(descriptor: int) -> OSError | None:
    """Locks for this process alone; what a file system says that cannot.

    Raises:
      BlockingIOError: If another process holds it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        return error
    return None


def _in_use(folder: Path) -> ArgumentError:
    holder = ""
    with contextlib.suppress(OSError):  # it is gone; the lock holds
        if _holder(folder).is_file():
            holder = _holder(folder).read_text(encoding="utf-8", errors="replace").strip()
    holder = holder or "another process"
    return ArgumentError(
        "workdir",
        folder,
        f"must not be in use, but a run holds it: {holder}",
        "wait for it, stop it, or choose another folder",
    )
