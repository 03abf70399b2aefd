"""Child processes that receive this one's signals; the workers of `--workers=N`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from experiments.program.process import DONE, STOPPED, USAGE

STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM]
"""Signals that ask for a stop; a terminal that closes sends SIGHUP, which only Unix has."""
if hasattr(signal, "SIGHUP"):
    STOP_SIGNALS.append(signal.SIGHUP)

_GRACE_SECONDS = 60
_POLL_SECONDS = 0.1
_KILLED = -9  # SIGKILL, which Windows has no name for


class Children:
    """Child processes that receive the stop signals sent to this process.

    Signals that are ignored, as under `nohup`, stay so. SIGHUP is passed on as SIGTERM and only if
    it is the first signal: a terminal that closes sends several, and a second signal ends a run at
    once. Use it in the main thread.

    Attributes:
      received: Numbers of the signals passed on.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> Children:
        heard = [each for each in STOP_SIGNALS if signal.getsignal(each) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._pass_on) for number in heard}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def start(self, command: Sequence[str], **arguments: Any) -> subprocess.Popen:
        """Starts a program with further arguments of `subprocess.Popen`.

        It runs in a session of its own: a terminal's Ctrl-C would otherwise reach it twice.
        """
        process = subprocess.Popen(command, start_new_session=True, **arguments)
        self._processes.append(process)
        for number in self.received:
            process.send_signal(number)
        return process

    def _pass_on(self, number: int, frame: object) -> None:
        del frame
        if number not in (signal.SIGINT, signal.SIGTERM):
            if self.received:
                return
            number = signal.SIGTERM
        self.received.append(number)
        for process in self._processes:
            process.send_signal(number)


def launch(module: str, arguments: Sequence[str], num_workers: int) -> int:
    """Runs `python -m module arguments` as all workers of a cluster; returns the exit code.

    Prints the output of the first worker. If the run fails, the standard error of the others
    follows, unless it repeats the first worker's. A second signal ends all at once. If a worker
    fails, the others have a minute to notice before they are killed.
    """
    addresses = [f"localhost:{port}" for port in _free_ports(num_workers)]
    workers: list[subprocess.Popen] = []
    with contextlib.ExitStack() as stack:
        files = (stack.enter_context(tempfile.TemporaryFile()) for _ in addresses[1:])
        errors = [None, *files]
        children = stack.enter_context(Children())
        try:
            for index in range(num_workers):
                task = {"type": "worker", "index": index}
                config = json.dumps({"cluster": {"worker": addresses}, "task": task})
                worker = children.start(
                    [sys.executable, "-m", module, *arguments],
                    env={**os.environ, "TF_CONFIG": config},
                    stdout=None if index == 0 else subprocess.DEVNULL,
                    stderr=errors[index],
                )
                workers.append(worker)
            return _wait(workers, errors, children)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


def _wait(
    workers: list[subprocess.Popen], errors: list[IO[bytes] | None], children: Children
) -> int:
    deadline = float("inf")
    while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
        if len(children.received) > 1:
            return 128 + children.received[-1]
        codes = [worker.poll() for worker in workers]
        if deadline == float("inf") and not {None, DONE, STOPPED}.issuperset(codes):
            deadline = time.monotonic() + _GRACE_SECONDS
        time.sleep(_POLL_SECONDS)
    # Workers that still run are killed by the caller; those that failed by themselves come first.
    ended = [(index, w.returncode) for index, w in enumerate(workers) if w.poll() is not None]
    running = [(index, _KILLED) for index, w in enumerate(workers) if w.poll() is None]
    for index, code in [*ended, *running]:
        if code:
            if index or code < 0:  # otherwise the first worker has printed the reason
                print(f"worker {index} ended with exit code {code}", file=sys.stderr)
            _print_errors(workers, errors)
            return code if code > 0 else 128 - code
    return DONE


def _print_errors(workers: list[subprocess.Popen], errors: list[IO[bytes] | None]) -> None:
    """Prints the standard error of workers, except usage errors that the first has printed."""
    for index, (worker, file) in enumerate(zip(workers, errors, strict=True)):
        is_repeated = worker.returncode == workers[0].returncode == USAGE
        if file is not None and not is_repeated:
            file.seek(0)
            for line in file.read().decode("utf-8", errors="replace").splitlines():
                print(f"worker {index}: {line}", file=sys.stderr)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
