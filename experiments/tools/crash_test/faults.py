"""Faults in the writes of this process: one write is refused, or kills the process."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

import gan_core

REFUSE, KILL = "refuse", "kill"
MAY_BE_REFUSED = {"open", "os.mkdir", "os.rename", "os.fsync", "checkpoint"}
"""Events that a full disk refuses; it never refuses removals."""
_AND_THESE_CHANGE_A_FOLDER = {"os.remove", "os.rmdir", "os.truncate"}
_WITH_FOLDER = {"os.mkdir", "os.remove", "os.rmdir", "os.rename"}
"""Events whose last argument is a descriptor of the folder of a name; -1 without one."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault and its moment.

    Attributes:
      action: `refuse`: the write fails as on a full disk, and the program continues; `kill`: the
        process is gone before the write, as after `kill -9`.
      at: The number of the write, from 1 on; 0 for none.
      below: Counts only writes to paths that match this regular expression.
      after: Counts only from the first write on that matches this regular expression.
      seconds_into_evaluation: Kills that long after an evaluation began; None for never.
    """

    action: str = KILL
    at: int = 0
    below: str = ""
    after: str = ""
    seconds_into_evaluation: float | None = None


def install(fault: Fault, folders: Sequence[Path], log: Path) -> None:
    """Counts this process's writes below `folders` from now on, and triggers the fault.

    A write is what changes a folder or waits for the disk: a file opened to be written, renamed or
    removed, a folder made, an fsync, the variables of a checkpoint. Python tells of most as audit
    events, and what refuses an event refuses the operation; fsync and the writing of checkpoints,
    of which it tells nothing, are wrapped. It cannot be taken out of a process again.

    Args:
      fault: The fault.
      folders: Folders whose writes count.
      log: Receives a line `event path` for each, before it happens; not below `folders`.
    """
    writes = _Writes(fault, [str(folder.absolute()) for folder in folders], log)
    sys.addaudithook(writes.on_event)
    sync, write = os.fsync, tf.train.Checkpoint.write

    def fsync(descriptor: int) -> None:
        writes.happens("os.fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def write_checkpoint(checkpoint: tf.train.Checkpoint, path: str, *options: Any) -> str:
        try:
            writes.happens("checkpoint", path)
        except OSError as error:
            raise tf.errors.ResourceExhaustedError(None, None, str(error)) from error
        return write(checkpoint, path, *options)

    os.fsync = fsync
    tf.train.Checkpoint.write = write_checkpoint
    if fault.seconds_into_evaluation is not None:
        _kill_in_evaluation(fault.seconds_into_evaluation)


def writes_in(log: Path) -> list[str]:
    """The lines that `install` has written."""
    return log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []


class _Writes:
    """Counts, writes down, refuses or kills."""

    def __init__(self, fault: Fault, folders: list[str], log: Path):
        self._fault, self._folders = fault, folders
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._numbers = itertools.count(1)
        self._has_begun = not fault.after
        self._counted = set(MAY_BE_REFUSED)
        if fault.action == KILL:
            self._counted |= _AND_THESE_CHANGE_A_FOLDER

    def on_event(self, event: str, arguments: tuple) -> None:
        """Python's audit hook."""
        if event in self._counted:
            for path in _written_paths(event, arguments):
                self.happens(event, path)

    def happens(self, event: str, path: str) -> None:
        """Runs before each write; may raise an error or end the process."""
        if not any(path.startswith(folder) for folder in self._folders):
            return
        os.write(self._log, f"{event} {path}\n".encode(errors="replace"))
        self._has_begun = self._has_begun or bool(re.search(self._fault.after, path))
        if not self._has_begun or not re.search(self._fault.below, path):
            return
        if next(self._numbers) != self._fault.at:
            return
        if self._fault.action == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal may take a moment, in which nothing is written
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _written_paths(event: str, arguments: tuple) -> Iterator[str]:
    """The path that an event changes, for a rename the new one; None if it only reads."""
    path = arguments[1] if event == "os.rename" else arguments[0]
    if isinstance(path, int):
        return
    if event in _WITH_FOLDER and isinstance(arguments[-1], int) and arguments[-1] >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), os.fsdecode(path))
    if event == "open":
        _, mode, flags = arguments
        for_writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
        if not (set(mode or "") & set("wax+") or (flags or 0) & for_writing):
            return
    yield os.path.abspath(os.fsdecode(path))


def _kill_in_evaluation(seconds: float) -> None:
    score = gan_core.evaluation.Judge.score

    def score_and_die(judge: Any, samples: Any) -> dict[str, float]:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return score(judge, samples)

    gan_core.evaluation.Judge.score = score_and_die
