"""Waits at the start of a worker until all others accept connections."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from gan_core.errors import ArgumentError, check_positive
from gan_core.run.status_line import say as print_line
from gan_core.strategies import read_cluster

_QUIET_SECONDS = 10.0
_POLL_SECONDS = 0.2
_CONNECT_SECONDS = 1.0


def wait_for_workers(timeout_seconds: float, say: Callable[[str], None] = print_line) -> None:
    """Returns when every process in TF_CONFIG accepts connections at its address.

    Call it before `make_strategy("multi_worker")`: TensorFlow waits for them too, but without a
    time-out, and it ignores signals. Meanwhile this process accepts connections at its own address;
    afterwards TensorFlow's server does.

    Args:
      timeout_seconds: Start-up timeout; above 0.
      say: Prints a line for people, after ten seconds, that names the missing workers.

    Raises:
      ArgumentError: If TF_CONFIG is not valid, the timeout has passed, or another program uses
        this process's port.
    """
    check_positive("timeout_seconds", timeout_seconds, "use 600")
    config = read_cluster()
    own = config["task"]["type"], config["task"]["index"]
    absent = {
        f"{job} {index} ({address})": address
        for job, addresses in config["cluster"].items()
        for index, address in enumerate(addresses)
        if (job, index) != own
    }
    start, has_said = time.monotonic(), False
    with _at_own_address(config["cluster"][own[0]][own[1]]):
        while absent := {name: a for name, a in absent.items() if not _answers(a)}:
            waited = time.monotonic() - start
            if waited > timeout_seconds:
                raise ArgumentError(
                    "TF_CONFIG",
                    ", ".join(absent),
                    f"did not accept connections within {timeout_seconds:g} s",
                    "start all workers, and check their addresses",
                )
            if waited > _QUIET_SECONDS and not has_said:
                has_said = True
                say(f"waiting for {', '.join(absent)}, up to {timeout_seconds:g} s")
            time.sleep(_POLL_SECONDS)


def _at_own_address(address: str) -> contextlib.AbstractContextManager[socket.socket]:
    try:
        return socket.create_server(
            ("", _port(address)), reuse_port=hasattr(socket, "SO_REUSEPORT")
        )
    except OSError as error:
        rule = f"must have a port that is free on this machine ({error})"
        raise ArgumentError("TF_CONFIG", address, rule, "choose another port") from error


def _answers(address: str) -> bool:
    host = address.rsplit(":", 1)[0]
    try:
        with socket.create_connection((host, _port(address)), _CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _port(address: str) -> int:
    return int(address.rsplit(":", 1)[1])
