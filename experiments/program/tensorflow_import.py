"""TensorFlow imported quickly, and without its start-up notices."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator

from absl import logging

from experiments.program import exit_codes


def import_tensorflow() -> None:
    """Keeps TensorFlow's start-up notices (CUDA, oneDNN) off the screen, and libraries' warnings.

    TF_CPP_MIN_LOG_LEVEL=0 in the environment brings all back.
    """
    quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    quietly = _without_notices() if quiet else contextlib.nullcontext()
    with _ended_by_ctrl_c(), _without_collector(), quietly:
        import tensorflow as tf

        if quiet:
            tf.get_logger().setLevel("ERROR")
            logging.set_verbosity(logging.ERROR)


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Has Ctrl-C end the process at once, with a word.

    Within the import of a compiled module an exception becomes other ones, in many lines; and
    nothing is open yet that would have to be closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    standard_error = os.dup(2)

    def end(*_: object) -> None:
        os.write(standard_error, b"interrupted\n")
        os._exit(exit_codes.INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(standard_error)


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Turns standard error aside; what came is shown only if the import fails.

    Notices come from C++, some of them before any log level is read, so it is the file descriptor
    that is turned aside.
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
    """Saves half a second: an import makes a million objects, and next to none of them is garbage.

    They are kept out of later collections, too; but only the first time, for later ones would
    keep what earlier runs in this process have left: networks and their graphs.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
