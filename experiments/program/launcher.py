"""`--workers=N`: several processes on this machine, to try what runs on several machines."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

import gan_core
from experiments.program.process import DONE, STOPPED, USAGE

_GRACE_SECONDS = 60
_POLL_SECONDS = 0.1
_KILLED = -9  # SIGKILL, which Windows has no name for


def launch(module: str, arguments: Sequence[str], num_workers: int) -> int:
    """Runs `python -m module arguments` as all workers of a cluster; returns the exit code.

    The first worker's output is this program's; what the others print as errors follows where the
    run failed, unless the first has told it. A signal is passed on to all. When one ends in
    failure the others have a minute to notice before they are ended.
    """
    ports = _free_ports(num_workers)
    addresses = [f"localhost:{port}" for port in ports]
    workers: list[subprocess.Popen] = []

    def end_all() -> None:
        for worker in workers:
            worker.kill()

    with contextlib.ExitStack() as stack:
        files = (stack.enter_context(tempfile.TemporaryFile()) for _ in addresses[1:])
        errors = [None, *files]
        signals = stack.enter_context(gan_core.run.StopSignals(on_second=end_all))
        try:
            for index in range(num_workers):
                task = {"type": "worker", "index": index}
                config = json.dumps({"cluster": {"worker": addresses}, "task": task})
                workers.append(
                    subprocess.Popen(
                        [sys.executable, "-m", module, *arguments],
                        env={**os.environ, "TF_CONFIG": config},
                        stdout=None if index == 0 else subprocess.DEVNULL,
                        stderr=errors[index],
                        # Ctrl-C reaches them through this program, once.
                        start_new_session=True,
                    )
                )
            return _wait(workers, errors, signals)
        finally:
            end_all()
            for worker in workers:
                worker.wait()


def _wait(
    workers: list[subprocess.Popen],
    errors: list[IO[bytes] | None],
    signals: gan_core.run.StopSignals,
) -> int:
    passed_on = False
    deadline = float("inf")
    while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
        ends = (None, DONE, STOPPED)
        failed = [index for index, worker in enumerate(workers) if worker.poll() not in ends]
        if failed and deadline == float("inf"):
            deadline = time.monotonic() + _GRACE_SECONDS
        if signals.received is not None and not passed_on:
            passed_on = True
            for worker in workers:
                worker.send_signal(signals.received)
        time.sleep(_POLL_SECONDS)
    # Those that still run are ended now: what counts before that is who failed.
    ended = [(index, w.returncode) for index, w in enumerate(workers) if w.poll() is not None]
    running = [(index, _KILLED) for index, w in enumerate(workers) if w.poll() is None]
    for index, code in [*ended, *running]:
        if code:
            if index or code < 0:  # otherwise the first has said why
                print(f"worker {index} ended with exit code {code}", file=sys.stderr)
            _print_errors(workers, errors)
            return code if code > 0 else 128 - code
    return DONE


def _print_errors(workers: list[subprocess.Popen], errors: list[IO[bytes] | None]) -> None:
    """What workers said, but for those that could not begin for what the first has told."""
    for index, (worker, file) in enumerate(zip(workers, errors, strict=True)):
        has_said_it = worker.returncode == workers[0].returncode == USAGE
        if file is not None and not has_said_it:
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
