"""One run, one process: a lock on the run's folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import warnings
from pathlib import Path

from etils import epy

from gan_core.errors import ArgumentError

with epy.lazy_imports():  # a third of the time that help takes
    import filelock

try:
    import fcntl
except ImportError:  # Windows, where a file that is locked cannot be removed
    fcntl = None  # type: ignore[assignment]


class RunLock:
    """Holds a folder for this process until it is closed or the process ends, however it ends.

    The operating system keeps the lock on `run.lock` and drops it with the process: one left by a
    process that is gone is simply taken over. `run.holder` says who holds it. On Unix the folder
    itself is locked besides, so that the lock holds without that file too.

    Args:
      folder: The run's folder, which exists.

    Raises:
      ArgumentError: If another process holds it, whose host and process id it names; or if
        `run.lock` is a link.
    """

    def __init__(self, folder: Path):
        self._lock = _lock(folder)
        self._folder: int | None = None
        try:
            _refuse_link(_path(folder))
            self._lock.acquire()
            if fcntl is not None:
                self._folder = os.open(folder, os.O_RDONLY)
                _lock_folder(self._folder, fcntl.LOCK_EX)
        except (filelock.Timeout, BlockingIOError):
            self.close()
            raise _in_use(folder) from None
        except (OSError, NotImplementedError) as error:
            if not _means_no_locks(error):
                self.close()
                raise ArgumentError(
                    "workdir", folder, f"must be writable, but {error}", "choose another folder"
                ) from error
            warnings.warn(
                f"{folder} cannot be locked ({error}): see to it that no other run uses it",
                RuntimeWarning,
                stacklevel=2,
            )
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its holder's name
            _refuse_link(_holder(folder))
            words = {"host": platform.node(), "process_id": os.getpid()}
            _holder(folder).write_text(json.dumps(words) + "\n", encoding="utf-8")

    @staticmethod
    def check_free(folder: Path) -> None:
        """Asks whether the folder could be held now, and leaves it as it is.

        Raises:
          ArgumentError: If another process holds it; names its host and process id.
        """
        try:
            if fcntl is not None and folder.is_dir():
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    _lock_folder(descriptor, fcntl.LOCK_SH)
                finally:
                    os.close(descriptor)
            if _path(folder).is_file() and not _path(folder).is_symlink():
                with _lock(folder):
                    pass
        except (filelock.Timeout, BlockingIOError):
            raise _in_use(folder) from None
        except (OSError, NotImplementedError):
            return  # whoever trains there is told why it cannot be written to, or not locked

    def close(self) -> None:
        """Lets go of the folder."""
        self._lock.release()
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _path(folder: Path) -> Path:
    return folder / "run.lock"


def _holder(folder: Path) -> Path:
    return folder / "run.holder"


def _lock(folder: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(_path(folder), timeout=0, thread_local=False)


def _means_no_locks(error: Exception) -> bool:
    """Whether a file system that locks nothing raises this."""
    without = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in without


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise OSError(f"{path} is a link")


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
        holder = _holder(folder).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # it is gone; the lock holds
        holder = ""
    holder = holder or "another process"
    return ArgumentError(
        "workdir",
        folder,
        f"must not be in use, but a run holds it: {holder}",
        "wait for it, stop it, or choose another folder",
    )
