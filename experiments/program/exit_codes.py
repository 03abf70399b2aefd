"""How a program ends, as its exit code says it; from 64 on after sysexits.h."""

import errno
import sys
from collections.abc import Callable

import gan_core
from gan_core import ArgumentError
from gan_core.run import Ending

DONE = 0
FAILED = 1  # something else that was to be done was not, told in a line
USAGE = 2  # a flag, the data or the workdir cannot work, told in one line
WORKER_GONE = 69  # another worker of the run is gone
NOT_FINITE = 70  # a loss or a gradient was not finite
COLLAPSED = 71  # samples became much worse than the best, which is kept
CANNOT_WRITE = 74  # the workdir could no longer be written to
STOPPED = 75  # by a signal, and saved: the same command goes on
INTERRUPTED = 130  # by Ctrl-C before there was anything to save

OF_ENDING = {
    Ending.DONE: DONE,
    Ending.STOPPED: STOPPED,
    Ending.TIME_IS_UP: DONE,
    Ending.NO_IMPROVEMENT: DONE,
    Ending.COLLAPSED: COLLAPSED,
    Ending.NOT_FINITE: NOT_FINITE,
    Ending.CANNOT_WRITE: CANNOT_WRITE,
    Ending.WORKER_GONE: WORKER_GONE,
}
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


def exit_code_of(work: Callable[[], int | None], *, goes_on: bool = False) -> int:
    """Does a program's work; where that ends early, says why in a line.

    Args:
      work: Returns the exit code, or None where all is done.
      goes_on: Whether what was done before an interruption, or a full disk, is kept.
    """
    try:
        code = work()
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        if not (goes_on and error.errno in _WRITE_ERRORS):
            raise
        words = f"error: cannot write ({error}); the same command goes on when that is mended"
        print(words, file=sys.stderr)
        return CANNOT_WRITE
    except KeyboardInterrupt:
        if goes_on:
            gan_core.run.say("stopped; run the same command to go on")
            return STOPPED
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return DONE if code is None else code
