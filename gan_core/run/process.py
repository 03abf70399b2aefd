"""The process that trains: the lock on its folder, stop signals, memory, start-up times."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from etils import epy

from gan_core.errors import ArgumentError
from gan_core.files import write_durably

with epy.lazy_imports():
    import filelock
    import psutil

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]


class RunLock:
    """A lock on a folder, held until it is closed or the process ends in any way.

    The operating system keeps the lock on `run.lock` and releases it with the process, so no stale
    lock remains. `run.holder` names the process that holds it. On Unix (`flock`) the folder itself
    is locked too, so that the lock survives the removal of that file; elsewhere `filelock` locks
    the file only.

    Args:
      folder: The run's folder, which exists.

    Raises:
      ArgumentError: If another process holds the lock, with its host and process id; or if
        `run.lock` is a symbolic link.
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
        with contextlib.suppress(OSError):  # a full disk: the lock works without it
            write_durably(_holder(folder), words.encode())

    @staticmethod
    def check_free(folder: Path) -> None:
        """Checks that the folder is not locked, without locking or changing it.

        Raises:
          ArgumentError: If another process holds the lock, with its host and process id.
        """
        try:
            _ask(folder)
        except BlockingIOError:
            raise _in_use(folder) from None
        except OSError:
            return  # training there will report that it cannot be written or locked

    def close(self) -> None:
        """Releases the lock."""
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
    """Locks exclusively; returns the error of a file system that cannot lock.

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
    with contextlib.suppress(OSError):  # the file is gone; the lock is held
        if _holder(folder).is_file():
            holder = _holder(folder).read_text(encoding="utf-8", errors="replace").strip()
    holder = holder or "another process"
    return ArgumentError(
        "workdir",
        folder,
        f"must not be in use, but is locked by {holder}",
        "wait for that run, stop it, or choose another folder",
    )


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_HANGUP = getattr(signal, "SIGHUP", None)
"""The signal of a closing terminal, on Unix only."""


class StopSignals:
    """Records the first SIGTERM, SIGINT or SIGHUP in `received`; a second ends the process.

    An ignored SIGHUP, for example under `nohup`, stays ignored. SIGHUP never counts as the second
    signal, because a closing terminal sends several.

    Python runs signal handlers only between operations, which may be a minute apart when one call
    makes many steps, and merges two signals within one operation. Therefore the C-level handler
    writes each signal to a socket that a thread reads. Use it in the main thread.

    Args:
      announce: Called with a line for people at the first signal; None for no line.
      on_second: Called before the second signal ends the process.

    Attributes:
      received: Number of the first signal; None before it.
    """

    def __init__(
        self,
        announce: Callable[[str], None] | None = None,
        on_second: Callable[[], None] = lambda: None,
    ):
        self._announce = announce
        self._on_second = on_second
        self.received: int | None = None

    def __enter__(self) -> StopSignals:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous_descriptor = signal.set_wakeup_fd(self._writer.fileno())
        heard = [*_SIGNALS]
        if _HANGUP is not None and signal.getsignal(_HANGUP) != signal.SIG_IGN:
            heard.append(_HANGUP)
        self._previous_handlers = {
            number: signal.signal(number, lambda *_: None) for number in heard
        }
        threading.Thread(target=self._read, args=(self._reader,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_descriptor)
        self._writer.close()  # which ends the thread

    def _read(self, reader: socket.socket) -> None:
        with reader:
            while numbers := reader.recv(1):
                if numbers[0] not in self._previous_handlers:
                    continue
                if self.received is not None:
                    if numbers[0] == _HANGUP:
                        continue
                    self._on_second()
                    os._exit(128 + numbers[0])
                self.received = numbers[0]
                if self._announce:
                    name = signal.Signals(numbers[0]).name
                    self._announce(
                        f"{name}: stopping after this call of steps; send it again to stop at once"
                    )


_STATUS = Path("/proc/self/status")


def resident_gib() -> float:
    """Present memory of this process, in GiB."""
    return float(psutil.Process().memory_info().rss) / 2**30


def peak_resident_gib() -> float:
    """Peak memory of this process so far, in GiB."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 2**30
    status = _STATUS.read_text() if _STATUS.exists() else ""
    lines = dict(line.split(":", 1) for line in status.splitlines())
    if "VmHWM" in lines:  # `getrusage` includes memory of the parent process
        return int(lines["VmHWM"].split()[0]) / 2**20
    import resource  # exists on Unix only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


class StartupClock:
    """The seconds of each part of a start; `startup_clock` is that of the process."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Restarts the clock, which otherwise runs from the import of this module."""
        self._seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Adds the time since the last lap to the part `name`."""
        now = time.monotonic()
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._last
        self._last = now

    def describe(self, num_steps: int = 1) -> str:
        """`first step after 5.2 s: TensorFlow 3.0, data 0.1, ...`, from the laps so far."""
        laps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._seconds.items())
        steps = "step" if num_steps == 1 else f"{num_steps} steps"
        return f"first {steps} after {sum(self._seconds.values()):.1f} s: {laps}"


startup_clock = StartupClock()
