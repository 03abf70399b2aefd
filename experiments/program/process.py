"""Front door of every program: parsing, help, safe output, exit codes and one-line errors."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import io
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NoReturn, TextIO

from absl import logging

import gan_core
from experiments.settings.help import help_text
from experiments.settings.parse import OptionsT, parse
from gan_core import ArgumentError
from gan_core.run import Ending

DONE = 0
FAILED = 1  # some of the work failed, as a line says
USAGE = 2  # a flag, the data or the workdir cannot work, as a line says
WORKER_GONE = 69  # another worker of the run is gone; from here on after sysexits.h
NOT_FINITE = 70  # a loss or a gradient was not finite
COLLAPSED = 71  # samples became much worse than the best, which is kept
CANNOT_WRITE = 74  # the workdir could no longer be written to
STOPPED = 75  # by a signal, and saved: the same command resumes
INTERRUPTED = 130  # by Ctrl-C before there was anything to save

EXIT_CODES = {
    Ending.DONE: DONE,
    Ending.STOPPED: STOPPED,
    Ending.TIME_IS_UP: DONE,
    Ending.NO_IMPROVEMENT: DONE,
    Ending.COLLAPSED: COLLAPSED,
    Ending.NOT_FINITE: NOT_FINITE,
    Ending.CANNOT_WRITE: CANNOT_WRITE,
    Ending.WORKER_GONE: WORKER_GONE,
}
"""Exit code by the ending of a run."""

_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


@dataclasses.dataclass(frozen=True)
class Command(Generic[OptionsT]):
    """A command-line program.

    Attributes:
      options: The dataclass of its flags.
      work: Does the work with the options; returns the exit code, or None for `DONE`.
      description: Text above the flags in the help: the module's docstring.
      resumable: Whether what was done before an interruption, or a full disk, is kept.
    """

    options: type[OptionsT]
    work: Callable[[OptionsT], int | None]
    description: str | None
    resumable: bool = False

    def run(self, arguments: Sequence[str]) -> int:
        """Parses a command line, imports TensorFlow and does the work; returns the exit code."""

        def work() -> int | None:
            options = parse(self.options, arguments)
            if options is None:
                print(help_text(self.options, self.description or ""))
                return DONE
            import_tensorflow()
            return self.work(options)

        return run_program(work, resumable=self.resumable)

    def main(self) -> NoReturn:
        """Runs the process's command line and exits."""
        prepare_process()
        sys.exit(self.run(sys.argv[1:]))


def prepare_process() -> None:
    """Makes the standard streams safe, and prints each warning as one line."""
    make_streams_safe()
    warnings.showwarning = _print_warning
    warnings.simplefilter("always", RuntimeWarning)


def run_program(work: Callable[[], int | None], *, resumable: bool = False) -> int:
    """Does a program's work; reports an expected failure in one line.

    Args:
      work: Returns the exit code, or None for `DONE`.
      resumable: Whether what was done before an interruption, or a full disk, is kept.

    Returns:
      The exit code.
    """
    try:
        code = work()
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        if not (resumable and error.errno in _WRITE_ERRORS):
            raise
        words = f"error: cannot write ({error}); fix this, then run the same command to resume"
        print(words, file=sys.stderr)
        return CANNOT_WRITE
    except KeyboardInterrupt:
        if resumable:
            gan_core.run.say("stopped; run the same command to resume")
            return STOPPED
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return DONE if code is None else code


def make_streams_safe() -> None:
    r"""Makes standard output and error survive being closed, full or unread.

    A closed descriptor would be taken by the next file that is opened, which would then receive
    what is printed: it is opened to the null device. A stream that refuses a write, such as a
    broken pipe or a full disk, leads there from then on. Characters that the stream's encoding
    lacks are written as `\xfc`.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = _safe(sys.stdout, 1)
    sys.stderr = _safe(sys.stderr, 2)


def import_tensorflow() -> None:
    """Imports TensorFlow without its start-up notices (CUDA, oneDNN) and libraries' warnings.

    TF_CPP_MIN_LOG_LEVEL=0 in the environment shows them.
    """
    is_quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    notices = _without_notices() if is_quiet else contextlib.nullcontext()
    with _ended_by_ctrl_c(), _without_collector(), notices:
        import tensorflow as tf

        if is_quiet:
            tf.get_logger().setLevel("ERROR")
            logging.set_verbosity(logging.ERROR)


def _print_warning(message: Warning | str, category: type[Warning], *where: object) -> None:
    prefix = "warning" if issubclass(category, RuntimeWarning) else category.__name__
    print(f"{prefix}: {message}", file=sys.stderr, flush=True)


def _safe(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:
        stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return _SafeStream(stream, descriptor)  # type: ignore[return-value]


class _SafeStream:
    """Text stream that leads to the null device after its first failed write."""

    def __init__(self, stream: TextIO, descriptor: int):
        self._stream = stream
        self._descriptor = descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes if possible; returns the length of the text."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._redirect(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes if possible."""
        try:
            self._stream.flush()
        except OSError as error:
            self._redirect(error)

    def _redirect(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._descriptor)
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError) and self._descriptor == 1:
            words = f"standard output cannot be written ({error}): nothing more is printed there"
            print(f"warning: {words}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Makes Ctrl-C print one word and end the process at once.

    An exception raised while a compiled module is imported turns into others, of many lines;
    and nothing is open yet that would have to be closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    standard_error = os.dup(2)

    def end(*_: object) -> None:
        os.write(standard_error, b"interrupted\n")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(standard_error)


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Captures standard error, and shows it only if the import fails.

    Notices come from C++, some of them before any log level is read, so it is the file descriptor
    that is redirected.
    """
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except Exception:
            notices.seek(0)
            os.write(standard_error, notices.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Saves half a second: an import makes a million objects, and hardly any is garbage.

    They are kept out of later collections, too; but only on the first import, because later ones
    would also keep the networks and graphs that earlier runs in this process have left.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if is_enabled:
            gc.enable()
