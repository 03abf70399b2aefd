"""SIGTERM and SIGINT: the first asks for a stop, the second stops at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import TracebackType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Within it the first SIGTERM or SIGINT is noted in `received`, and a second ends the process.

    Python runs its own handlers only between operations, which may be a minute apart when one
    call holds many steps, and takes two signals within one for one. So the C-level handler writes
    each to a socket that a thread reads. Use it in the main thread.

    Args:
      announce: Called with a line for people when the first comes; nothing is said when None.
      on_second: Called before the second ends the process.

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
        self._previous_handlers = {
            number: signal.signal(number, lambda *_: None) for number in _SIGNALS
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
                if numbers[0] not in _SIGNALS:
                    continue
                if self.received is not None:
                    self._on_second()
                    os._exit(128 + numbers[0])
                self.received = numbers[0]
                if self._announce:
                    name = signal.Signals(numbers[0]).name
                    self._announce(
                        f"{name}: stopping after this call of steps; again to stop at once"
                    )
