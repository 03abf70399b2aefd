"""Standard output and error that end no program: closed, full, or with nobody who reads them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO


def make_safe() -> None:
    r"""Has this process print on where it can, and go on where it cannot.

    A descriptor that is closed would be that of the next file which is opened, and get what is
    printed; it leads nowhere instead. So does one that refuses what is printed, from then on: a
    pipe that nobody reads any more, a full disk. Characters that the stream's encoding does not
    have are written as `\xfc`.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = _safe(sys.stdout, 1)
    sys.stderr = _safe(sys.stderr, 2)


def _safe(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:
        stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return _Forgiving(stream, descriptor)  # type: ignore[return-value]


class _Forgiving:
    """A text stream that leads nowhere once it refused something."""

    def __init__(self, stream: TextIO, descriptor: int):
        self._stream = stream
        self._descriptor = descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes as far as that works; the length of the text."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._lead_nowhere(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes as far as that works."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lead_nowhere(error)

    def _lead_nowhere(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._descriptor)
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError) and self._descriptor == 1:
            words = f"standard output cannot be written ({error}): nothing more is printed there"
            print(f"warning: {words}", file=sys.stderr, flush=True)
