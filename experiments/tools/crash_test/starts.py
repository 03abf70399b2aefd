"""Starts of experiments in processes forked from one that has imported TensorFlow.

Each is a process of its own, with its own TensorFlow; only the seconds of the import are shared.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from experiments.program import main as runner
from experiments.program.experiment import load_experiment
from experiments.tools.crash_test import faults
from experiments.tools.crash_test.faults import Fault

NO_FAULT = Fault()
_PATIENCE_SECONDS = 300


class Start:
    """An experiment in its own process, started now.

    Args:
      experiment: Name of its module.
      arguments: Its command line.
      folder: The workdir; beside it stand `<name>.log`, what the process printed, and
        `<name>.writes`, see `faults.install`.
      fault: The fault in it.
      watched: Below which folders its writes count; the workdir's and its cache's if None.
    """

    def __init__(
        self,
        experiment: str,
        arguments: Sequence[str],
        folder: Path,
        fault: Fault = NO_FAULT,
        watched: Sequence[Path] | None = None,
    ):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._log = folder.with_name(f"{folder.name}.log")
        self._writes = folder.with_name(f"{folder.name}.writes")
        watched = [folder, cache_of(folder)] if watched is None else watched
        for path in (self._log, self._writes):
            path.write_bytes(b"")  # a process may be gone before it makes them
        what = (experiment, list(arguments), fault, watched, self._log, self._writes)
        self._process = context.Process(target=_run, args=what, daemon=True)
        self._process.start()

    def end(self, after_seconds: float | None = None, signal_number: int = 0) -> int:
        """Waits for the end, or ends it then; the exit code, of a signal minus its number.

        Args:
          after_seconds: When `signal_number`, SIGKILL or SIGTERM, is sent; never if None.
          signal_number: Which one.

        Raises:
          TimeoutError: If it takes longer than five minutes.
        """
        self._process.join(_PATIENCE_SECONDS if after_seconds is None else after_seconds)
        if self._process.exitcode is None and signal_number:
            kills = signal_number == signal.SIGKILL
            (self._process.kill if kills else self._process.terminate)()
            self._process.join(_PATIENCE_SECONDS)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"a start did not end within {_PATIENCE_SECONDS} s:\n{self.printed}")
        return code

    @property
    def printed(self) -> str:
        """Its output so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def writes(self) -> list[str]:
        """Its writes so far, each `event path`."""
        return faults.writes_in(self._writes)


def timed(start: Start) -> tuple[int, float]:
    """The exit code of a start without faults, and its seconds."""
    begin = time.monotonic()
    return start.end(), time.monotonic() - begin


def _run(
    experiment: str,
    arguments: list[str],
    fault: Fault,
    watched: Sequence[Path],
    log: Path,
    writes: Path,
) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
    tqdm.set_lock(threading.RLock())  # a killed process would leave tqdm's own behind
    own = load_experiment(experiment)
    os.chdir(log.parent)  # names that are not absolute are of no place of the user's
    faults.install(fault, watched, writes)
    runner.main(own, arguments)


def cache_of(folder: Path) -> Path:
    """The cache of decoded images of a workdir: its own, so that it decodes them itself."""
    return folder.with_name(f"{folder.name}.cache")
