"""SIGTERM, SIGINT, SIGHUP: the first asks for a stop, the second stops at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import TracebackType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_HANGUP = getattr(signal, "SIGHUP", None)
"""From a terminal that closes; only Unix has it."""


class StopSignals:
    """Within it the first of these signals is noted in `received`, and a second ends the process.

    They are SIGTERM, SIGINT and SIGHUP. A SIGHUP that is ignored, by `nohup` say, stays so, and
    none is a second signal: a terminal that closes sends several.

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
                        f"{name}: stopping after this call of steps; again to stop at once"
                    )
